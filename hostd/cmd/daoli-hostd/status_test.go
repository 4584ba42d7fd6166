package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/hostd/agent"
)

func TestStatusSaysWhatToDo(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		s    agent.Status
		want []string
	}{
		{"all is well", agent.Status{CertificateEnds: now.Add(20 * time.Hour), RenewAt: now.Add(12 * time.Hour), Docker: &agent.DockerStatus{Answers: true, Networks: 3}},
			[]string{"certificate\tuntil 20", "docker\t3 networks\n"}},
		{"a renewal that is late", agent.Status{CertificateEnds: now.Add(7 * time.Hour), RenewAt: now.Add(-time.Hour), Docker: &agent.DockerStatus{}},
			[]string{"should have been renewed by now", "docker\tdoes not answer"}},
		{"a certificate that ended", agent.Status{CertificateEnds: now.Add(-time.Hour), RenewAt: now.Add(-9 * time.Hour)},
			[]string{"certificate\tended at ", "docker\tleft alone"}},
		{"a container that was not adopted", agent.Status{CertificateEnds: now.Add(time.Hour), RenewAt: now.Add(time.Hour), Docker: &agent.DockerStatus{Answers: true, Networks: 3, Problem: `adopt container "x"`}},
			[]string{`docker	3 networks; not in line: adopt container "x"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			printStatus(&out, tt.s)
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in %s", want, &out)
				}
			}
		})
	}
}

func TestLeaveSaysWhatItCouldNotDo(t *testing.T) {
	var out bytes.Buffer
	printLeave(&out, agent.LeaveAnswer{Host: "h1"})
	if out.Len() != 0 {
		t.Errorf("all is done, and it says %s", &out)
	}
	printLeave(&out, agent.LeaveAnswer{Host: "h1", Untold: "c1:7443: no route", Docker: "2 containers have it"})
	for _, want := range []string{"c1:7443: no route", "daolictl host revoke h1", "2 containers have it", "daoli-hostd leave once more"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
}

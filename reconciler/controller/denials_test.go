package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/testbed/world"
)

func denial(dpid uint64, port uint32, reason policy.Reason) engine.PacketDenied {
	return engine.PacketDenied{DPID: dpid, InPort: port, Result: admission.Result{Decision: policy.Decision{Verdict: policy.Drop, Reason: reason}}}
}

func TestFirstDenialOfEachPortAndReasonIsWrittenAndTheRestSummedUp(t *testing.T) {
	l := newDenialLog()
	l.sumUp(world.Start)
	for i := range 50 {
		if got := l.denied(denial(1, 16, policy.ReasonIsolation)); got != (i == 0) {
			t.Fatalf("denial %d written by itself: %v", i, got)
		}
	}
	for range 80 {
		l.denied(denial(1, 16, policy.ReasonQuota))
	}
	if !l.denied(denial(2, 16, policy.ReasonIsolation)) {
		t.Error("the first denial of another switch is not written")
	}
	if most, others := l.sumUp(world.Start.Add(999 * time.Millisecond)); most != nil || others != 0 {
		t.Errorf("before the second ended: %+v, %d; want nothing", most, others)
	}
	most, others := l.sumUp(world.Start.Add(time.Second))
	if len(most) != 2 || most[0].n != 79 || most[0].last.Result.Decision.Reason != policy.ReasonQuota || most[1].n != 49 || others != 0 {
		t.Fatalf("summed up: %+v, %d others; want 79 for quota and 49 for isolation", most, others)
	}
	if !l.denied(denial(2, 16, policy.ReasonIsolation)) || l.denied(denial(1, 16, policy.ReasonIsolation)) {
		t.Error("after a second without, a port's next denial is its first; after one with, it is not")
	}
	if most, others = l.sumUp(world.Start.Add(2 * time.Second)); len(most) != 1 || most[0].n != 1 || others != 0 {
		t.Errorf("second second: %+v, %d; want one denial of switch 1", most, others)
	}
	if l.sumUp(world.Start.Add(3 * time.Second)); len(l.seen) != 0 {
		t.Errorf("%d keys are kept without denials", len(l.seen))
	}
}

// TestDenialsOfAllPortsHaveABound denies more than the log can tell apart: what it
// keeps and writes has a bound, and every denial is in some line.
func TestDenialsOfAllPortsHaveABound(t *testing.T) {
	l := newDenialLog()
	const ports, each = 3 * maxDenials, 3
	for second := range 3 {
		lines, counted := 0, uint64(0)
		for range each {
			for port := range uint32(ports) {
				if l.denied(denial(1, port, policy.ReasonIngressDefault)) {
					lines++
					counted++
				}
			}
		}
		most, others := l.sumUp(world.Start.Add(time.Duration(second) * time.Second))
		for _, d := range most {
			counted += d.n
		}
		if lines > denialsPerSecond || len(most) > denialsPerSecond || len(l.seen) > maxDenials || counted+others != ports*each {
			t.Errorf("second %d: %d lines and %d sums tell of %d denials of %d, %d ports kept", second, lines, len(most), counted+others, ports*each, len(l.seen))
		}
	}
}

func TestDenialsAreLogged(t *testing.T) {
	c, log := still(t)
	for range 30 {
		c.record(denial(1, 16, policy.ReasonIsolation))
	}
	for i := range uint32(2 * denialsPerSecond) {
		c.record(denial(2, 16+i, policy.ReasonQuota))
	}
	c.logDenials(time.Now())
	text := log.String()
	if strings.Count(text, `"msg":"packet denied"`) != denialsPerSecond ||
		strings.Count(text, `"msg":"packets denied"`) != denialsPerSecond ||
		!strings.Contains(text, `"reason":"isolation","rule":"","at":"-","revision":"","count":29}`) ||
		!strings.Contains(text, `"msg":"packets of other ports denied","count":2}`) {
		t.Errorf("log:\n%s\nwant %d lines of one, as many that sum up, and one for 2 others", text, denialsPerSecond)
	}
}

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/netns"
	organisations "github.com/daolinet/daolinet/testbed/organisation"
	"github.com/daolinet/daolinet/testbed/probe"
)

// measure probes endpoints over tcp, udp and ping. It returns the verdicts of
// each pair by "from > to", in that order, and the notes.
func (f *fabric) measure(endpoints ...*netns.Endpoint) (map[string]string, string) {
	f.t.Helper()
	plan := probe.Plan{
		Ports: []probe.Port{{Text: "t", Proto: "tcp", Number: 5432}, {Text: "u", Proto: "udp", Number: 5432}, {Text: "i", Proto: "icmp"}},
		Means: func(a, b probe.Machine) bool { return a.VPC == b.VPC },
	}
	for _, e := range endpoints {
		m := probe.Machine{Name: e.Name, Namespace: e.Namespace, Addr: e.Addr}
		if strings.HasPrefix(e.VPC, "globex/") {
			m.VPC = "globex/prod"
		} else {
			m.VPC = "acme/prod"
		}
		plan.Machines = append(plan.Machines, m)
	}
	m, notes, err := plan.Measure(f.ctx, probe.Options{Timeout: 2 * time.Second})
	if err != nil {
		f.t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, p := range m.Pairs {
		key := p.From + " > " + p.To
		verdicts[key] = strings.TrimSpace(verdicts[key] + " " + p.Verdict)
	}
	return verdicts, strings.Join(notes, "\n")
}

// A probe that could not see a wrong network proves nothing, so flows are put
// into the switches that make it wrong, each in another way.
func TestProbeMeasuresWhatTheSwitchesDo(t *testing.T) {
	t.Parallel()
	const allow, drop, reject = "allow allow allow", "drop drop drop", "reject reject reject"
	f := start(t, 2)
	web := f.attach("h1:acme/prod/web/web", "web")
	web2 := f.attach("h1:acme/prod/web/web2")
	db := f.attach("h2:acme/prod/db/db")
	spy := f.attachAt("h1:globex/prod/web/spy", "10.1.0.77")
	asBuilt := map[string]string{
		"web > web2": allow, "web > db": allow, "web > spy": drop,
		"web2 > web": allow, "web2 > db": reject, "web2 > spy": drop,
		"db > web": reject, "db > web2": reject, "db > spy": drop,
		"spy > web": drop, "spy > web2": drop, "spy > db": drop,
	}
	for name, c := range map[string]struct {
		host  string
		flow  netns.Flow // "": none
		moved map[string]string
		note  string
	}{
		"as built": {},
		"a packet is lost that may pass": {
			host:  "h2",
			flow:  netns.Flow{Priority: 65000, Match: fmt.Sprintf("tcp,in_port=%d", db.Port), Actions: "drop"},
			moved: map[string]string{"web > db": "drop allow allow", "db > web": "drop reject reject", "db > web2": "drop reject reject"},
			note:  "web > db t: db saw the probe, but its answer did not come back",
		},
		"a packet passes into another VPC": {
			host: "h1",
			flow: netns.Flow{Priority: 65000, Match: fmt.Sprintf("ip,in_port=%d,nw_dst=%s", web2.Port, spy.Addr),
				Actions: fmt.Sprintf("set_field:%s->eth_dst,output:%d", spy.HWAddr, spy.Port)},
			moved: map[string]string{"web2 > spy": allow},
			note:  "web2 > spy t: spy saw the probe, which can't mean it: isolation is broken",
		},
		"a packet passes that is to be rejected": {
			host: "h1",
			flow: netns.Flow{Priority: 65000, Match: fmt.Sprintf("ip,in_port=%d,nw_dst=%s", web2.Port, db.Addr),
				Actions: fmt.Sprintf("set_field:%s->eth_dst,output:%d", web.HWAddr, web.Port)},
			moved: map[string]string{"web2 > db": drop}, // web drops what isn't its own
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			want := map[string]string{}
			for k, v := range asBuilt {
				want[k] = v
			}
			for k, v := range c.moved {
				want[k] = v
			}
			if c.host != "" {
				f.add(c.host, c.flow)
			}
			got, notes := f.measure(web, web2, db, spy)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("verdicts (-want +got):\n%s", d)
			}
			if !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes = %q; want %q", notes, c.note)
			}
		})
	}
}

// What is wrong with the endpoints file is said with its line, and nothing is
// left behind: shortTemp looks.
func TestUpRefusesEndpointsThatCannotBe(t *testing.T) {
	c := newCommands(t)
	specs := t.TempDir()
	writeFile(t, filepath.Join(specs, "all.yaml"),
		organisations.Object("Tenant", "name: acme", `  hosts: ["h1"]`)+organisations.Object("VPC", "name: prod, tenant: acme", "  subnets: [{name: web, cidr: 10.1.0.0/24}]"))
	const good = "endpoints:\n  - {name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2, host: 1}\n"
	for name, r := range map[string]struct {
		entry, want string
	}{
		"a host beyond the testbed":         {"{name: b, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.3, host: 3}", "ends.yaml:3: endpoint b: no host 3 in a testbed of 2"},
		"an unknown VPC":                    {"{name: b, tenant: acme, vpc: none, subnet: web, ip: 10.1.0.3}", "ends.yaml:3: "},
		"a host that may not have it":       {"{name: b, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.3, host: 2}", "ends.yaml:3: attach b to h2: "},
		"an address that is no endpoint's":  {"{name: b, tenant: acme, vpc: prod, subnet: web, ip: 10.9.0.3}", "ends.yaml:3: "},
		"a file that doesn't end as it was": {"{name: b, tenant: acme", "ends.yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ends.yaml")
			writeFile(t, file, good+"  - "+r.entry+"\nports: [tcp/80]\n")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, c.testbed, "up", "--hosts", "2", "--binaries", os.Getenv(binariesVar), "--endpoints", file, specs)
			cmd.Env = append(os.Environ(), "TMPDIR="+c.parent)
			out, err := cmd.CombinedOutput()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.ExitCode() != 1 || !strings.Contains(string(out), r.want) {
				t.Errorf("up = %v\n%s\nwant exit code 1 and %q", err, out, r.want)
			}
			if left, _ := filepath.Glob(filepath.Join(c.parent, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

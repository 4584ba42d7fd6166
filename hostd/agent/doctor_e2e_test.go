//go:build e2e

package agent_test

import (
	"encoding/json"
	"testing"

	"github.com/daolinet/daolinet/hostd/doctor"
	"github.com/daolinet/daolinet/hostd/internal/lab"
)

// doctor runs daoli-hostd doctor on the host, and returns its checks that are not
// ok and its exit code. This host has no clock that is followed, perhaps.
func (b *bed) doctor() (map[string]doctor.Check, int) {
	b.t.Helper()
	c := b.h1.Command(b.binary, "doctor", "-o", "json", "--socket", b.socket(), "--state-dir", b.stateDir(), "--ovs-rundir", b.ovs.Dir,
		"--docker", b.lab.Dir()+"/no-docker.sock")
	out, _ := c.Output()
	var checks []doctor.Check
	if err := json.Unmarshal(out, &checks); err != nil {
		b.t.Fatalf("doctor: %v: %s", err, out)
	}
	bad := map[string]doctor.Check{}
	for _, k := range checks {
		if k.Result != doctor.OK && k.Name != "clock" {
			bad[k.Name] = k
		}
	}
	return bad, c.ProcessState.ExitCode()
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	b := newBed(t)
	b.start()
	b.attach("web1", b.lab.Namespace("c1"))
	sick := func(what string, names ...string) {
		t.Helper()
		bad, code := b.doctor()
		delete(bad, "OpenFlow") // the stub has no switches
		for _, name := range names {
			if bad[name].Result != doctor.Fail {
				t.Errorf("%s: %+v; want %q to fail", what, bad, name)
			}
			delete(bad, name)
		}
		if len(bad) > 0 || code != 1 {
			t.Errorf("%s: exit code %d, and %+v", what, code, bad)
		}
	}
	sick("a host whose controller takes no switches")
	b.ovs.Ofctl("add-flow", "br-daoli", "cookie=0x9,table=0,priority=65535,ip,nw_src=192.0.2.1,actions=LOCAL")
	sick("somebody's flow that lets everything pass", "denial")
	b.ovs.Ofctl("del-flows", "br-daoli", "cookie=0x9/-1")
	b.rt.Run("ip", "link", "set", "r2", "mtu", "1400")
	b.ct.Run("ip", "link", "set", "eth0", "mtu", "1400")
	sick("a path that carries less", "MTU")
	b.rt.Run("ip", "link", "set", "r2", "mtu", "1500")
	b.ct.Run("ip", "link", "set", "eth0", "mtu", "1500")
	b.h1.Run("ip", "route", "flush", "cache")
	b.h1.Run("ethtool", "-K", "dl16", "tx", "on")
	sick("an endpoint's offloads", "offloads")
	b.h1.Run("ethtool", "-K", "dl16", "tx", "off")
	b.ovs.KillSwitch()
	lab.Eventually(t, "the switch's end is seen", func() string {
		if bad, _ := b.doctor(); bad["flows"].Result != doctor.Fail {
			return "flows are fine"
		}
		return ""
	})
}

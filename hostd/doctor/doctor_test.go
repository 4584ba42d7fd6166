package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/hostd/doctor"
)

var errTest = errors.New("it is broken")

// healthy is a host that nothing is wrong with.
func healthy() doctor.Facts {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	return doctor.Facts{
		OVSVersion: "3.1.0", Datapaths: []string{"netdev", "system"}, Datapath: "system",
		Switch: true, OpenFlow: map[string]bool{"ssl:172.31.250.1:6653": true}, Stream: "172.31.250.1:7443", Ready: true,
		Uplink: "eth0", Carrier: true, Port: "1", MTU: 1500, PathMTU: 1500,
		Now: now, Servers: []doctor.Server{{Name: "172.31.250.1:7443", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour)}},
		Probes: []doctor.Probe{{What: "a packet", Dropped: true}},
		Docker: "/var/run/docker.sock",
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(*doctor.Facts)
		check  string // that is not ok; empty: all are
		want   doctor.Result
		says   string
	}{
		{"a healthy host", func(*doctor.Facts) {}, "", doctor.OK, ""},
		{"no Docker is no fault", func(f *doctor.Facts) { f.Docker, f.PluginErr = "", errTest }, "", doctor.OK, ""},
		{"no Open vSwitch", func(f *doctor.Facts) { f.OVSErr = errTest }, "Open vSwitch", doctor.Fail, "apt install openvswitch-switch"},
		{"an old Open vSwitch", func(f *doctor.Facts) { f.OVSVersion = "2.9.8" }, "Open vSwitch", doctor.Fail, "too old"},
		{"one that nobody tested", func(f *doctor.Facts) { f.OVSVersion = "2.17.3" }, "Open vSwitch", doctor.Warn, "older"},
		{"a version that says nothing", func(f *doctor.Facts) { f.OVSVersion = "" }, "Open vSwitch", doctor.Fail, ""},
		{"no kernel datapath", func(f *doctor.Facts) { f.Datapaths = []string{"netdev"} }, "datapath", doctor.Fail, "--datapath netdev"},
		{"hostd does not run", func(f *doctor.Facts) { f.HostdErr = errTest }, "daoli-hostd", doctor.Fail, "daoli-hostd join"},
		{"the uplink is away", func(f *doctor.Facts) { f.UplinkErr = errTest }, "uplink", doctor.Fail, "by itself"},
		{"no carrier", func(f *doctor.Facts) { f.Carrier = false }, "uplink", doctor.Fail, "no carrier"},
		{"another port", func(f *doctor.Facts) { f.Port = "-1" }, "uplink", doctor.Fail, "ofport is -1"},
		{"the path carries less", func(f *doctor.Facts) { f.MTU, f.PathMTU = 9000, 576 }, "MTU", doctor.Fail, "set the MTU of eth0"},
		{"the path is not measured", func(f *doctor.Facts) { f.PathErr = errTest }, "MTU", doctor.Warn, ""},
		{"packets are joined", func(f *doctor.Facts) { f.GRO = true }, "offloads", doctor.Warn, "ethtool -K eth0 gro off"},
		{"checksums are left out", func(f *doctor.Facts) { f.Offloaded = []string{"dl16", "dl17"} }, "offloads", doctor.Fail, "dl16, dl17"},
		{"a clock on its own", func(f *doctor.Facts) { f.Unsynchronized = true }, "clock", doctor.Warn, "chrony"},
		{"a controller that is away", func(f *doctor.Facts) { f.Servers[0].Err = errTest }, "controller 172.31.250.1:7443", doctor.Fail, ""},
		{"a slow clock", func(f *doctor.Facts) { f.Now = f.Now.Add(-2 * time.Hour) }, "controller 172.31.250.1:7443", doctor.Fail, "clock is slow"},
		{"an expired certificate, or a fast clock", func(f *doctor.Facts) { f.Now = f.Now.Add(48 * time.Hour) }, "controller 172.31.250.1:7443", doctor.Fail, "ended"},
		{"a certificate near its end", func(f *doctor.Facts) { f.Now = f.Now.Add(20 * time.Hour) }, "controller 172.31.250.1:7443", doctor.Warn, "ends"},
		{"no stream", func(f *doctor.Facts) { f.Stream = "" }, "stream", doctor.Fail, ""},
		{"a report that is not confirmed", func(f *doctor.Facts) { f.Ready = false }, "stream", doctor.Warn, ""},
		{"no OpenFlow", func(f *doctor.Facts) { f.OpenFlow = map[string]bool{"ssl:172.31.250.1:6653": false} }, "OpenFlow", doctor.Fail, "6653"},
		{"some OpenFlow", func(f *doctor.Facts) { f.OpenFlow["ssl:172.31.250.2:6653"] = false }, "OpenFlow", doctor.Warn, "1 of 2"},
		{"no switch", func(f *doctor.Facts) { f.Switch = false }, "flows", doctor.Fail, ""},
		{"flows that can't be read", func(f *doctor.Facts) { f.FlowsErr = errTest }, "flows", doctor.Fail, ""},
		{"flows that are gone", func(f *doctor.Facts) { f.Missing = []string{"table=1 actions=drop"} }, "flows", doctor.Fail, "table=1"},
		{"what must be dropped is not", func(f *doctor.Facts) { f.Probes[0].Dropped = false }, "denial", doctor.Fail, "not dropped"},
		{"what must be dropped is not known to be", func(f *doctor.Facts) { f.Probes[0].Err = errTest }, "denial", doctor.Fail, ""},
		{"dockerd is away", func(f *doctor.Facts) { f.DockerErr = errTest }, "Docker", doctor.Fail, "systemctl start docker"},
		{"the plugin is away", func(f *doctor.Facts) { f.PluginErr = errTest }, "Docker plugin", doctor.Fail, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.change(&f)
			checks := doctor.Judge(f)
			found := tt.check == ""
			for _, c := range checks {
				if c.Result != doctor.OK && c.Name != tt.check {
					t.Errorf("%+v; want it ok", c)
				}
				if c.Name == tt.check && c.Result == tt.want && strings.Contains(c.Found+c.Way, tt.says) && c.Way != "" {
					found = true
				}
				if (c.Result == doctor.OK) != (c.Way == "") {
					t.Errorf("%+v; want a way out where, and only where, it is not ok", c)
				}
			}
			if !found {
				t.Errorf("no check %q with %s and %q among %+v", tt.check, tt.want, tt.says, checks)
			}
			if sick := doctor.Sick(checks); sick != (tt.want == doctor.Fail) {
				t.Errorf("Sick = %v", sick)
			}
		})
	}
}

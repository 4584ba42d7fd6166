// Package doctor says what is wrong with a host, and the way out. Judging is a
// pure function of the facts that Collect gathers.
package doctor

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Result is how a check went.
type Result string

// Results. Only Fail makes a host sick.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "FAIL"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Found  string `json:"found"`
	Way    string `json:"way,omitempty"` // out, unless it is ok
}

// Sick reports whether some check failed.
func Sick(checks []Check) bool {
	for _, c := range checks {
		if c.Result == Fail {
			return true
		}
	}
	return false
}

// Facts are what Judge depends on. An Err says why something could not be asked.
type Facts struct {
	OVSErr     error
	OVSVersion string
	Datapaths  []string // that this Open vSwitch has
	Datapath   string   // that the bridge should have

	HostdErr error // the running daoli-hostd did not answer; what follows of it is unknown
	Switch   bool
	OpenFlow map[string]bool // target -> connected
	Stream   string          // controller that the stream goes to; empty: none
	Ready    bool

	UplinkErr error
	Uplink    string
	Carrier   bool
	Port      string // ofport of the uplink in the database
	MTU       int
	PathErr   error    // the path could not be measured
	PathMTU   int      // of the largest packet that came back; 0: none did
	GRO       bool     // of the uplink; with the userspace datapath
	Offloaded []string // endpoints' devices that leave checksums to hardware; with the userspace datapath

	Unsynchronized bool // the kernel's clock follows no other
	Servers        []Server
	Now            time.Time

	FlowsErr error
	Missing  []string // base flows that are gone or changed
	Probes   []Probe

	Docker string // socket; empty: there is none
	DockerErr,
	PluginErr error
}

// Server is a controller as seen from the host.
type Server struct {
	Name      string // HOST:PORT
	Addrs     []netip.Addr
	Err       error // of DNS, TCP or TLS
	NotBefore time.Time
	NotAfter  time.Time // of its certificate
}

// Probe is a packet that must be dropped: it was put into the switch, and the
// counter of the flow that drops it looked at.
type Probe struct {
	What    string
	Err     error
	Dropped bool
}

// Least versions of Open vSwitch: below the first something is missing, below the
// second nobody tested.
var leastOVS, testedOVS = [2]int{2, 15}, [2]int{3, 1}

// Judge returns the checks, in the order of their dependence.
func Judge(f Facts) []Check {
	var out []Check
	add := func(name string, r Result, way, format string, args ...any) {
		if r == OK {
			way = ""
		}
		out = append(out, Check{Name: name, Result: r, Found: fmt.Sprintf(format, args...), Way: way})
	}
	judgeOVS(f, add)
	if f.HostdErr != nil {
		add("daoli-hostd", Fail, "start it: systemctl start daoli-hostd, or daoli-hostd join if the host has not joined", "it does not answer: %v", f.HostdErr)
	} else {
		add("daoli-hostd", OK, "", "it answers")
	}
	judgeUplink(f, add)
	judgeControllers(f, add)
	if f.HostdErr == nil {
		judgeFlows(f, add)
	}
	judgeDocker(f, add)
	return out
}

type adder = func(name string, r Result, way, format string, args ...any)

func judgeOVS(f Facts, add adder) {
	const name = "Open vSwitch"
	if f.OVSErr != nil {
		add(name, Fail, "install and start it: apt install openvswitch-switch; --ovs-rundir says where its sockets are", "%v", f.OVSErr)
		return
	}
	var v [2]int
	_, err := fmt.Sscanf(f.OVSVersion, "%d.%d", &v[0], &v[1])
	less := func(a, b [2]int) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }
	switch {
	case err != nil || less(v, leastOVS):
		add(name, Fail, fmt.Sprintf("install %d.%d or later", testedOVS[0], testedOVS[1]), "version %q is too old", f.OVSVersion)
	case less(v, testedOVS):
		add(name, Warn, fmt.Sprintf("install %d.%d or later", testedOVS[0], testedOVS[1]), "version %s is older than what is tested", f.OVSVersion)
	default:
		add(name, OK, "", "version %s", f.OVSVersion)
	}
	for _, d := range f.Datapaths {
		if d == f.Datapath {
			add("datapath", OK, "", "%s", f.Datapath)
			return
		}
	}
	if f.Datapath != "" {
		add("datapath", Fail, "load the kernel's module openvswitch, or join with --datapath netdev", "this Open vSwitch has no datapath %s", f.Datapath)
	}
}

func judgeUplink(f Facts, add adder) {
	if f.UplinkErr != nil {
		add("uplink", Fail, "see that the device is there: daoli-hostd joins again by itself when it comes back", "%v", f.UplinkErr)
		return
	}
	if f.Uplink == "" {
		return
	}
	switch {
	case !f.Carrier:
		add("uplink", Fail, "plug the cable in, or set the other end up", "%s has no carrier", f.Uplink)
	case f.Port != "1":
		add("uplink", Fail, "restart daoli-hostd and see ovs-vsctl show for the error", "%s is not the bridge's port 1 (ofport is %s)", f.Uplink, f.Port)
	default:
		add("uplink", OK, "", "%s has a carrier and is the bridge's port", f.Uplink)
	}
	const mtu = "MTU"
	switch {
	case f.PathErr != nil:
		add(mtu, Warn, "let ICMP echo through, or compare the MTU of the path with the uplink's by hand", "the path was not measured: %v", f.PathErr)
	case f.PathMTU < f.MTU:
		add(mtu, Fail, fmt.Sprintf("set the MTU of %s to what the path carries and restart daoli-hostd: endpoints have the uplink's", f.Uplink),
			"%s has %d bytes, and a packet of that size does not come back, one of %d does", f.Uplink, f.MTU, f.PathMTU)
	default:
		add(mtu, OK, "", "%d bytes come through", f.MTU)
	}
	if f.GRO {
		add("offloads", Warn, fmt.Sprintf("ethtool -K %s gro off lro off", f.Uplink), "%s joins packets on receipt, which the userspace datapath drops", f.Uplink)
	}
	if len(f.Offloaded) > 0 {
		add("offloads", Fail, "ethtool -K DEVICE tx off, on both ends", "%s leave checksums to hardware: TCP does not work over the userspace datapath", strings.Join(f.Offloaded, ", "))
	}
	if !f.GRO && len(f.Offloaded) == 0 {
		add("offloads", OK, "", "none stands in the way")
	}
}

// soon is how long before its end a controller's certificate is worth a word.
const soon = 6 * time.Hour

func judgeControllers(f Facts, add adder) {
	for _, s := range f.Servers {
		name := "controller " + s.Name
		switch {
		case s.Err != nil:
			add(name, Fail, "see that it runs and that no firewall stands between", "%v", s.Err)
		case f.Now.Before(s.NotBefore):
			add(name, Fail, "set the clock of this host", "its certificate is valid from %s on: this host's clock is slow", s.NotBefore.UTC().Format(time.DateTime))
		case f.Now.After(s.NotAfter):
			add(name, Fail, "set the clock of this host, or look why the controller does not renew", "its certificate ended on %s", s.NotAfter.UTC().Format(time.DateTime))
		case s.NotAfter.Sub(f.Now) < soon:
			add(name, Warn, "look why the controller does not renew it", "its certificate ends on %s", s.NotAfter.UTC().Format(time.DateTime))
		default:
			add(name, OK, "", "it answers, certificate until %s", s.NotAfter.UTC().Format(time.DateTime))
		}
	}
	if f.Unsynchronized {
		add("clock", Warn, "run chrony or systemd-timesyncd", "the clock follows no other; certificates and time limits of rules go by it")
	} else {
		add("clock", OK, "", "it is synchronized")
	}
	if f.HostdErr != nil {
		return
	}
	switch {
	case f.Stream == "":
		add("stream", Fail, "see daoli-hostd's log: journalctl -u daoli-hostd", "daoli-hostd has no connection to a controller; new endpoints wait")
	case !f.Ready:
		add("stream", Warn, "wait; see the controller's log", "%s has not confirmed the host's report", f.Stream)
	default:
		add("stream", OK, "", "%s has confirmed the host's report", f.Stream)
	}
	up := 0
	for _, connected := range f.OpenFlow {
		if connected {
			up++
		}
	}
	switch {
	case up == 0:
		add("OpenFlow", Fail, "see ovs-vswitchd's log: the controllers' port 6653 and the certificate", "the switch has no connection to a controller: nobody decides about new sessions")
	case up < len(f.OpenFlow):
		add("OpenFlow", Warn, "see that the other controllers run", "%d of %d controllers are connected", up, len(f.OpenFlow))
	default:
		add("OpenFlow", OK, "", "%d connected", up)
	}
}

func judgeFlows(f Facts, add adder) {
	switch {
	case !f.Switch:
		add("flows", Fail, "start Open vSwitch", "the switch does not run")
		return
	case f.FlowsErr != nil:
		add("flows", Fail, "see that Open vSwitch runs", "%v", f.FlowsErr)
		return
	case len(f.Missing) > 0:
		add("flows", Fail, "find out who changes them; daoli-hostd puts missing ones back within seconds", "%d base flows are gone or changed: %s", len(f.Missing), f.Missing[0])
	default:
		add("flows", OK, "", "the base flows are as they should be")
	}
	for _, p := range f.Probes {
		switch {
		case p.Err != nil:
			add("denial", Fail, "see that Open vSwitch runs", "%s: %v", p.What, p.Err)
		case !p.Dropped:
			add("denial", Fail, "look for flows that are not ours: ovs-ofctl -O OpenFlow13 dump-flows BRIDGE", "%s was not dropped where it should be", p.What)
		default:
			add("denial", OK, "", "%s was dropped", p.What)
		}
	}
}

func judgeDocker(f Facts, add adder) {
	switch {
	case f.Docker == "":
		add("Docker", OK, "", "there is none on this host")
		return
	case f.DockerErr != nil:
		add("Docker", Fail, "start it: systemctl start docker", "%s does not answer: %v", f.Docker, f.DockerErr)
	default:
		add("Docker", OK, "", "%s answers", f.Docker)
	}
	if f.PluginErr != nil {
		add("Docker plugin", Fail, "see daoli-hostd's log and --plugin-socket", "%v", f.PluginErr)
	} else {
		add("Docker plugin", OK, "", "it answers")
	}
}

package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// anyPort is the text of a rule for all protocols and ports.
const anyPort = "any"

// portLists are the distinct `ports` of the rules of one VPC. As peers do, they
// have keys, their texts ("tcp/443", "tcp/80,tcp/8000-8999", "any"), by which
// Rego finds the rules; which of them hold a port is looked up here.
type portLists struct {
	known  map[string]bool
	any    []string                    // the key anyPort, if some rule has it
	single map[protoPort][]string      // the keys with just this port
	ranges map[packet.Proto][]portKeys // the keys with a range
}

type protoPort struct {
	proto packet.Proto
	port  uint16
}

type portKeys struct {
	lo, hi uint16
	key    string
}

func newPortLists() *portLists {
	return &portLists{
		known:  map[string]bool{},
		single: map[protoPort][]string{},
		ranges: map[packet.Proto][]portKeys{},
	}
}

// add returns the key of a rule's ports, and whether there are any.
func (l *portLists) add(r *spec.Rule) (key string, found bool) {
	if !r.AnyPort && len(r.Ports) == 0 {
		return "", false
	}
	key = portsText(r)
	if l.known[key] {
		return key, true
	}
	l.known[key] = true
	if r.AnyPort {
		l.any = append(l.any, key)
		return key, true
	}
	for _, p := range r.Ports {
		proto := protoNumber(p.Proto)
		if p.Lo != p.Hi {
			l.ranges[proto] = append(l.ranges[proto], portKeys{lo: p.Lo, hi: p.Hi, key: key})
			continue
		}
		at := protoPort{proto, p.Lo}
		l.single[at] = append(l.single[at], key)
	}
	return key, true
}

// holding returns the keys that hold the port. A protocol that rules have no
// name for is held by anyPort alone.
func (l *portLists) holding(proto packet.Proto, port uint16) []string {
	keys := slices.Concat(l.any, l.single[protoPort{proto, port}])
	for _, r := range l.ranges[proto] {
		if r.lo <= port && port <= r.hi {
			keys = append(keys, r.key)
		}
	}
	return keys
}

// portsText returns a rule's ports as one text, the same for the same list.
func portsText(r *spec.Rule) string {
	if r.AnyPort {
		return anyPort
	}
	texts := make([]string, len(r.Ports))
	for i, p := range r.Ports {
		texts[i] = portText(p)
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ",")
}

// portText returns a port as the YAML has it.
func portText(p spec.Port) string {
	switch {
	case p.Lo == 0 && (p.Hi == 1<<16-1 || p.Proto == "icmp" && p.Hi >= 255):
		return p.Proto
	case p.Lo == p.Hi:
		return p.Proto + "/" + strconv.Itoa(int(p.Lo))
	}
	return fmt.Sprintf("%s/%d-%d", p.Proto, p.Lo, p.Hi)
}

// protoNumber returns the protocol of a name that rules have.
func protoNumber(name string) packet.Proto {
	switch name {
	case "tcp":
		return packet.TCP
	case "udp":
		return packet.UDP
	case "sctp":
		return packet.SCTP
	}
	return packet.ICMP
}

package scenario

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/testbed/netns"
)

var loadText = regexp.MustCompile(`load:0x([0-9a-f]+)->`)

// ofctlFlow writes a flow of the session table as ovs-ofctl dumps it in
// openflow's own text. What it cannot read stands in the text as it was, so that
// a comparison fails and shows it.
func ofctlFlow(f netns.Flow) string {
	flow := openflow.Flow{Table: openflow.TableID(f.Table), Priority: uint16(f.Priority), HardTimeout: uint16(f.HardTimeout)}
	var unread []string
	for _, token := range strings.Split(f.Match, ",") {
		if !readToken(&flow.Match, token) {
			unread = append(unread, token)
		}
	}
	text, _, _ := strings.Cut(flow.String(), " actions=")
	if len(unread) > 0 {
		text += "," + strings.Join(unread, ",")
	}
	actions := loadText.ReplaceAllStringFunc(f.Actions, func(s string) string {
		n, err := strconv.ParseUint(loadText.FindStringSubmatch(s)[1], 16, 64)
		if err != nil {
			return s
		}
		return fmt.Sprintf("load:%d->", n)
	})
	return text + " actions=" + actions
}

// readToken reads one part of a match in ovs-ofctl(8)'s syntax.
func readToken(m *openflow.Match, token string) bool {
	name, value, found := strings.Cut(token, "=")
	if !found {
		return readProto(m, name)
	}
	switch name {
	case "nw_src", "nw_dst":
		a, err := netip.ParseAddr(value)
		if err != nil || !a.Is4() {
			return false
		}
		*map[string]*openflow.Bits[uint32]{"nw_src": &m.IPSrc, "nw_dst": &m.IPDst}[name] = openflow.IPv4(a)
		return true
	}
	if token == "in_port=LOCAL" {
		m.InPort = openflow.PortLocal
		return true
	}
	v, mask, err := number(value)
	if err != nil {
		return false
	}
	switch name {
	case "in_port":
		m.InPort = openflow.PortNo(v)
	case "metadata":
		m.Metadata = openflow.Masked(v, mask)
	case "tp_src":
		m.L4Src = openflow.Masked(uint16(v), uint16(mask))
	case "tp_dst":
		m.L4Dst = openflow.Masked(uint16(v), uint16(mask))
	case "icmp_type":
		m.ICMPType = openflow.Exact(uint8(v))
	case "icmp_code":
		m.ICMPCode = openflow.Exact(uint8(v))
	default:
		return false
	}
	return true
}

func readProto(m *openflow.Match, name string) bool {
	proto, found := map[string]uint8{"tcp": openflow.ProtoTCP, "udp": openflow.ProtoUDP, "icmp": openflow.ProtoICMP}[name]
	if found {
		m.EthType, m.IPProto = openflow.EthTypeIPv4, openflow.Exact(proto)
	}
	return found
}

// number reads VALUE or VALUE/MASK.
func number(s string) (v, mask uint64, err error) {
	value, m, masked := strings.Cut(s, "/")
	if v, err = strconv.ParseUint(value, 0, 64); err != nil || !masked {
		return v, ^uint64(0), err
	}
	mask, err = strconv.ParseUint(m, 0, 64)
	return v, mask, err
}

package flood_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/daolinet/daolinet/testbed/flood"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

var sender = flood.Sender{
	MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Gateway: net.HardwareAddr{2, 0, 0, 0, 0, 1},
	Addr: netip.MustParseAddr("10.2.0.2"), Target: netip.MustParseAddr("10.2.1.2"),
}

func TestKindsAreWhatTheySay(t *testing.T) {
	is := map[string]func(f inside.Frame, n int) bool{
		"scan of TCP ports": func(f inside.Frame, n int) bool { return f.Flags == inside.SYN && int(f.DstPort) == n+1 },
		"new UDP sessions":  func(f inside.Frame, n int) bool { return f.Proto == inside.UDP && int(f.DstPort) == n+1 },
		"packets of TTL 1":  func(f inside.Frame, _ int) bool { return f.Proto == inside.UDP && f.TTL == 1 },
		"ARP requests": func(f inside.Frame, _ int) bool {
			return f.EthType == inside.EtherARP && f.ICMPType == 1 && f.Src == sender.Addr && f.ARPSrc.String() == sender.MAC.String()
		},
		"fragments":    func(f inside.Frame, n int) bool { return f.Src == sender.Addr && f.Fragment == (n%2 == 1) },
		"random bytes": func(inside.Frame, int) bool { return true },
	}
	for _, k := range flood.Kinds() {
		for n := range 200 {
			b := k.Frame(sender, n)
			f, _ := inside.Parse(b)
			if len(b) > 1514 || is[k.Name] == nil || !is[k.Name](f, n) {
				t.Fatalf("frame %d of %s = %s (%d bytes)", n, k.Name, &f, len(b))
			}
			if !slices.Equal(b, k.Frame(sender, n)) {
				t.Errorf("frame %d of %s is another one the second time", n, k.Name)
			}
		}
	}
}

// A switch and a stack drop what has a wrong header before it costs anybody
// anything.
func TestFragmentsHaveRightHeaders(t *testing.T) {
	for _, k := range flood.Kinds() {
		if k.Name != "fragments" {
			continue
		}
		for n := range 200 {
			var sum uint32
			for head := k.Frame(sender, n)[14:34]; len(head) > 0; head = head[2:] {
				sum += uint32(binary.BigEndian.Uint16(head))
			}
			if sum = sum&0xffff + sum>>16; sum != 0xffff {
				t.Errorf("header of fragment %d sums up to %#x; want 0xffff", n, sum)
			}
		}
	}
}

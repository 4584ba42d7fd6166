// Package flood makes the traffic of a hostile container: many frames a second
// of kinds that cost whoever must look at each of them. It writes them to a
// device of a namespace of the testbed and nowhere else.
package flood

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Rate is how many frames a second a flood has, if nothing else is said: twice
// what an endpoint's port may lift.
const Rate = 2000

// Sender is who floods, and whom.
type Sender struct {
	MAC     net.HardwareAddr // its own
	Gateway net.HardwareAddr
	Addr    netip.Addr // its own
	Target  netip.Addr // of another subnet, so that routers see the frames' TTL
}

// Kind is one kind of traffic.
type Kind struct {
	Name string
	// Frame returns frame n, from 0. Frames of one n are alike, and each n is
	// another session to whoever counts those.
	Frame func(s Sender, n int) []byte
}

// Scan is TCP SYNs to all ports of the target, from 1 to 65535.
var Scan = Kind{"scan of TCP ports", func(s Sender, n int) []byte {
	f := s.frame(inside.TCP, 40000, uint16(1+n%65535))
	f.Flags = inside.SYN
	return f.Bytes()
}}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		Scan,
		{"new UDP sessions", func(s Sender, n int) []byte {
			f := s.frame(inside.UDP, uint16(32768+n/60000), uint16(1+n%60000))
			return f.Bytes()
		}},
		{"packets of TTL 1", func(s Sender, n int) []byte {
			f := s.frame(inside.UDP, uint16(33000+n%1000), uint16(33434+n%100))
			f.TTL = 1
			return f.Bytes()
		}},
		{"ARP requests", arp},
		{"fragments", fragment},
		{"random bytes", noise},
	}
}

func (s *Sender) frame(proto byte, from, to uint16) inside.Frame {
	return inside.Frame{
		EthSrc: s.MAC, EthDst: s.Gateway, EthType: inside.EtherIPv4, Proto: proto,
		Src: s.Addr, Dst: s.Target, SrcPort: from, DstPort: to, Payload: []byte("flood"),
	}
}

// arp asks for another address each time.
func arp(s Sender, n int) []byte {
	f := inside.Frame{
		EthSrc: s.MAC, EthDst: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EthType: inside.EtherARP,
		ICMPType: 1, ARPSrc: s.MAC, ARPDst: make(net.HardwareAddr, 6), Src: s.Addr,
		Dst: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
	}
	return f.Bytes()
}

// fragment is in turns a first fragment, of which no other follows, and a later
// one, which has no ports.
func fragment(s Sender, n int) []byte {
	f := s.frame(inside.UDP, 34000, uint16(1+n%60000))
	f.Payload = make([]byte, 32)
	b := f.Bytes()
	const ip, more = 14, 0x2000 // where the IPv4 header begins; the flag that more follow
	offset := uint16(more)
	if n%2 == 1 {
		offset = uint16(1 + n%4000)
	}
	head := b[ip : ip+20]
	binary.BigEndian.PutUint16(head[4:], uint16(n)) // identification
	binary.BigEndian.PutUint16(head[6:], offset)
	binary.BigEndian.PutUint16(head[10:], 0)
	var sum uint32
	for i := 0; i < len(head); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(head[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(head[10:], ^uint16(sum+sum>>16))
	return b
}

// noise is random behind the Ethernet addresses, or all of it.
func noise(s Sender, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, 14+r.IntN(1400))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] &^= 1 // to one
	if n%2 == 0 {
		copy(b, s.Gateway)
		copy(b[6:], s.MAC)
	}
	return b
}

// Send writes frames of a kind to a device, from the first on, at rate a second
// until ctx ends or there were most, and returns how many. Where the machine is
// late, it makes up for that.
func Send(ctx context.Context, d *inside.Device, k Kind, s Sender, rate, most int) (sent int, err error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for sent < most {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-tick.C:
		}
		due := min(most, int(time.Since(begin).Seconds()*float64(rate)))
		for ; sent < due; sent++ {
			err := d.Send(k.Frame(s, sent))
			if errors.Is(err, unix.ENOBUFS) {
				break // the device's queue is full; the rest is due the next time
			}
			if err != nil {
				return sent, fmt.Errorf("send %s: %w", k.Name, err)
			}
		}
	}
	return sent, nil
}

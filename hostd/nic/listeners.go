package nic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Listener is a socket of the host's that takes packets from anybody.
type Listener struct {
	Proto packet.Proto // TCP or UDP
	Port  uint16
}

// Connection is a connected socket of the host's.
type Connection struct {
	Proto     packet.Proto // TCP or UDP
	LocalPort uint16
	Remote    netip.AddrPort
}

// States of sockets as sock_diag(7) filters them: 1 << TCP_LISTEN, and for UDP
// 1 << TCP_CLOSE, which is "bound, not connected". Connected are the sockets to
// which a peer may still say something: ESTABLISHED, SYN_SENT, both FIN_WAITs,
// CLOSE_WAIT, LAST_ACK and CLOSING.
const (
	tcpListening   = 1 << 10
	udpUnconnected = 1 << 7
	tcpConnected   = 1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11
	udpConnected   = 1 << 1
)

// Layout of struct inet_diag_msg (linux/inet_diag.h).
const (
	diagPortOffset       = 4
	diagRemotePortOffset = 6
	diagAddrOffset       = 8
	diagRemoteAddrOffset = 24
	diagMinSize          = 72
	diagReqSize          = 56
)

// Listeners returns the host's listening TCP and bound UDP sockets on ports
// from first on, sorted. Sockets on loopback addresses only are left out: no
// packet of a wire can reach them.
func Listeners(first uint16) ([]Listener, error) {
	found := map[Listener]bool{}
	err := sockets(tcpListening, udpUnconnected, func(q diagRequest, m []byte) {
		if l, ok := parseDiag(q, m); ok && l.Port >= first {
			found[l] = true
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]Listener, 0, len(found))
	for l := range found {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Listener) int {
		return (int(a.Proto)<<16 | int(a.Port)) - (int(b.Proto)<<16 | int(b.Port))
	})
	return out, nil
}

// Connections returns the host's connected sockets whose local address is addr,
// in the kernel's order.
func Connections(addr netip.Addr) ([]Connection, error) {
	var out []Connection
	err := sockets(tcpConnected, udpConnected, func(q diagRequest, m []byte) {
		if c, local, ok := parseConnection(q, m); ok && local == addr {
			out = append(out, c)
		}
	})
	return out, err
}

// sockets calls each for every TCP and UDP socket in one of the states.
func sockets(tcp, udp uint32, each func(diagRequest, []byte)) error {
	for _, q := range []diagRequest{
		{unix.AF_INET, packet.TCP, tcp},
		{unix.AF_INET6, packet.TCP, tcp},
		{unix.AF_INET, packet.UDP, udp},
		{unix.AF_INET6, packet.UDP, udp},
	} {
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddData(q)
		msgs, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
		if err != nil {
			return fmt.Errorf("list sockets: %w", err)
		}
		for _, m := range msgs {
			each(q, m)
		}
	}
	return nil
}

// diagRequest is struct inet_diag_req_v2 with only these fields set.
type diagRequest struct {
	family uint8
	proto  packet.Proto
	states uint32
}

func (q diagRequest) Len() int { return diagReqSize }

func (q diagRequest) Serialize() []byte {
	b := make([]byte, diagReqSize)
	b[0], b[1] = q.family, uint8(q.proto)
	binary.NativeEndian.PutUint32(b[4:], q.states)
	return b
}

// parseDiag reads one inet_diag_msg. It is not ok for sockets on loopback.
func parseDiag(q diagRequest, m []byte) (Listener, bool) {
	if len(m) < diagMinSize {
		return Listener{}, false
	}
	l := Listener{Proto: q.proto, Port: binary.BigEndian.Uint16(m[diagPortOffset:])}
	return l, l.Port != 0 && !q.addr(m[diagAddrOffset:]).IsLoopback()
}

// parseConnection reads one inet_diag_msg of a connected socket. It is not ok for
// IPv6.
func parseConnection(q diagRequest, m []byte) (c Connection, local netip.Addr, ok bool) {
	if len(m) < diagMinSize {
		return Connection{}, netip.Addr{}, false
	}
	local, remote := q.addr(m[diagAddrOffset:]), q.addr(m[diagRemoteAddrOffset:])
	c = Connection{
		Proto: q.proto, LocalPort: binary.BigEndian.Uint16(m[diagPortOffset:]),
		Remote: netip.AddrPortFrom(remote, binary.BigEndian.Uint16(m[diagRemotePortOffset:])),
	}
	return c, local, local.Is4() && remote.Is4() && c.LocalPort != 0 && c.Remote.Port() != 0
}

// addr reads an address of an inet_diag_msg.
func (q diagRequest) addr(b []byte) netip.Addr {
	if q.family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

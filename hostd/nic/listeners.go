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

// States of sockets as sock_diag(7) filters them: 1 << TCP_LISTEN, and for UDP
// 1 << TCP_CLOSE, which is "bound, not connected".
const (
	tcpListening   = 1 << 10
	udpUnconnected = 1 << 7
)

// Layout of struct inet_diag_msg (linux/inet_diag.h).
const (
	diagPortOffset = 4
	diagAddrOffset = 8
	diagMinSize    = 72
	diagReqSize    = 56
)

// Listeners returns the host's listening TCP and bound UDP sockets on ports
// from first on, sorted. Sockets on loopback addresses only are left out: no
// packet of a wire can reach them.
func Listeners(first uint16) ([]Listener, error) {
	found := map[Listener]bool{}
	for _, q := range []diagRequest{
		{unix.AF_INET, packet.TCP, tcpListening},
		{unix.AF_INET6, packet.TCP, tcpListening},
		{unix.AF_INET, packet.UDP, udpUnconnected},
		{unix.AF_INET6, packet.UDP, udpUnconnected},
	} {
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddData(q)
		msgs, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
		if err != nil {
			return nil, fmt.Errorf("list sockets: %w", err)
		}
		for _, m := range msgs {
			if l, ok := parseDiag(q, m); ok && l.Port >= first {
				found[l] = true
			}
		}
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
	addr := netip.AddrFrom16([16]byte(m[diagAddrOffset:])).Unmap()
	if q.family == unix.AF_INET {
		addr = netip.AddrFrom4([4]byte(m[diagAddrOffset:]))
	}
	return l, l.Port != 0 && !addr.IsLoopback()
}

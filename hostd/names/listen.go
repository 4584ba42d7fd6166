package names

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ListenUDP opens the socket that questions come by, in the network namespace of
// the calling thread. Answers leave from the address that was asked, whichever it
// is (ip(7), IP_PKTINFO).
func ListenUDP(port uint16) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
		if err == nil {
			err = cerr
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("learn addresses of questions: %w", err)
	}
	return c, nil
}

// ListenTCP opens the other socket.
func ListenTCP(port uint16) (net.Listener, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{Port: int(port)})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// arrivedAt returns the address that a message was sent to.
func arrivedAt(oob []byte) (netip.Addr, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo {
			return netip.AddrFrom4([4]byte(m.Data[8:12])), true // ipi_addr
		}
	}
	return netip.Addr{}, false
}

// sendFrom sends an answer. One that is lost is asked for again.
func sendFrom(c *net.UDPConn, b []byte, from netip.Addr, to netip.AddrPort) {
	oob := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	_, _, _ = c.WriteMsgUDPAddrPort(b, oob, to)
}

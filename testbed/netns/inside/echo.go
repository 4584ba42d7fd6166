package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Server is an echo server in a namespace. It answers with its banner, once a
// connection or datagram, followed by what it received.
type Server struct {
	Addr netip.AddrPort

	close func() error
	wg    sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	conns map[net.Conn]struct{}
	peers []netip.AddrPort
	done  bool
}

// ServeTCP starts a TCP echo server at addr in the namespace. Each connection
// first gets banner. One that is idle is silent: no end sends keep-alive probes.
func ServeTCP(namespace string, addr netip.AddrPort, banner string) (*Server, error) {
	var l net.Listener
	err := Do(namespace, func() (err error) {
		quiet := net.ListenConfig{KeepAlive: -1}
		l, err = quiet.Listen(context.Background(), "tcp4", addr.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve tcp in %s: %w", namespace, err)
	}
	s := &Server{Addr: addrPort(l.Addr()), close: l.Close, conns: map[net.Conn]struct{}{}}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !s.add(c) {
				c.Close()
				return
			}
			s.wg.Go(func() {
				defer s.remove(c)
				if _, err := io.WriteString(c, banner); err == nil {
					io.Copy(c, c) // ends with the connection, whose fault is its client's to see
				}
			})
		}
	})
	return s, nil
}

// ServeUDP starts a UDP echo server at addr in the namespace. Each answer
// begins with banner.
func ServeUDP(namespace string, addr netip.AddrPort, banner string) (*Server, error) {
	var c *net.UDPConn
	err := Do(namespace, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve udp in %s: %w", namespace, err)
	}
	s := &Server{Addr: addrPort(c.LocalAddr()), close: c.Close}
	s.wg.Go(func() {
		buf := make([]byte, 64<<10)
		copy(buf, banner)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf[len(banner):])
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // an ICMP error of an earlier answer
			}
			s.note(from)
			c.WriteToUDPAddrPort(buf[:len(banner)+n], from)
		}
	})
	return s, nil
}

// Peers returns who connected or sent a datagram, in order.
func (s *Server) Peers() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.AddrPort(nil), s.peers...)
}

// Close stops the server and its connections.
func (s *Server) Close() error {
	err := s.close()
	s.mu.Lock()
	s.done = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return false
	}
	s.conns[c] = struct{}{}
	s.peers = append(s.peers, addrPort(c.RemoteAddr()))
	return true
}

func (s *Server) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Close()
	delete(s.conns, c)
}

func (s *Server) note(from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, from)
}

// Dial connects from the namespace to addr, over network "tcp4" or "udp4". A
// source port other than 0 is bound first, also while another connection of
// that port is in TIME_WAIT. A TCP connection sends no keep-alive probes.
func Dial(ctx context.Context, namespace, network string, source uint16, addr netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: reuseAddr, KeepAlive: -1}
	if source != 0 {
		if network == "udp4" {
			d.LocalAddr = &net.UDPAddr{Port: int(source)}
		} else {
			d.LocalAddr = &net.TCPAddr{Port: int(source)}
		}
	}
	var c net.Conn
	err := Do(namespace, func() (err error) {
		c, err = d.DialContext(ctx, network, addr.String())
		return err
	})
	return c, err
}

func reuseAddr(_, _ string, c syscall.RawConn) error {
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
	return errors.Join(err, serr)
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

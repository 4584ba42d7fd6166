package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// A probe carries the text "ask NONCE", an answer "ans NONCE NAME\n". nonceLen
// is a nonce's number of hex digits.
const (
	nonceLen = 32
	ask      = "ask "
	ans      = "ans "
	askLen   = len(ask) + nonceLen
)

// ICMP types, and the codes of type 3 that say administratively prohibited:
// network, host, communication (RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
const (
	echoReply   = 0
	unreachable = 3
	echoRequest = 8

	netProhibited  = 9
	hostProhibited = 10
	prohibited     = 13
)

// machine is a Machine with its listeners.
type machine struct {
	Machine
	board *board
	icmp  *os.File // raw socket: all ICMP that the machine receives, and its own echo requests

	closers []io.Closer
	wg      sync.WaitGroup
}

// open starts the listeners of all machines. Those returned are to be closed,
// after an error too.
func (b *board) open(p Plan) ([]*machine, error) {
	var machines []*machine
	for _, m := range p.Machines {
		n := &machine{Machine: m, board: b}
		machines = append(machines, n)
		if err := n.listen(p.Ports); err != nil {
			return machines, fmt.Errorf("listen in %s: %w", m.Name, err)
		}
	}
	return machines, nil
}

func closeAll(machines []*machine) {
	for _, m := range machines {
		for _, c := range m.closers {
			c.Close()
		}
	}
	for _, m := range machines {
		m.wg.Wait()
	}
}

func (m *machine) listen(ports []Port) error {
	return inside.Do(m.Namespace, func() error {
		var err error
		if m.icmp, err = m.listenRaw(unix.IPPROTO_ICMP, m.receiveICMP); err != nil {
			return err
		}
		if _, err := m.listenRaw(unix.IPPROTO_TCP, m.receiveTCP); err != nil {
			return err
		}
		listening := map[Port]bool{}
		for _, p := range ports {
			p.Text = ""
			var err error
			switch {
			case listening[p]:
			case p.Proto == "tcp":
				err = m.listenTCP(p.Number)
			case p.Proto == "udp":
				err = m.listenUDP(p.Number)
			}
			listening[p] = true
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *machine) listenTCP(port uint16) error {
	l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
	if err != nil {
		return err
	}
	m.closers = append(m.closers, l)
	m.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.serve(c) })
		}
	})
	return nil
}

// serve answers one connection. It waits for the probe no longer than a probe
// can take that is worth an answer.
func (m *machine) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(m.board.timeout))
	buf := make([]byte, askLen)
	if _, err := io.ReadFull(c, buf); err != nil {
		return // whoever connected says nothing: no probe
	}
	if answer := m.reply(buf); answer != "" {
		io.WriteString(c, answer)
		io.Copy(io.Discard, c) // until the sender closes: a RST must not overtake the answer
	}
}

func (m *machine) listenUDP(port uint16) error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	m.closers = append(m.closers, c)
	m.wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // an ICMP error of an earlier answer
			}
			if answer := m.reply(buf[:n]); answer != "" {
				c.WriteToUDPAddrPort([]byte(answer), from)
			}
		}
	})
	return nil
}

// reply notes that the machine saw what asks, and returns its answer, or "" to
// what is no probe.
func (m *machine) reply(b []byte) string {
	n, found := nonceOf(b)
	if !found {
		return ""
	}
	q := m.board.byNonce(n)
	if q == nil {
		return ""
	}
	q.saw(m.Name)
	return ans + n + " " + m.Name + "\n"
}

// nonceOf returns the nonce that b begins with, behind ask.
func nonceOf(b []byte) (string, bool) {
	text, found := strings.CutPrefix(string(b), ask)
	if !found || len(text) != nonceLen {
		return "", false
	}
	return text, true
}

// listenRaw opens a raw socket in the calling thread's namespace: receive gets all
// packets of the protocol that are for the machine, with their IPv4 headers.
func (m *machine) listenRaw(protocol int, receive func([]byte)) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "raw socket")
	m.closers = append(m.closers, f)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20); err != nil {
		return nil, err
	}
	m.wg.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, err := f.Read(buf)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err == nil {
				receive(buf[:n])
			}
		}
	})
	return f, nil
}

// receiveTCP takes one segment. A SYN, which carries no nonce, is known by its
// ports.
func (m *machine) receiveTCP(b []byte) {
	ip, segment, ok := header(b)
	if !ok || len(segment) < 20 || segment[13]&(inside.SYN|inside.ACK) != inside.SYN {
		return
	}
	a := arrival{
		src: netip.AddrFrom4([4]byte(ip[12:16])), dst: netip.AddrFrom4([4]byte(ip[16:20])),
		from: binary.BigEndian.Uint16(segment), to: binary.BigEndian.Uint16(segment[2:]),
	}
	if q := m.board.byArrival(a); q != nil {
		q.saw(m.Name)
	}
}

// receiveICMP takes one ICMP packet.
func (m *machine) receiveICMP(b []byte) {
	_, message, ok := header(b)
	if !ok || len(message) < 8 {
		return
	}
	kind, code, body := message[0], message[1], message[8:]
	switch {
	case kind == echoRequest:
		m.reply(body) // the kernel answers
	case kind == echoReply:
		if n, found := nonceOf(body); found {
			if q := m.board.byNonce(n); q != nil && q.from == m {
				q.got(q.to.Name)
			}
		}
	case kind == unreachable && (code == netProhibited || code == hostProhibited || code == prohibited):
		if f, ok := quoted(body); ok {
			f.from = m
			if q := m.board.byFlight(f); q != nil {
				q.told()
			}
		}
	}
}

// quoted returns what an ICMP error quotes.
func quoted(b []byte) (flight, bool) {
	ip, transport, ok := header(b)
	if !ok || len(transport) < 8 {
		return flight{}, false
	}
	f := flight{proto: ip[9], dst: netip.AddrFrom4([4]byte(ip[16:20]))}
	if f.proto == inside.ICMP {
		transport = transport[4:] // identifier, sequence number
	}
	f.src, f.to = binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:])
	return f, true
}

// header splits an IPv4 packet behind its header.
func header(b []byte) (ip, rest []byte, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil, nil, false
	}
	n := int(b[0]&0xf) * 4
	if n < 20 || len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

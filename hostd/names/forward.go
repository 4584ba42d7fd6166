package names

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Of what is handed on to the host's own name servers.
const (
	serverWait = 1500 * time.Millisecond // for one server's answer
	rounds     = 2                       // through all servers
)

var errNoServers = errors.New("the host has no name server")

// forward asks the host's name servers, one after the other, twice, and returns
// the answer that the asker gets. Each question has an id and, from the kernel, a
// port of its own, and only what answers exactly it, from whom it was sent to, is
// taken (RFC 5452).
func forward(ctx context.Context, q *query, servers []netip.Addr, port uint16, tcp bool) ([]byte, error) {
	err := errNoServers
	for range rounds {
		for _, s := range servers {
			var b []byte
			if b, err = exchange(ctx, q, netip.AddrPortFrom(s, port), tcp); err == nil {
				return q.relayed(b, tcp), nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, err
}

func exchange(ctx context.Context, q *query, server netip.AddrPort, tcp bool) ([]byte, error) {
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	id := binary.BigEndian.Uint16(random[:])
	m, err := q.onward(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, serverWait)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		return nil, err
	}
	if tcp {
		return exchangeTCP(c, q, m, id)
	}
	return exchangeUDP(c, q, m, id)
}

// exchangeUDP takes the first answer that is one; what else comes is ignored.
func exchangeUDP(c net.Conn, q *query, m []byte, id uint16) ([]byte, error) {
	if _, err := c.Write(m); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if q.answers(buf[:n], id) {
			return buf[:n], nil
		}
	}
}

func exchangeTCP(c net.Conn, q *query, m []byte, id uint16) ([]byte, error) {
	if err := writeFramed(c, m); err != nil {
		return nil, err
	}
	b, err := readFramed(c, maxMessage)
	if err != nil {
		return nil, err
	}
	if !q.answers(b, id) {
		return nil, errors.New("the server answered something else")
	}
	return b, nil
}

// writeFramed writes a message with its length before it (RFC 1035, 4.2.2).
func writeFramed(w io.Writer, m []byte) error {
	if len(m) > maxMessage {
		return fmt.Errorf("message of %d bytes", len(m))
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(m)), uint16(len(m)))
	_, err := w.Write(append(b, m...))
	return err
}

// readFramed reads one of at most limit bytes.
func readFramed(r io.Reader, limit int) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > limit {
		return nil, fmt.Errorf("message of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

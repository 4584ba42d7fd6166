package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// serve starts an echo server that names itself first.
func (s *story) serve(e *netns.Endpoint, network string, port uint16) error {
	start := inside.ServeTCP
	if network == "udp4" {
		start = inside.ServeUDP
	}
	server, err := start(e.Namespace, netip.AddrPortFrom(netip.IPv4Unspecified(), port), e.Path()+": ")
	if err != nil {
		return err
	}
	s.closers = append(s.closers, server)
	return nil
}

// talk has one endpoint reach the other by TCP, UDP and ping, and the right one
// answer.
func (s *story) talk(from, to *netns.Endpoint) error {
	for _, c := range []struct {
		network string
		port    uint16
	}{{"tcp4", 5432}, {"udp4", 53}} {
		began := time.Now()
		conn, answer, err := s.ask(from, c.network, to.AddrPort(c.port), "hello")
		if err != nil {
			return fmt.Errorf("%s > %s: %w", from.Path(), to.Path(), err)
		}
		conn.Close()
		if answer != to.Path()+": hello" {
			return fmt.Errorf("%s > %s: answered by %q", from.Path(), to.Path(), answer)
		}
		s.done("%s %s > %s: %q after %.1f ms", c.network[:3], from.Addr, to.AddrPort(c.port), answer, ms(time.Since(began)))
	}
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	d, err := inside.Ping(ctx, from.Namespace, to.Addr, 56)
	if err != nil {
		return err
	}
	s.attempts++
	s.done("ping %s > %s: answered after %.1f ms", from.Addr, to.Addr, ms(d))
	return nil
}

// ask connects, says text, and returns the answer.
func (s *story) ask(from *netns.Endpoint, network string, to netip.AddrPort, text string) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	s.attempts++
	c, err := inside.Dial(ctx, from.Namespace, network, 0, to)
	if err != nil {
		return nil, "", err
	}
	s.closers = append(s.closers, c)
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return nil, "", err
	}
	answer := ""
	buf := make([]byte, 4096)
	for !strings.HasSuffix(answer, text) {
		n, err := c.Read(buf)
		if answer += string(buf[:n]); err != nil {
			return nil, "", err
		}
	}
	c.SetDeadline(time.Time{})
	return c, answer, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// dump is a running tcpdump.
type dump struct{ lines chan string }

// tcpdump starts tcpdump in a namespace; when it returns, no packet is missed.
func (s *story) tcpdump(namespace, device, filter string) (*dump, error) {
	cmd := s.Command(s.ctx, "tcpdump", "-l", "-nn", "-t", "-v", "-i", device, filter)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := inside.Do(namespace, cmd.Start); err != nil {
		return nil, fmt.Errorf("start tcpdump: %w", err)
	}
	d := &dump{lines: make(chan string, 64)}
	ready := make(chan struct{})
	go func() {
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			if strings.Contains(sc.Text(), "listening on") {
				close(ready)
			}
		}
	}()
	go d.read(stdout)
	s.closers = append(s.closers, closerFunc(func() error {
		cmd.Process.Kill()
		return cmd.Wait()
	}))
	select {
	case <-ready:
		return d, nil
	case <-time.After(5 * time.Second):
		return nil, errors.New("tcpdump does not begin to listen")
	}
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// read joins the two lines that tcpdump -v prints for a packet.
func (d *dump) read(r io.Reader) {
	packet := ""
	for sc := bufio.NewScanner(r); sc.Scan(); {
		if !strings.HasPrefix(sc.Text(), " ") {
			packet = sc.Text()
			continue
		}
		d.lines <- packet + "\n" + sc.Text()
	}
}

// packet returns the first packet that source sent.
func (d *dump) packet(ctx context.Context, source string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		select {
		case line := <-d.lines:
			if strings.Contains(line, "\n    "+source+".") {
				return line, nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("tcpdump saw no packet of %s", source)
		}
	}
}

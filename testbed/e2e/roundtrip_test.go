//go:build e2e

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestThereAndBackGivesTheSameTablesAndLosesNoByte edits a rule and takes the
// edit back while two transfers run that both revisions allow, one on one host
// and one between two. Beside them are a connection that only the first
// revision allows and one that only the second does.
func TestThereAndBackGivesTheSameTablesAndLosesNoByte(t *testing.T) {
	const both, onlyA, onlyB = 9000, 9001, 9002
	f := start(t, 2)
	first := f.revision()
	f.edit(editFile, "tcp/9000", "tcp/9000, tcp/9001")
	a := f.next(first)
	client := f.attach("h1:acme/edit/all/client")
	near := f.attach("h1:acme/edit/all/near", "servers")
	far := f.attach("h2:acme/edit/all/far", "servers")
	for _, server := range []*netns.Endpoint{near, far} {
		for _, port := range []uint16{both, onlyA, onlyB} {
			f.serveTCP(server, port, "")
		}
	}
	var flows []*steadyFlow
	for _, server := range []*netns.Endpoint{near, far} {
		flows = append(flows, startSteady(f.dial(client, "tcp4", 0, server.AddrPort(both))))
	}
	f.allowedAndNot(client, far, onlyA, onlyB)
	before := f.tables(client, near, far, both, onlyA)

	for range 3 {
		f.edit(editFile, "tcp/9001", "tcp/9002")
		b := f.next(a)
		f.allowedAndNot(client, far, onlyB, onlyA)
		f.edit(editFile, "tcp/9002", "tcp/9001")
		if back := f.next(b); back != a {
			t.Fatalf("the revision after the edit was taken back = %s; want %s again", back, a)
		}
		f.allowedAndNot(client, far, onlyA, onlyB)
		f.eventually("the tables of the first revision", func() error {
			if diff := cmp.Diff(before, f.tables(client, near, far, both, onlyA)); diff != "" {
				return fmt.Errorf("tables (-before +after):\n%s", diff)
			}
			return nil
		})
	}
	for i, s := range flows {
		f.eventually("1 MiB to be moved, less would show nothing", func() error {
			if n := s.moved.Load(); n < 1<<20 && len(s.done) == 0 {
				return fmt.Errorf("transfer %d moved %d bytes", i, n)
			}
			return nil
		})
		if err := s.stop(); err != nil {
			t.Errorf("transfer %d, which both revisions allow: %v", i, err)
		}
	}
}

// next waits for the revision that follows was, and returns it.
func (f *fabric) next(was string) string {
	f.t.Helper()
	id, err := f.Controller.AwaitRevision(f.ctx, was)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// allowedAndNot sees that one port of a server is open to client and the other
// isn't.
func (f *fabric) allowedAndNot(client, server *netns.Endpoint, open, shut uint16) {
	f.t.Helper()
	c := f.dial(client, "tcp4", 0, server.AddrPort(open))
	f.exchange(c, "", "open")
	if _, err := f.tryDial(client, "tcp4", 0, server.AddrPort(shut), 2*time.Second); err == nil {
		f.t.Fatalf("port %d of %s is open; want only %d", shut, server.Name, open)
	}
}

// tables returns all flows of both hosts, without what differs from session to
// session of one and the same pair: its number and its wire ports.
func (f *fabric) tables(client, near, far *netns.Endpoint, ports ...int) []string {
	f.t.Helper()
	names := map[string]string{}
	for _, port := range ports {
		for _, server := range []*netns.Endpoint{near, far} {
			if port == ports[len(ports)-1] && server == near {
				continue // nobody asks near for the last
			}
			s := f.session(client, server, "tcp", port)
			name := fmt.Sprintf("session-%s-%d", server.Name, port)
			names[s.ID] = name
			for _, wire := range s.WirePorts {
				names[fmt.Sprint(wire)] = name + "-wire"
			}
		}
	}
	replacer := []string{}
	for _, old := range slices.Sorted(maps.Keys(names)) {
		replacer = append(replacer, old, names[old])
	}
	rename := strings.NewReplacer(replacer...)
	var out []string
	for _, host := range []string{"h1", "h2"} {
		for _, fl := range f.flows(host, "") {
			out = append(out, host+" "+rename.Replace(fl.String()))
		}
	}
	slices.Sort(out)
	return out
}

// steadyFlow is an echo connection that is never silent.
type steadyFlow struct {
	moved atomic.Int64
	quit  chan struct{}
	done  chan error
}

func startSteady(c net.Conn) *steadyFlow {
	s := &steadyFlow{quit: make(chan struct{}), done: make(chan error, 1)}
	go func() { s.done <- s.run(c) }()
	return s
}

// run sends numbered lines and wants each back, in order and whole.
func (s *steadyFlow) run(c net.Conn) error {
	got := make([]byte, 4096)
	for n := 0; ; n++ {
		select {
		case <-s.quit:
			return nil
		default:
		}
		line := bytes.Repeat(fmt.Appendf(nil, "%015d\n", n), len(got)/16)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(line); err != nil {
			return fmt.Errorf("write line %d: %w", n, err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			return fmt.Errorf("read line %d: %w", n, err)
		}
		if !bytes.Equal(got, line) {
			return fmt.Errorf("line %d came back as %q", n, got[:32])
		}
		s.moved.Add(int64(len(got)))
	}
}

func (s *steadyFlow) stop() error {
	close(s.quit)
	return <-s.done
}

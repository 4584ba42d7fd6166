//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// binariesVar names a directory with the programs, to test other builds of them.
const binariesVar = "DAOLI_E2E_BINARIES"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(binariesVar) == "" {
		dir, err := os.MkdirTemp("", "dlbin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := netns.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		os.Setenv(binariesVar, dir)
	}
	return m.Run()
}

// patience bounds a test, or a subtest: what mostly takes seconds takes far longer
// where others keep the cores busy. Tests that mostly wait run side by side, after
// those that measure how long something takes.
const patience = 5 * time.Minute

// fabric is a testbed with a copy of testdata/specs, for one test.
type fabric struct {
	*netns.Testbed
	t   *testing.T
	ctx context.Context
}

// start brings up a testbed with n hosts. It ends with the test, which fails if
// a program crashed in it.
func start(t *testing.T, hosts int) *fabric {
	t.Helper()
	return startWith(t, netns.Options{Hosts: hosts})
}

// startWith is start with options of the testbed's.
func startWith(t *testing.T, opt netns.Options) *fabric {
	t.Helper()
	began := time.Now()
	if opt.SpecsFS == nil {
		opt.SpecsFS = os.DirFS("testdata/specs")
	}
	opt.Binaries = cmp.Or(opt.Binaries, os.Getenv(binariesVar))
	tb, err := netns.Up(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hosts up in %s", opt.Hosts, time.Since(began).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Log(tb.Logs(4000))
		}
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fabric{tb, t, ctx}
}

// with returns the fabric for a subtest, which has time of its own.
func (f *fabric) with(t *testing.T) *fabric {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), patience)
	t.Cleanup(cancel)
	return &fabric{f.Testbed, t, ctx}
}

// attach attaches an endpoint, named HOST:TENANT/VPC/SUBNET/NAME, which claims
// groups, until the test ends.
func (f *fabric) attach(where string, groups ...string) *netns.Endpoint {
	f.t.Helper()
	return f.attachAt(where, "", groups...)
}

// attachAt is attach with a fixed address.
func (f *fabric) attachAt(where, ip string, groups ...string) *netns.Endpoint {
	f.t.Helper()
	host, path, _ := strings.Cut(where, ":")
	p := strings.Split(path, "/")
	e, err := f.Attach(f.ctx, netns.EndpointSpec{Host: host, VPC: p[0] + "/" + p[1], Subnet: p[2], Name: p[3], IP: ip, Groups: groups})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := e.Detach(context.WithoutCancel(f.ctx)); err != nil {
			f.t.Error(err)
		}
	})
	return e
}

// serveTCP starts an echo server that greets with its banner.
func (f *fabric) serveTCP(e *netns.Endpoint, port uint16, banner string) *inside.Server {
	f.t.Helper()
	s, err := inside.ServeTCP(e.Namespace, netip.AddrPortFrom(netip.IPv4Unspecified(), port), banner)
	return f.served(s, err)
}

// serveUDP starts an echo server whose answers begin with its banner.
func (f *fabric) serveUDP(e *netns.Endpoint, port uint16, banner string) *inside.Server {
	f.t.Helper()
	s, err := inside.ServeUDP(e.Namespace, netip.AddrPortFrom(netip.IPv4Unspecified(), port), banner)
	return f.served(s, err)
}

func (f *fabric) served(s *inside.Server, err error) *inside.Server {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { s.Close() })
	return s
}

// tryDial connects within d.
func (f *fabric) tryDial(e *netns.Endpoint, network string, source uint16, to netip.AddrPort, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(f.ctx, d)
	defer cancel()
	c, err := inside.Dial(ctx, e.Namespace, network, source, to)
	if err == nil {
		f.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// dial connects, or ends the test. The connection ends with the test.
func (f *fabric) dial(e *netns.Endpoint, network string, source uint16, to netip.AddrPort) net.Conn {
	f.t.Helper()
	c, err := f.tryDial(e, network, source, to, 10*time.Second)
	if err != nil {
		f.t.Fatalf("dial from %s: %v", e.Path(), err)
	}
	return c
}

// read reads exactly n bytes within d.
func read(c net.Conn, n int, d time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, n)
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

// exchange writes text and expects banner and text back within 10 s.
func exchange(c net.Conn, banner, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got, err := read(c, len(banner)+len(text), 10*time.Second)
	if err == nil && got != banner+text {
		err = fmt.Errorf("got %q; want %q", got, banner+text)
	}
	return err
}

// exchange is the function, or ends the test.
func (f *fabric) exchange(c net.Conn, banner, text string) {
	f.t.Helper()
	if err := exchange(c, banner, text); err != nil {
		f.t.Fatalf("exchange %s > %s: %v", c.LocalAddr(), c.RemoteAddr(), err)
	}
}

func (f *fabric) ping(e *netns.Endpoint, to netip.Addr) error {
	ctx, cancel := context.WithTimeout(f.ctx, 3*time.Second)
	defer cancel()
	_, err := inside.Ping(ctx, e.Namespace, to, 56)
	return err
}

// capture collects frames of a device until the test ends.
func (f *fabric) capture(namespace, device string) *inside.Capture {
	f.t.Helper()
	c, err := inside.StartCapture(namespace, device, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Stop() })
	return c
}

// wire collects what passes between a host and the underlay router.
func (f *fabric) wire(host string) *inside.Capture {
	f.t.Helper()
	return f.capture(f.Namespace("rt"), host)
}

// await waits for a frame that match accepts, or ends the test.
func (f *fabric) await(c *inside.Capture, what string, match func(*inside.Captured) bool) inside.Captured {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
	defer cancel()
	got, err := c.Await(ctx, match)
	if err != nil {
		f.t.Fatalf("wait for %s: %v", what, err)
	}
	return got
}

// upTo waits for a frame with that text and returns what the capture collected
// before the first such.
func (f *fabric) upTo(c *inside.Capture, text string) []inside.Captured {
	f.t.Helper()
	has := func(c *inside.Captured) bool { return strings.Contains(string(c.Payload), text) }
	f.await(c, fmt.Sprintf("%q", text), has)
	frames := c.Frames()
	for i := range frames {
		if has(&frames[i]) {
			return frames[:i]
		}
	}
	return frames
}

// device opens a packet socket on a container's interface.
func (f *fabric) device(e *netns.Endpoint) *inside.Device {
	f.t.Helper()
	d, err := inside.OpenDevice(e.Namespace, "eth0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { d.Close() })
	return d
}

// flows returns the flows on a host that filter selects.
func (f *fabric) flows(host, filter string) []netns.Flow {
	f.t.Helper()
	flows, err := f.Host(host).Flows(f.ctx, filter)
	if err != nil {
		f.t.Fatal(err)
	}
	return flows
}

// flow returns the one flow on a host that filter selects and match accepts.
func (f *fabric) flow(host, filter string, match func(netns.Flow) bool) netns.Flow {
	f.t.Helper()
	var found []netns.Flow
	for _, fl := range f.flows(host, filter) {
		if match(fl) {
			found = append(found, fl)
		}
	}
	if len(found) != 1 {
		f.t.Fatalf("flows on %s of %s = %v; want exactly one of\n%v", host, filter, found, f.flows(host, ""))
	}
	return found[0]
}

// replace gives a flow other actions until the test ends.
func (f *fabric) replace(host string, fl netns.Flow, actions string) {
	f.t.Helper()
	h := f.Host(host)
	if err := h.SetActions(f.ctx, fl, actions); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := h.SetActions(f.ctx, fl, fl.Actions); err != nil {
			f.t.Error(err)
		}
	})
}

// add adds a flow until the test ends.
func (f *fabric) add(host string, fl netns.Flow) {
	f.t.Helper()
	h := f.Host(host)
	if err := h.AddFlow(f.ctx, fl); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := h.DeleteFlow(f.ctx, fl); err != nil {
			f.t.Error(err)
		}
	})
}

// edit replaces text in a file of the watched specs, as an editor does: a new
// file in the place of the old.
func (f *fabric) edit(file, old, new string) {
	f.t.Helper()
	path := filepath.Join(f.Specs(), file)
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		f.t.Fatalf("%s has no %q", file, old)
	}
	f.write(file, strings.Replace(string(text), old, new, 1))
}

func (f *fabric) write(file, text string) {
	f.t.Helper()
	path := filepath.Join(f.Specs(), file)
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	err := os.WriteFile(hidden, []byte(text), 0o644)
	if err = errors.Join(err, os.Rename(hidden, path)); err != nil {
		f.t.Fatal(err)
	}
}

// revision returns the id of the active revision.
func (f *fabric) revision() string {
	f.t.Helper()
	s, err := f.Controller.API().Status(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.Revision.ID
}

// eventually calls ready until it returns nil, at most 30 s, for states of
// which no event tells.
func (f *fabric) eventually(what string, ready func() error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.t.Fatalf("wait for %s: %v", what, err)
		}
	}
}

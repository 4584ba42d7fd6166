//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Hazards in the change of the desired state.

// restored returns a file of the watched specs, which is as it was again when the
// test ends.
func (f *fabric) restored(file string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.Specs(), file))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if now, err := os.ReadFile(filepath.Join(f.Specs(), file)); err == nil && string(now) == string(text) {
			return
		}
		was := f.revision()
		f.write(file, string(text))
		f.next(was)
	})
	return string(text)
}

// halfWritten writes a file in place, line by line: its first half is right YAML
// by itself, and says something else than the whole. Only what rests is taken for
// the whole.
func halfWritten(f *fabric, guarded bool) string {
	text := f.restored(editFile)
	client, server := f.attach("h1:acme/edit/all/client"), f.attach("h2:acme/edit/all/server", "servers")
	f.serveTCP(server, 9000, "")
	path := filepath.Join(f.Specs(), editFile)
	for try := range 10 {
		live := f.dial(client, "tcp4", 0, server.AddrPort(9000))
		f.exchange(live, "", "before")
		was := f.revision()
		if !guarded {
			half, _, _ := strings.Cut(text, "---\n")
			if err := os.WriteFile(path, []byte(half), 0o644); err != nil {
				f.t.Fatal(err)
			}
			now := f.next(was)
			if err := exchange(live, "", "after the half"); err != nil {
				return fmt.Sprintf("half of the file rested and became revision %s: %v", now, err)
			}
			return ""
		}
		port := uint16(9001 + try)
		f.serveTCP(server, port, "")
		longest := f.writeSlowly(path, strings.Replace(text, "tcp/9000", fmt.Sprintf("tcp/9000, tcp/%d", port), 1))
		f.eventually("what the whole file allows", func() error {
			_, err := f.tryDial(client, "tcp4", 0, server.AddrPort(port), time.Second)
			return err
		})
		if longest > watchedQuiet/2 {
			f.t.Logf("the machine rested for %s amid a write", longest)
			continue
		}
		f.exchange(live, "", "as before")
		log, err := f.Controller.Log()
		if err != nil {
			f.t.Fatal(err)
		}
		if after := log[strings.LastIndex(log, was):]; strings.Count(after, "revision activated") != 1 || strings.Contains(after, "revision refused") {
			return "one edit led to more than one revision:\n" + after
		}
		return ""
	}
	f.t.Fatal("the machine rests amid each write")
	return ""
}

// watchedQuiet is for how long a file must rest before it is read
// (gitsource.Options).
const watchedQuiet = 100 * time.Millisecond

// writeSlowly writes a file line by line, and returns the longest time between two.
func (f *fabric) writeSlowly(path, text string) (longest time.Duration) {
	f.t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for line := range strings.Lines(text) {
		<-tick.C
		if _, err := file.WriteString(line); err != nil {
			f.t.Fatal(err)
		}
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	return longest
}

// staleDecision has a client knock at many ports of a server, each a session of
// its own, while revisions come that allow and forbid them. What was decided by
// one that allows must not be installed after one that forbids.
func staleDecision(f *fabric, guarded bool) string {
	// All of them together are fewer sessions than a scan is taken for.
	const first, ports, swaps = 10000, 40, 6
	const open, shut = "tcp/10000-10039", "tcp/9000"
	text := f.restored(editFile)
	client, server := f.attach("h1:acme/edit/all/client"), f.attach("h2:acme/edit/all/server", "servers")
	honest, witness := f.attach("h1:acme/wide/one/client"), f.attach("h2:acme/wide/two/server")
	f.serveUDP(witness, 53, "")
	at := f.capture(server.Namespace, "eth0")
	knocks := f.knock(client, server, first, ports)
	say := func(port string) {
		was := f.revision()
		f.write(editFile, strings.Replace(text, shut, port, 1))
		f.next(was)
	}
	// Whatever the switches were told before, they have done when a session that
	// comes after it works, but for what their datapaths remember of it, which on a
	// busy machine they do for some time more.
	barrier := func() {
		f.exchange(f.dial(honest, "udp4", 0, witness.AddrPort(53)), "", "barrier")
		for _, h := range f.Hosts {
			if err := h.Purge(f.ctx); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	// The server's own frame is captured behind all that has come to it.
	dev, marks := f.device(server), 0
	arrived := func(since time.Time) (n int) {
		marks++
		mark := dataFrame(server, client, first, first)
		mark.Proto, mark.Payload = inside.UDP, fmt.Appendf(nil, "mark %d.", marks)
		if err := dev.Send(mark.Bytes()); err != nil {
			f.t.Fatal(err)
		}
		for _, c := range f.upTo(at, string(mark.Payload)) {
			if !c.Outgoing && c.Proto == inside.TCP && c.Flags&inside.SYN != 0 && c.DstPort >= first && c.Time.After(since) {
				n++
			}
		}
		return n
	}
	for range swaps {
		began := time.Now()
		say(open)
		f.eventually("SYNs that are allowed", func() error {
			if n := arrived(began); n < ports/4 || !guarded && n < ports {
				return fmt.Errorf("%d have come", n)
			}
			return nil
		})
		stale := map[string][]netns.Flow{}
		if !guarded {
			for _, h := range []string{"h1", "h2"} {
				stale[h] = f.flowsOf(h, f.session(client, server, "tcp", first))
			}
		}
		say(shut)
		barrier()
		for h, list := range stale {
			for _, fl := range list {
				f.add(h, fl)
			}
		}
		shutAt, from := time.Now(), knocks.Load()
		f.eventually("knocks at all ports", func() error {
			if n := knocks.Load() - from; n < ports {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		barrier()
		if n := arrived(shutAt); n > 0 {
			return fmt.Sprintf("%d SYNs came to the server after the revision that forbids them", n)
		}
		for _, h := range []string{"h1", "h2"} {
			for _, fl := range f.flows(h, sessionFlows) {
				if strings.Contains(fl.Match, client.Addr.String()) || strings.Contains(fl.Actions, client.Addr.String()) {
					return fmt.Sprintf("%s has, under the revision that forbids it, %s", h, fl)
				}
			}
		}
	}
	return ""
}

// knock sends 500 SYNs a second to a server's ports in turn, until the test ends,
// and counts them.
func (f *fabric) knock(client, server *netns.Endpoint, first uint16, ports int) *atomic.Int64 {
	f.t.Helper()
	dev := f.device(client)
	count, done, ended := new(atomic.Int64), make(chan struct{}), make(chan struct{})
	f.t.Cleanup(func() {
		close(done)
		<-ended
	})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			fr := dataFrame(client, server, uint16(40000+n%1000), first+uint16(n%ports))
			fr.Flags = inside.SYN
			if dev.Send(fr.Bytes()) == nil {
				count.Add(1)
			}
		}
	}()
	return count
}

//go:build e2e

package agent_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestHostsOwnConnectionsGoOn has connections of the host's own, to a port in the
// wire range and from one, from before it joins. Their server speaks first after
// the join, after daoli-hostd was killed, and after the switch was.
func TestHostsOwnConnectionsGoOn(t *testing.T) {
	b := newBed(t)
	type ends struct{ client, server net.Conn }
	open := func(server string, source int) (e ends) {
		t.Helper()
		var ln net.Listener
		var err error
		b.ct.Do(func() { ln, err = net.Listen("tcp4", server) })
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		b.h1.Do(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{Port: source}, Timeout: 5 * time.Second}
			e.client, err = d.Dial("tcp4", server)
		})
		if err == nil {
			e.server, err = ln.Accept()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.client.Close(); e.server.Close() })
		return e
	}
	all := map[string]ends{"to the range": open("172.31.250.1:17000", 0), "from the range": open("172.31.250.1:443", 17001)}
	push := func(when string) {
		t.Helper()
		for name, e := range all {
			start := time.Now()
			if _, err := io.WriteString(e.server, when); err != nil {
				t.Errorf("%s, %s: %v", name, when, err)
			}
			e.client.SetReadDeadline(time.Now().Add(5 * time.Second))
			if got, err := io.ReadAll(io.LimitReader(e.client, int64(len(when)))); err != nil || string(got) != when {
				t.Errorf("%s, %s: got %q, %v", name, when, got, err)
			}
			t.Logf("%s, %s: the push took %s", name, when, time.Since(start).Round(time.Millisecond))
		}
	}
	b.start()
	push("after the join")
	b.hostd.Signal(syscall.SIGKILL)
	b.hostd.Wait()
	b.start()
	push("after daoli-hostd's end")
	b.ovs.KillSwitch()
	b.ovs.StartSwitch()
	push("after the switch's end")
}

//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
)

// Sessions of the tests of wire ports, from each of two clients to each of so many
// ports. Which wire port is tried first follows from the session, and some of
// these clients' would be given twice if nobody knew which are taken.
const (
	firstPort    = 10000
	sessionsEach = 300
)

// halfOpen is how long a TCP session lives that was never answered.
const halfOpen = 10 * time.Second

// sessions returns what daolictl lists.
func (f *fabric) sessions() []api.Session {
	f.t.Helper()
	cmd := exec.CommandContext(f.ctx, f.Binary("daolictl"), "--socket", f.Controller.Socket, "sessions", "--limit", "5000", "-o", "json")
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("daolictl sessions: %v", err)
	}
	var list api.SessionList
	if err := json.Unmarshal(out, &list); err != nil {
		f.t.Fatalf("daolictl sessions prints %.200q: %v", out, err)
	}
	return list.Sessions
}

// restartController kills the controller, does what is to be done while there is
// none, and waits until another has all hosts.
func (f *fabric) restartController(meanwhile func()) {
	f.t.Helper()
	part := netns.Part{Program: netns.ProgramController}
	if err := f.Kill(part); err != nil {
		f.t.Fatal(err)
	}
	meanwhile()
	if err := f.Start(f.ctx, part); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Controller.AwaitHosts(f.ctx, len(f.Hosts)); err != nil {
		f.t.Fatal(err)
	}
}

// TestNoLiveWirePortIsGivenAgain opens sessions before and after a controller's
// restart. Without what the new controller reads from the switches it would give
// ports again under which connections live.
func TestNoLiveWirePortIsGivenAgain(t *testing.T) {
	t.Parallel()
	t.Run("guarded", func(t *testing.T) {
		if again := givenAgain(t, true); len(again) != 0 {
			t.Errorf("wire ports of live sessions that were given again: %v", again)
		}
	})
	t.Run("unguarded", func(t *testing.T) {
		again := givenAgain(t, false)
		if len(again) == 0 {
			t.Error("no wire port was given again though the controller could not know which are taken: the test is blind")
		}
		t.Logf("wire ports given again: %v", again)
	})
}

// givenAgain returns which wire ports a restarted controller gave to new sessions
// that earlier ones had. Unguarded, it finds nothing in the switches to adopt.
func givenAgain(t *testing.T, guarded bool) []int {
	f := startKill(t, 4*time.Minute)
	first, second := f.attachAt("h1:acme/kill/one/client1", "10.4.0.3"), f.attachAt("h1:acme/kill/one/client2", "10.4.0.5")
	server := f.attachAt("h2:acme/kill/one/server2", "10.4.0.4", "servers")
	for i := range sessionsEach {
		f.serveTCP(server, uint16(firstPort+i), "")
	}
	conns := f.open(first, server)
	old := listed(f.sessions())
	f.restartController(func() {
		for _, h := range f.Hosts {
			if guarded {
				break
			}
			if err := h.DeleteFlows(f.ctx, sessionFlows); err != nil {
				t.Fatal(err)
			}
		}
	})
	if guarded {
		f.adopted(old)
	}
	f.open(second, server)
	taken := make(map[int]string)
	for name, s := range old {
		for _, p := range s.WirePorts {
			taken[p] = name
		}
	}
	var again []int
	for name, s := range listed(f.sessions()) {
		if _, before := old[name]; before {
			continue
		}
		if s.Adopted {
			t.Errorf("session %s is called adopted; nobody had it before", name)
		}
		for _, p := range s.WirePorts {
			if taken[p] != "" {
				again = append(again, p)
			}
			taken[p] = name
		}
	}
	slices.Sort(again)
	if guarded {
		for _, c := range conns {
			f.exchange(c, "", "still there")
		}
	}
	return again
}

// open opens sessions from a client to a server.
func (f *fabric) open(client, server *netns.Endpoint) []net.Conn {
	f.t.Helper()
	conns := make([]net.Conn, sessionsEach)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range conns {
		g.Go(func() (err error) {
			conns[i], err = f.tryDial(client, "tcp4", 0, server.AddrPort(uint16(firstPort+i)), 10*time.Second)
			if err == nil {
				err = exchange(conns[i], "", "hello")
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		f.t.Fatal(err)
	}
	return conns
}

// listed returns sessions by what they are.
func listed(sessions []api.Session) map[string]api.Session {
	out := make(map[string]api.Session, len(sessions))
	for _, s := range sessions {
		out[fmt.Sprintf("%s>%s:%d/%s", s.From.Name, s.To.Name, s.Port, s.Proto)] = s
	}
	return out
}

// adopted waits until the controller lists sessions of an earlier one as its own:
// the same ones, by the same rules, over the same hosts under the same wire ports.
func (f *fabric) adopted(old map[string]api.Session) {
	f.t.Helper()
	for name, s := range old {
		s.Adopted = true
		s.Opened, s.IdleSeconds, s.Forward, s.Reply = time.Time{}, 0, api.Counters{}, api.Counters{}
		if s.Decision.Rule == "" || s.Decision.At == "" {
			f.t.Errorf("session %s has no rule or no line: %+v", name, s.Decision)
		}
		old[name] = s
	}
	f.within(settleTime, "adoption of all sessions", func() error {
		now := listed(f.sessions())
		for name, s := range now {
			s.Opened, s.IdleSeconds, s.Forward, s.Reply = time.Time{}, 0, api.Counters{}, api.Counters{}
			now[name] = s
		}
		if diff := cmp.Diff(old, now); diff != "" {
			return fmt.Errorf("sessions (-before +after the restart):\n%s", diff)
		}
		return nil
	})
}

// TestAForbiddingEditCutsWhatWasAdopted restarts the controller, and forbids some
// of what it adopted: at another time, or while it is away. Whichever end of an
// idle connection speaks then, both see a reset, and the rest goes on.
func TestAForbiddingEditCutsWhatWasAdopted(t *testing.T) {
	t.Parallel()
	forbid := func(f *fabric) { f.edit(killFile, "tcp/9002, tcp/9003", "tcp/9003") }
	t.Run("after the adoption", func(t *testing.T) {
		forbidAdopted(t, func(f *fabric, old map[string]api.Session) {
			f.within(settleTime, "sessions older than a handshake takes", func() error {
				for name, s := range old {
					if age := time.Since(s.Opened); age <= halfOpen {
						return fmt.Errorf("session %s is %s old", name, age)
					}
				}
				return nil
			})
			f.restartController(func() {})
			f.adopted(old)
			was := f.revision()
			forbid(f)
			f.next(was)
		})
	})
	t.Run("while the controller is away", func(t *testing.T) {
		forbidAdopted(t, func(f *fabric, _ map[string]api.Session) {
			f.restartController(func() { forbid(f) })
		})
	})
}

func forbidAdopted(t *testing.T, restart func(f *fabric, old map[string]api.Session)) {
	f := startKill(t, patience)
	client, other := f.attach("h1:acme/kill/one/client1"), f.attach("h1:acme/kill/one/client2")
	var forbidden, kept []link
	for _, where := range []string{"h1:acme/kill/two/server1", "h2:acme/kill/two/server2"} {
		server := f.attach(where, "servers")
		cut, keep := f.listen(server, clientFirstPort), f.listen(server, serverFirstPort)
		forbidden = append(forbidden, f.connect(client, server, 0, cut), f.connect(other, server, 0, cut))
		kept = append(kept, f.connect(client, server, 0, keep), f.connect(other, server, 0, keep))
	}
	for i, k := range slices.Concat(forbidden, kept) {
		if err := k.speak(i%2 == 1, "hello", 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	old := listed(f.sessions())
	restart(f, old)
	f.within(settleTime, "end of the forbidden sessions", func() error {
		for name, s := range listed(f.sessions()) {
			if s.Port == clientFirstPort {
				return fmt.Errorf("session %s lives", name)
			}
		}
		for name, s := range old {
			for _, h := range f.Hosts {
				if left := f.flowsOf(h.Name, s); s.Port == clientFirstPort && len(left) != 0 {
					return fmt.Errorf("session %s, which was forbidden, has flows on %s: %v", name, h.Name, left)
				}
			}
		}
		return nil
	})
	for i, k := range forbidden {
		if err := k.cut(i%2 == 1); err != nil {
			t.Error(err)
		}
	}
	for i, k := range kept {
		if err := k.speak(i%2 == 1, "still there", 10*time.Second); err != nil {
			t.Error(err)
		}
	}
}

// cut has one end of the link speak, and reports an end that sees no reset.
func (k link) cut(serverFirst bool) error {
	speaker := k.client
	if serverFirst {
		speaker = k.server
	}
	speaker.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(speaker, "anybody there?"); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	var errs []error
	for end, c := range map[string]net.Conn{"client": k.client, "server": k.server} {
		if got, err := read(c, 1, 10*time.Second); !errors.Is(err, syscall.ECONNRESET) {
			errs = append(errs, fmt.Errorf("%s: the %s got %q, %v; want a reset (its server spoke: %v)", k.name, end, got, err, serverFirst))
		}
	}
	return errors.Join(errs...)
}

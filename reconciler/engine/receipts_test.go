package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// talking is a bench with n sessions from web1 to web2, which are on two hosts.
func talking(t *testing.T, n int) *bench {
	b := started(t)
	for i := range n {
		b.open(uint16(80 + i))
	}
	if got := b.e.Sessions().Len(); got != n {
		t.Fatalf("%d sessions live; want %d", got, n)
	}
	return b
}

func (b *bench) open(port uint16) {
	web1 := b.endpoint("web1")
	b.lift(web1.Host.DPID, openflow.PortNo(web1.Port), b.frame("web1", "web2", syn(port)))
}

func (b *bench) endpoint(name string) *inventory.Endpoint {
	return b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: name})
}

// states shows the hosts of a receipt as NAME=STATE after the start.
func (b *bench) states(r engine.Receipt, start time.Time) []string {
	var out []string
	for _, h := range r.Hosts {
		out = append(out, fmt.Sprintf("%s %s %s", h.Name, h.State, h.Since.Sub(start)))
	}
	return out
}

func TestAReceiptNamesWhatARevisionCutAndWhenEachHostConfirmed(t *testing.T) {
	b := talking(t, 2)
	start := b.now
	b.after = func() { b.now = b.now.Add(10 * time.Millisecond) } // each batch takes so long
	b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Drop), Seen: start.Add(-50 * time.Millisecond)})
	all := b.e.Receipts()
	if len(all) != 1 {
		t.Fatalf("%d receipts; want 1", len(all))
	}
	r := all[0]
	if r.ID != 1 || r.Cause != engine.CauseRevision || r.Revision != "r2" || r.Count != 2 || len(r.Cuts) != 2 || !r.Done() {
		t.Errorf("receipt is %+v; want the first, of revision r2, with 2 sessions, done", r)
	}
	if got := r.At.Sub(r.Seen); got != 50*time.Millisecond {
		t.Errorf("it was judged %s after it was seen; want 50ms", got)
	}
	for _, c := range r.Cuts {
		if c.From.Endpoint.Name != "web1" || c.To.Endpoint.Name != "web2" || c.Why != session.EndPolicy || c.Now.Revision != "r2" || c.Now.Reason != policy.ReasonIngressDefault {
			t.Errorf("cut %+v; want web1 to web2, by revision r2", c)
		}
	}
	if got, want := b.states(r, start), []string{"h1 confirmed 30ms", "h2 confirmed 40ms"}; !cmp.Equal(got, want) {
		t.Errorf("hosts %v; want %v", got, want)
	}
	if got := r.Last().Sub(start); got != 40*time.Millisecond {
		t.Errorf("the last confirmed after %s; want 40ms", got)
	}
	if n := count[engine.ReceiptDone](b); n != 1 {
		t.Errorf("told %d times that it is done; want once", n)
	}
}

func count[T engine.Effect](b *bench) (n int) {
	for _, ef := range b.other {
		if _, ok := ef.(T); ok {
			n++
		}
	}
	return n
}

// TestAReceiptStaysOpenForASwitchThatIsAway until it is back and its flows are gone.
func TestAReceiptStaysOpenForASwitchThatIsAway(t *testing.T) {
	for name, lose := range map[string]func(*bench, uint64){
		"away before the edit": func(b *bench, dpid uint64) {
			b.step(engine.SwitchDown{DPID: dpid})
			b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Drop)})
		},
		"lost before its barrier came": func(b *bench, dpid uint64) {
			b.silent = dpid
			b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Drop)})
			if got := b.states(b.e.Receipts()[0], b.now); got[1] != "h2 sent 0s" {
				b.Errorf("before it is lost: %v; want h2 sent", got)
			}
			b.silent = 0
			b.step(engine.SwitchDown{DPID: dpid})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := talking(t, 1)
			start, h2 := b.now, b.endpoint("web2").Host
			lose(b, h2.DPID)
			r := b.e.Receipts()[0]
			if got, want := b.states(r, start), []string{"h1 confirmed 0s", "h2 away 0s"}; r.Done() || !cmp.Equal(got, want) {
				t.Fatalf("hosts %v, done: %t; want %v", got, r.Done(), want)
			}
			b.now = b.now.Add(time.Minute)
			b.step(engine.Tick{})
			if r := b.e.Receipts()[0]; r.Done() || count[engine.ReceiptDone](b) != 0 {
				t.Error("time alone made it done")
			}
			b.switchUp(h2.DPID)
			r = b.e.Receipts()[0]
			if got, want := b.states(r, start), []string{"h1 confirmed 0s", "h2 confirmed 1m0s"}; !r.Done() || !cmp.Equal(got, want) {
				t.Errorf("when it is back: hosts %v, done: %t; want %v", got, r.Done(), want)
			}
			if n := count[engine.ReceiptDone](b); n != 1 {
				t.Errorf("told %d times that it is done; want once", n)
			}
		})
	}
}

func TestWhatCutsTellsTheCause(t *testing.T) {
	for _, c := range []struct {
		name  string
		cut   func(*bench)
		cause engine.Cause // "": no receipt
		why   session.EndReason
	}{
		{"a session is killed", func(b *bench) {
			b.step(engine.SessionKilled{ID: b.e.Sessions().Sessions()[0].ID})
		}, engine.CauseKill, session.EndKilled},
		{"a revoked host's sessions end", func(b *bench) { b.step(engine.HostRevoked{Host: "h2"}) }, engine.CauseHostRevoked, session.EndEndpoint},
		{"a container goes away by itself", func(b *bench) {
			ref := inventory.EndpointRef{VPC: "acme/prod", Name: "web2"}
			b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 1, Down: []inventory.EndpointRef{ref}}})
		}, "", ""},
		{"a rule's time comes", func(b *bench) {
			b.step(engine.RevisionLoaded{Policy: &until{Verdicts: b.w.AllowAll("r2"), at: b.now.Add(time.Hour), then: b.w.Deny("r2", policy.Drop)}})
			b.now = b.now.Add(time.Hour)
			b.step(engine.Tick{})
		}, engine.CauseUntil, session.EndPolicy},
		{"an endpoint's labels change", func(b *bench) {
			b.step(engine.RevisionLoaded{Policy: banning{b.w.AllowAll("r2")}})
			web2 := b.endpoint("web2").EndpointReport
			web2.Labels = map[string]string{"state": "banned"}
			b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 1, Up: []inventory.EndpointReport{web2}}})
		}, engine.CauseReport, session.EndPolicy},
		{"no session is forbidden", func(b *bench) { b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r2")}) }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := talking(t, 1)
			c.cut(b)
			all := b.e.Receipts()
			if c.cause == "" {
				if len(all) != 0 {
					t.Errorf("there is a receipt: %+v", all[0])
				}
				return
			}
			if len(all) != 1 || all[0].Cause != c.cause || all[0].Count != 1 || all[0].Cuts[0].Why != c.why || !all[0].Done() {
				t.Fatalf("receipts %+v; want one because of %s, of a session that ended because of %s, done", all, c.cause, c.why)
			}
			if n := b.e.Sessions().Len(); n != 0 {
				t.Errorf("%d sessions are left", n)
			}
		})
	}
}

// banning is a policy that denies what has a label.
type banning struct{ *world.Verdicts }

func (p banning) Decide(now time.Time, q policy.Query) policy.Decision {
	if q.Dst.Labels["state"] == "banned" {
		return policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonRuleDeny, Revision: p.ID}
	}
	return p.Verdicts.Decide(now, q)
}

// until is a policy that says one thing until a time and another from then on.
type until struct {
	*world.Verdicts
	at   time.Time
	then *world.Verdicts
}

func (u *until) Decide(now time.Time, q policy.Query) policy.Decision {
	if now.Before(u.at) {
		d := u.Verdicts.Decide(now, q)
		d.Until = u.at
		return d
	}
	return u.then.Decide(now, q)
}

func TestReceiptsAreBounded(t *testing.T) {
	b := talking(t, 0)
	const listed, kept = 100, 100
	for i := range listed + 5 {
		b.open(uint16(1000 + i))
	}
	b.now = b.now.Add(time.Minute)
	n := b.e.Sessions().Len()
	b.step(engine.RevisionLoaded{Policy: b.w.Deny("deny", policy.Drop)})
	if r := b.e.Receipts()[0]; r.Count != n || len(r.Cuts) != listed || n <= listed {
		t.Errorf("%d of %d sessions are listed, of %d; want %d of all", len(r.Cuts), r.Count, n, listed)
	}
	b.silent = b.endpoint("web2").Host.DPID // so the next stays open, and is kept before those that are done
	for i := range kept + 5 {
		b.step(engine.RevisionLoaded{Policy: b.w.AllowAll(fmt.Sprintf("a%d", i))})
		b.now = b.now.Add(time.Minute)
		b.open(80)
		b.step(engine.RevisionLoaded{Policy: b.w.Deny(fmt.Sprintf("d%d", i), policy.Drop)})
		b.silent = 0
	}
	all := b.e.Receipts()
	if len(all) != kept || all[0].ID != kept+6 {
		t.Fatalf("%d are kept, the newest %d; want %d, %d", len(all), all[0].ID, kept, kept+6)
	}
	if last := all[kept-1]; last.ID != 2 || last.Done() || all[kept-2].ID == 3 {
		t.Errorf("the oldest are %d and %d; want 2, which is open, and none of those next to it", last.ID, all[kept-2].ID)
	}
}

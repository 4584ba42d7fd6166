package session_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

func TestAKilledConnectionIsResetThoughThePolicyAllowsIt(t *testing.T) {
	b := newBench(t)
	s := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40000, 80)))).Session
	got := only[session.Remove](b, b.table.Step(b.now, session.Killed{ID: s.ID}))
	if got.Session != s || got.Why != session.EndKilled || b.table.Len() != 0 {
		t.Fatalf("removed %#x because of %q, %d are left; want %#x because of %q", got.Session.ID, got.Why, b.table.Len(), s.ID, session.EndKilled)
	}
	later := packet.Headers{Proto: packet.TCP, SrcPort: 40000, DstPort: 80, Flags: packet.ACK}
	reply := packet.Headers{Proto: packet.TCP, SrcPort: 80, DstPort: 40000, Flags: packet.ACK}
	for name, p := range map[string]session.Packet{
		"the client's": b.packet("web1", "web2", later), "the server's": b.packet("web2", "web1", reply),
	} {
		d := only[session.Denied](b, b.arrive(p))
		if !d.Cut || d.Result.Decision.Reason != policy.ReasonKilled {
			t.Errorf("%s next packet is denied with %q, of a cut session: %t; want %q, true", name, d.Result.Decision.Reason, d.Cut, policy.ReasonKilled)
		}
	}
	// Another connection opens the session as if nothing had been.
	anew := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40001, 80)))).Session
	b.table.Step(b.now, session.Killed{ID: s.ID}) // whose cookie nobody has any more
	if b.table.Get(anew.ID) == nil {
		t.Fatal("an old name ended the new session")
	}
	b.pol = b.w.Deny("r2", policy.Drop)
	b.revise()
	b.pol = b.w.AllowAll("r3")
	b.revise()
	only[session.Install](b, b.arrive(b.packet("web1", "web2", later)))
}

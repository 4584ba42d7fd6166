package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// TestARevokedHostIsGoneForAllOthers has a session between two hosts, and one of
// them revoked.
func TestARevokedHostIsGoneForAllOthers(t *testing.T) {
	b := started(t)
	web1 := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	web2 := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web2"})
	if web1.Host == web2.Host {
		t.Fatal("the world has both on one host")
	}
	b.lift(web1.Host.DPID, openflow.PortNo(web1.Port), b.frame("web1", "web2", syn(80)))
	if n := b.category(web1.Host.DPID, pipeline.CategorySession); n == 0 {
		t.Fatal("no session was opened")
	}
	revoked := web2.Host
	b.other = nil
	b.step(engine.HostRevoked{Host: revoked.Name})

	if n := b.category(web1.Host.DPID, pipeline.CategorySession); n != 0 {
		t.Errorf("%d flows of its sessions are left on the other host", n)
	}
	if n := b.e.Sessions().Len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	s := b.e.Snapshot()
	if s.Host(revoked.Name) != nil || s.HostByDPID(revoked.DPID) != nil || s.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web2"}) != nil {
		t.Error("it is still part of the world")
	}
	if !slices.ContainsFunc(b.other, func(ef engine.Effect) bool {
		e, ok := ef.(engine.SessionEnded)
		return ok && e.Why != session.EndReason("")
	}) {
		t.Errorf("effects are %v; want the end of its session", b.other)
	}
	// What was under way from it changes nothing.
	b.step(engine.HostChanged{Conn: 2, Host: revoked.Name, Delta: inventory.HostDelta{Seq: 1, Up: revokedEndpoints(b, revoked.Name)}})
	b.step(engine.SwitchDown{DPID: revoked.DPID})
	b.step(engine.HostDown{Conn: 2, Host: revoked.Name})
	b.step(engine.HostRevoked{Host: revoked.Name})
	b.step(engine.Tick{})
	if b.e.Snapshot().Host(revoked.Name) != nil {
		t.Error("a late report brought it back")
	}
	// A host that joins anew under the name is as any other.
	i := slices.IndexFunc(b.w.Hosts, func(r inventory.HostReport) bool { return r.Name == revoked.Name })
	b.hostUp(i)
	b.switchUp(revoked.DPID)
	b.lift(web1.Host.DPID, openflow.PortNo(web1.Port), b.frame("web1", "web2", syn(80)))
	if n := b.category(web1.Host.DPID, pipeline.CategorySession); n == 0 {
		t.Error("after it came back no session is opened")
	}
}

// TestNobodyWaitsForASwitchThatIsGone: its host is revoked, or has another one.
func TestNobodyWaitsForASwitchThatIsGone(t *testing.T) {
	for state, ends := range map[engine.CutState]func(*bench){
		engine.CutRevoked:  func(b *bench) { b.step(engine.HostRevoked{Host: "h2"}) },
		engine.CutReplaced: func(*bench) {},
	} {
		t.Run(string(state), func(t *testing.T) {
			b := talking(t, 2)
			was, _ := b.e.Sessions().Sessions()[1].WirePorts()
			b.silent = 2
			b.step(engine.SessionKilled{ID: b.e.Sessions().Sessions()[0].ID})
			ends(b)
			b.w.Hosts[1].DPID = 22
			b.hostUp(1)
			b.step(engine.SwitchDown{DPID: 2}) // if it comes so late
			b.switchUp(22)
			all := b.e.Receipts()
			r := all[len(all)-1]
			if len(r.Hosts) != 2 || r.Hosts[1].State != state || !r.Done() || count[engine.ReceiptDone](b) != len(all) {
				t.Errorf("receipt %+v; want it done, with h2 %s", r, state)
			}
			b.open(81)
			if s := b.e.Sessions().Sessions(); len(s) != 1 {
				t.Errorf("%d sessions live; want the new one", len(s))
			} else if is, _ := s[0].WirePorts(); is != was {
				t.Errorf("its wire port is %d; want %d, which nobody has any more", is, was)
			}
		})
	}
}

func revokedEndpoints(b *bench, host string) []inventory.EndpointReport {
	for _, r := range b.w.Hosts {
		if r.Name == host {
			return r.Endpoints
		}
	}
	return nil
}

func TestARevokedHostsAddressesRest(t *testing.T) {
	b := started(t)
	host := b.w.Hosts[0].Name
	b.step(engine.LeaseAsked{Conn: 1, ID: 1, Host: host, Tenant: "acme", VPC: "prod", Subnet: "web", Name: "new"})
	b.step(engine.HostRevoked{Host: host})
	var last engine.Leases
	for _, ef := range b.other {
		if s, ok := ef.(engine.SaveLeases); ok {
			last = s.Leases
		}
	}
	held := func(l ipam.Lease) bool { return strings.HasSuffix(l.Holder, "@"+host) && l.Released.IsZero() }
	n := 0
	for _, l := range last["acme/prod"] {
		n++
		if held(l) {
			t.Errorf("lease %+v is held by a revoked host", l)
		}
	}
	if n == 0 {
		t.Error("no lease was given in the first place")
	}
}

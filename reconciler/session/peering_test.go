package session_test

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

// peered is a bench in which acme/prod and globex/shared are peered, and what
// isolation lets through is allowed.
func peered(t *testing.T) *bench {
	b := newBench(t)
	b.w.Share()
	b.peer("acme/prod", "globex/shared")
	return b
}

// peer brings a revision with just these Peerings.
func (b *bench) peer(vpcs ...spec.VPCID) []session.Effect {
	b.w.Peer(vpcs...)
	b.pol = b.w.AllowReachable("r")
	return b.revise()
}

// between returns what the port of one VPC's endpoint lifts for another's.
func (b *bench) between(from, to inventory.EndpointRef, h packet.Headers) session.Packet {
	b.Helper()
	src, dst := b.snap.EndpointByName(from), b.snap.EndpointByName(to)
	h.EthSrc, h.EthType, h.TTL, h.Src, h.Dst = src.MAC, 0x800, 64, src.IP, dst.IP
	return session.Packet{DPID: src.Host.DPID, InPort: src.Port, Headers: h, Received: b.now}
}

var (
	web1 = inventory.EndpointRef{VPC: "acme/prod", Name: "web1"}
	log1 = inventory.EndpointRef{VPC: "globex/shared", Name: "log1"}
	log2 = inventory.EndpointRef{VPC: "globex/shared", Name: "log2"}
)

// data is a segment in the midst of a connection.
func data(sport, dport uint16) packet.Headers {
	h := syn(sport, dport)
	h.Flags = packet.ACK | packet.PSH
	return h
}

func TestSessionAcrossAPeeringIsRoutedAndTheClientVPCs(t *testing.T) {
	b := peered(t)
	for name, to := range map[string]inventory.EndpointRef{"same host": log1, "cross host": log2} {
		in := only[session.Install](b, b.arrive(b.between(web1, to, syn(40000, 514))))
		s := in.Session
		if s.Bridged || s.Client.VPC != "acme/prod" || s.Server.VPC != "globex/shared" || s.CrossHost() != (name == "cross host") {
			t.Errorf("%s: session %+v, bridged %v; want routed between the VPCs", name, s.Key(), s.Bridged)
		}
		reply := data(514, 40000)
		if got := only[session.Deliver](b, b.arrive(b.between(to, web1, reply))); got.Direction != session.Reply {
			t.Errorf("%s: reply goes %v", name, got.Direction)
		}
	}
	udp := only[session.Install](b, b.arrive(b.between(web1, log1, udp(40000, 514))))
	if udp.Session.Granularity != spec.PerConnection {
		t.Errorf("granularity = %s; want the client VPC's", udp.Session.Granularity)
	}
}

func TestQuotaAcrossAPeeringIsTheClientTenants(t *testing.T) {
	b := peered(t)
	b.w.Net.Tenants["acme"].Quota.Sessions = 1
	b.arrive(b.between(web1, log1, syn(40000, 514)))
	if d := only[session.Denied](b, b.arrive(b.between(web1, log2, syn(40000, 514)))); d.Result.Decision.Reason != policy.ReasonQuota {
		t.Errorf("second session of acme: %s; want quota", d.Result.Decision.Reason)
	}
	only[session.Install](b, b.arrive(b.between(log1, web1, syn(40000, 80))))
}

// TestPeeringGoneCutsAndBothEndsPacketsAreOfACutSession: the ends cannot look
// each other up any more.
func TestPeeringGoneCutsAndBothEndsPacketsAreOfACutSession(t *testing.T) {
	b := peered(t)
	b.arrive(b.between(web1, log2, syn(40000, 514)))
	if cut := only[session.Remove](b, b.peer()); cut.Why != session.EndPolicy {
		t.Errorf("cut because of %q; want %q", cut.Why, session.EndPolicy)
	}
	for name, p := range map[string]session.Packet{
		"client": b.between(web1, log2, data(40000, 514)), "server": b.between(log2, web1, data(514, 40000)),
	} {
		d := only[session.Denied](b, b.arrive(p))
		if !d.Cut || d.Result.Client.Name != "web1" || d.Result.Server.Name != "log2" || d.Result.Decision.Reason != policy.ReasonIsolation {
			t.Errorf("%s's packet: cut %v, %+v; want one of a cut session, by isolation", name, d.Cut, d.Result)
		}
	}
	for name, h := range map[string]packet.Headers{"opener": syn(40000, 514), "other port": data(40000, 515), "udp": udp(40000, 514)} {
		for _, d := range all[session.Denied](b.arrive(b.between(web1, log2, h))) {
			if d.Cut {
				t.Errorf("%s is taken for one of the cut session", name)
			}
		}
	}
	b.peer("acme/prod", "globex/shared")
	only[session.Install](b, b.arrive(b.between(web1, log2, data(40000, 514))))
}

// TestCutConnectionDoesNotGoOnWithAnotherVPC peers the client with another VPC
// of the same addresses: its old connection is not that one's, a new one is.
func TestCutConnectionDoesNotGoOnWithAnotherVPC(t *testing.T) {
	b := peered(t)
	n := *b.w.Net
	other := *n.VPCs["globex/shared"]
	other.ID, other.Name = "globex/other", "other"
	n.VPCs = maps.Clone(n.VPCs)
	n.VPCs[other.ID] = &other
	b.w.Net = &n
	e := world.Endpoint("globex", "log1", "log", "10.2.0.2", 40)
	e.VPC = "other"
	b.w.Hosts[2].Endpoints = append(b.w.Hosts[2].Endpoints, e)
	b.arrive(b.between(web1, log1, syn(40000, 514)))
	b.peer("acme/prod", "globex/other")
	if d := only[session.Denied](b, b.arrive(b.between(web1, log1, data(40000, 514)))); !d.Cut || d.Result.Server.VPC != "globex/shared" {
		t.Errorf("old connection: cut %v, server in %s; want a cut one in globex/shared", d.Cut, d.Result.Server.VPC)
	}
	in := only[session.Install](b, b.arrive(b.between(web1, log1, syn(40001, 514))))
	if in.Session.Server.VPC != "globex/other" {
		t.Errorf("new connection: server in %s; want globex/other", in.Session.Server.VPC)
	}
}

func TestDropsGoWhenAPeeringAppears(t *testing.T) {
	b := peered(t)
	b.peer()
	for _, h := range []packet.Headers{syn(40000, 514), udp(40000, 514), {Proto: packet.ICMP, ICMPType: 8}, {Proto: packet.ICMP, ICMPType: 13}} {
		if n := len(all[session.InstallDrop](b.arrive(b.between(web1, log2, h)))); n != 1 {
			t.Fatalf("drop flows for %+v = %d; want 1", h, n)
		}
	}
	// An ICMP that no session carries is still dropped, for another reason.
	if got := len(all[session.RemoveDrop](b.peer("acme/prod", "globex/shared"))); got != 3 {
		t.Errorf("drop flows taken back = %d; want the 3 that are allowed now", got)
	}
}

func TestWhatMayBeCachedAsADrop(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name string
		h    packet.Headers
		v    policy.Verdict
		want int
	}{
		{"tcp opener", syn(40000, 80), policy.Drop, 1},
		{"tcp without syn", data(40000, 81), policy.Drop, 0},
		{"udp", udp(40000, 82), policy.Drop, 1},
		{"echo request", packet.Headers{Proto: packet.ICMP, ICMPType: 8}, policy.Drop, 1},
		{"another icmp", packet.Headers{Proto: packet.ICMP, ICMPType: 13}, policy.Drop, 1},
		{"later fragment", packet.Headers{Proto: packet.UDP, Fragment: true, LaterFragment: true}, policy.Drop, 0},
		{"protocol without ports", packet.Headers{Proto: 47}, policy.Drop, 0},
		{"rejected tcp", syn(40000, 90), policy.Reject, 0},
		{"rejected udp", udp(40000, 90), policy.Reject, 0},
		{"rejected echo request", packet.Headers{Proto: packet.ICMP, ICMPType: 8}, policy.Reject, 0},
	} {
		b.pol = b.w.Deny("r", tt.v)
		b.revise()
		if got := len(all[session.InstallDrop](b.arrive(b.packet("web1", "db2", tt.h)))); got != tt.want {
			t.Errorf("%s: drop flows = %d; want %d", tt.name, got, tt.want)
		}
	}
	b.pol = b.w.Deny("r", policy.Drop)
	b.revise()
	nobody := b.packet("web1", "db2", syn(40000, 80))
	nobody.Headers.Dst = netip.MustParseAddr("10.1.1.77")
	drop := only[session.InstallDrop](b, withoutDenied(b.arrive(nobody)))
	if drop.Drop.Expires != b.now.Add(10*time.Second) {
		t.Errorf("drop ends at %s; want in 10 s", drop.Drop.Expires)
	}
}

// withoutDenied leaves the records of denials out.
func withoutDenied(effects []session.Effect) []session.Effect {
	var out []session.Effect
	for _, e := range effects {
		if _, denied := e.(session.Denied); !denied {
			out = append(out, e)
		}
	}
	return out
}

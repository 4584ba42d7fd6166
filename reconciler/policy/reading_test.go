package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// reading decides by the words of the specification, rule by rule, with neither
// index nor keys nor Rego.
type reading struct {
	network *spec.Network
	peered  map[spec.VPCID]spec.VPCID
	now     time.Time
	q       policy.Query
	addr    netip.Addr // of an outside destination
}

func (r *reading) decide() policy.Decision {
	src, dst := r.q.Src, r.q.Dst
	deny := func(v policy.Verdict, reason policy.Reason, rule string, at spec.Pos) policy.Decision {
		return policy.Decision{Verdict: v, Reason: reason, Rule: rule, At: at}
	}
	if src.Outside {
		return deny(policy.Drop, policy.ReasonNoIngress, "", spec.Pos{})
	}
	home := r.network.VPCs[src.VPC]
	across := r.peered[src.VPC] != "" && r.peered[src.VPC] == dst.VPC
	if home == nil || !dst.Outside && src.VPC != dst.VPC && !across {
		return deny(policy.Drop, policy.ReasonIsolation, "", spec.Pos{})
	}
	in, inClosed := r.side(dst, src, func(g *spec.SecurityGroup) *spec.Section { return g.Ingress })
	out, outClosed := r.side(src, dst, func(g *spec.SecurityGroup) *spec.Section { return g.Egress })
	matching := slices.Concat(in, out)
	d := r.judge(home, across, in, out, inClosed, outClosed)
	for _, rule := range matching {
		if !rule.Until.IsZero() && (d.Until.IsZero() || rule.Until.Before(d.Until)) {
			d.Until = rule.Until
		}
	}
	return d
}

func (r *reading) judge(home *spec.VPC, across bool, in, out []*spec.Rule, inClosed, outClosed *spec.SecurityGroup) policy.Decision {
	src, dst := r.q.Src, r.q.Dst
	first := func(rules []*spec.Rule, action spec.Action) *spec.Rule {
		for _, rule := range rules {
			if rule.Action == action {
				return rule
			}
		}
		return nil
	}
	byRule := func(v policy.Verdict, reason policy.Reason, rule *spec.Rule) policy.Decision {
		return policy.Decision{Verdict: v, Reason: reason, Rule: rule.ID, At: rule.At, Log: rule.Log}
	}
	matching := slices.Concat(in, out)
	if rule := first(matching, spec.DenyRule); rule != nil {
		return byRule(policy.Drop, policy.ReasonRuleDeny, rule)
	}
	if rule := first(matching, spec.Reject); rule != nil {
		return byRule(policy.Reject, policy.ReasonRuleDeny, rule)
	}
	egress, ingress := first(out, spec.Allow), first(in, spec.Allow)
	if dst.Outside {
		switch {
		case home.Egress == nil:
			return policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonNoEgress, Rule: string(home.ID), At: home.At}
		case egress != nil:
			return byRule(policy.Allow, policy.ReasonRule, egress)
		case outClosed != nil:
			return policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonEgressDefault, Rule: string(home.ID) + "/" + outClosed.Name, At: outClosed.Egress.At}
		case home.Egress.Default == "allow":
			return policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonDefault, Rule: string(home.ID), At: home.Egress.DefaultAt}
		}
		return policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonEgressDefault, Rule: string(home.ID), At: home.Egress.DefaultAt}
	}
	closed := policy.Reject
	if across {
		closed = policy.Drop
	}
	there := r.network.VPCs[dst.VPC]
	byDefault := inClosed == nil && src.VPC == dst.VPC &&
		(there.Default == spec.SameVPC || there.Default == spec.SameSubnet && src.Subnet == dst.Subnet)
	switch {
	case ingress == nil && inClosed != nil:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonIngressDefault, Rule: string(there.ID) + "/" + inClosed.Name, At: inClosed.Ingress.At}
	case ingress == nil && !byDefault:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonIngressDefault, Rule: string(there.ID), At: there.DefaultAt}
	case egress == nil && outClosed != nil:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonEgressDefault, Rule: string(home.ID) + "/" + outClosed.Name, At: outClosed.Egress.At}
	}
	d := policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonDefault, Rule: string(there.ID), At: there.DefaultAt}
	if ingress != nil {
		d = byRule(policy.Allow, policy.ReasonRule, ingress)
	}
	d.Log = d.Log || egress != nil && egress.Log
	return d
}

// side returns the rules of self's groups that match other now, and the first
// group that isolates self.
func (r *reading) side(self, other *inventory.Identity, section func(*spec.SecurityGroup) *spec.Section) (matching []*spec.Rule, closed *spec.SecurityGroup) {
	for _, name := range self.Groups {
		g := r.network.Groups[self.VPC][name]
		if g == nil || section(g) == nil {
			continue
		}
		isolating := len(section(g).Rules) == 0
		for i := range section(g).Rules {
			rule := &section(g).Rules[i]
			isolating = isolating || rule.Action == spec.Allow
			if r.matches(rule, other) {
				matching = append(matching, rule)
			}
		}
		if isolating && closed == nil {
			closed = g
		}
	}
	return matching, closed
}

func (r *reading) matches(rule *spec.Rule, other *inventory.Identity) bool {
	if !rule.Until.IsZero() && !r.now.Before(rule.Until) {
		return false
	}
	peer := rule.AnyPeer || slices.ContainsFunc(rule.Peers, func(p spec.Peer) bool { return r.selects(p, other) })
	port := rule.AnyPort || slices.ContainsFunc(rule.Ports, r.holds)
	return peer && port
}

func (r *reading) selects(p spec.Peer, id *inventory.Identity) bool {
	switch {
	case p.Any:
		return true
	case p.CIDR.IsValid():
		return id.Outside && p.CIDR.Contains(r.addr) &&
			!slices.ContainsFunc(p.Except, func(e netip.Prefix) bool { return e.Contains(r.addr) })
	case id.Outside || p.VPC != id.VPC:
		return false
	case p.Group != "":
		return slices.Contains(id.Groups, p.Group)
	case p.Subnet != "":
		return id.Subnet == p.Subnet
	}
	for name, value := range p.Labels {
		if v, found := id.Labels[name]; !found || v != value {
			return false
		}
	}
	return true
}

func (r *reading) holds(p spec.Port) bool {
	names := map[packet.Proto]string{packet.TCP: "tcp", packet.UDP: "udp", packet.SCTP: "sctp", packet.ICMP: "icmp"}
	return names[r.q.Proto] == p.Proto && p.Lo <= r.q.Port && r.q.Port <= p.Hi
}

// dice makes random networks and queries out of few words, so that they meet.
type dice struct{ *rand.Rand }

func (d dice) one(words string) string {
	all := strings.Fields(words)
	return all[d.IntN(len(all))]
}

func (d dice) some(words string, atMost int) []string {
	all := strings.Fields(words)
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:d.IntN(min(atMost, len(all))+1)]
}

const (
	diceVPCs   = "a/x a/y b/z"
	diceGroups = "g1 g2 g3"
	dicePeers  = "any group:g1 group:g2 group:b/z/g1 subnet:s1 subnet:a/x/s2 vpc:a/x vpc:b/z k=1 k=2 j=1 " +
		"0.0.0.0/0 8.0.0.0/8 8.8.0.0/16!8.8.8.0/24 0.0.0.0/0!8.0.0.0/8!9.0.0.0/8 8.8.8.8/32 nobody"
	dicePorts = "tcp tcp/1 tcp/2 tcp/1-2 tcp/2-3000 tcp/1-65535 udp udp/1 icmp icmp/8 sctp/1-9 noport"
	diceEnds  = "until:2026-06-01T10:00:00Z until:2026-06-01T12:00:00Z until:2026-06-01T14:00:00Z"
)

func (d dice) network() *world {
	w := newWorld()
	for _, id := range strings.Fields(diceVPCs) {
		vpc := spec.VPCID(id)
		w.vpc(vpc, spec.Default(d.one("same-subnet same-vpc deny")), d.one("allow deny allow deny - -"))
		if w.network.VPCs[vpc].Egress != nil && w.network.VPCs[vpc].Egress.Default == "-" {
			w.network.VPCs[vpc].Egress = nil
		}
		for _, name := range strings.Fields(diceGroups) {
			var sections []section
			if d.IntN(3) > 0 {
				sections = append(sections, ingress(d.rules()...))
			}
			if d.IntN(3) == 0 {
				sections = append(sections, egress(d.rules()...))
			}
			w.group(vpc, name, sections...)
		}
	}
	return w
}

func (d dice) rules() []spec.Rule {
	rules := make([]spec.Rule, d.IntN(4))
	for i := range rules {
		words := slices.Concat(d.some(dicePeers, 2), d.some(dicePorts, 2), d.some("log", 1))
		if d.IntN(3) == 0 {
			words = append(words, d.one(diceEnds))
		}
		if d.IntN(4) == 0 {
			words = append(words, d.one("deny reject"))
		}
		rules[i] = rule(words...)
	}
	return rules
}

// identity returns an endpoint, or the outside address that it is.
func (d dice) identity(p *policy.Policy) (*inventory.Identity, netip.Addr) {
	if d.IntN(6) == 0 {
		addr := d.one("8.8.8.8 8.8.8.9 8.8.9.9 8.9.9.9 9.9.9.9 7.7.7.7")
		return outside(p, addr), netip.MustParseAddr(addr)
	}
	groups := d.some(diceGroups, 2)
	slices.Sort(groups)
	return endpoint(d.one(diceVPCs+" a/gone")+"/"+d.one("s1 s2"), append(groups, d.some("k=1 j=1 k=2", 2)...)...), netip.Addr{}
}

// TestDecideAsWritten compares the policy with a plain reading of the rules.
func TestDecideAsWritten(t *testing.T) {
	seed := rand.Uint64()
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	reasons := map[string]int{}
	for range 30 {
		w := d.network()
		p := w.compile(t).Peer("a/x", "b/z")
		peered := map[spec.VPCID]spec.VPCID{"a/x": "b/z", "b/z": "a/x"}
		for range 150 {
			src, _ := d.identity(p)
			dst, addr := d.identity(p)
			q := query(src, dst, d.one("tcp/1 tcp/2 tcp/3 tcp/3001 udp/1 udp/9 icmp/8 icmp/13 sctp/5 gre"))
			at := now.Add(time.Duration(d.IntN(7)-3) * time.Hour)
			r := reading{network: w.network, peered: peered, now: at, q: q, addr: addr}
			want := r.decide()
			want.Revision = "r1"
			got := p.Decide(at, q)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: Decide at %v of %+v -> %+v on %d/%d (-read +decided):\n%s", seed, at, *src, *dst, q.Proto, q.Port, diff)
			}
			reasons[fmt.Sprint(got.Verdict, " ", got.Reason)]++
		}
	}
	for _, reason := range []string{
		"drop isolation", "drop no-ingress", "drop rule-deny", "reject rule-deny", "reject no-egress",
		"drop ingress-default", "reject ingress-default", "drop egress-default", "reject egress-default",
		"allow rule", "allow default",
	} {
		if reasons[reason] == 0 {
			t.Errorf("seed %d: no query had %s: %v", seed, reason, reasons)
		}
	}
}

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
	network  *spec.Network
	now      time.Time
	q        policy.Query
	from, to netip.Addr // of what is outside
}

func (r *reading) decide() policy.Decision {
	src, dst := r.q.Src, r.q.Dst
	drop := func(reason policy.Reason, rule string, at spec.Pos) policy.Decision {
		return policy.Decision{Verdict: policy.Drop, Reason: reason, Rule: rule, At: at}
	}
	var open *opening
	across := false
	switch {
	case src.Outside:
		if open = r.opening(); open == nil {
			return drop(policy.ReasonNoIngress, "", spec.Pos{})
		}
	case r.network.VPCs[src.VPC] == nil:
		return drop(policy.ReasonIsolation, "", spec.Pos{})
	case !dst.Outside && src.VPC != dst.VPC:
		if across = slices.Contains(r.network.Peers[src.VPC], dst.VPC); !across {
			if p := r.onesided(); p != nil {
				return drop(policy.ReasonIsolation, p.Path(), p.At)
			}
			return drop(policy.ReasonIsolation, "", spec.Pos{})
		}
	}
	if l := r.link(func(l *spec.Link) bool { return !l.Connect }); l != nil {
		return drop(policy.ReasonLinkDeny, l.Path(), l.At)
	}
	in, inClosed := r.side(dst, src, func(g *spec.SecurityGroup) *spec.Section { return g.Ingress })
	out, outClosed := r.side(src, dst, func(g *spec.SecurityGroup) *spec.Section { return g.Egress })
	d := r.judge(across, open, in, out, inClosed, outClosed)
	for _, rule := range slices.Concat(in, out) {
		if !rule.Until.IsZero() && (d.Until.IsZero() || rule.Until.Before(d.Until)) {
			d.Until = rule.Until
		}
	}
	return d
}

// onesided returns the Peering that one tenant of the two VPCs has said.
func (r *reading) onesided() *spec.Peering {
	var first *spec.Peering
	src, dst := r.q.Src.VPC, r.q.Dst.VPC
	for _, p := range r.network.Peerings {
		pair := p.VPCs == [2]spec.VPCID{src, dst} || p.VPCs == [2]spec.VPCID{dst, src}
		own := strings.HasPrefix(string(src), p.Tenant+"/") || strings.HasPrefix(string(dst), p.Tenant+"/")
		if pair && own && (first == nil || p.Path() < first.Path()) {
			first = p
		}
	}
	return first
}

// link returns the first Link by path that holds for the query, of those wanted.
func (r *reading) link(wanted func(*spec.Link) bool) *spec.Link {
	in := func(id *inventory.Identity, e spec.End) bool {
		return !id.Outside && id.VPC == e.VPC &&
			(e.Group != "" && slices.Contains(id.Groups, e.Group) || e.Endpoint != "" && id.Name == e.Endpoint)
	}
	var first *spec.Link
	for _, l := range r.network.Links {
		tenant, _, _ := strings.Cut(string(l.VPC), "/")
		a, b := l.Between[0], l.Between[1]
		own := strings.HasPrefix(string(a.VPC), tenant+"/") || strings.HasPrefix(string(b.VPC), tenant+"/")
		holds := in(r.q.Src, a) && in(r.q.Dst, b) || in(r.q.Src, b) && in(r.q.Dst, a)
		if own && holds && wanted(l) && (first == nil || l.Path() < first.Path()) {
			first = l
		}
	}
	return first
}

// connected returns the first Link that opens the side of id.
func (r *reading) connected(id *inventory.Identity) *spec.Link {
	return r.link(func(l *spec.Link) bool {
		return l.Connect && !id.Outside && strings.HasPrefix(string(l.VPC), id.Tenant+"/")
	})
}

// opening is what lets an outside address in.
type opening struct {
	path string
	at   spec.Pos
}

// opening returns the first by name, an Ingress before a Service.
func (r *reading) opening() *opening {
	var first *opening
	name := ""
	consider := func(vpc spec.VPCID, called, path string, at spec.Pos, e *spec.Entry, ports []spec.PortMap, selected bool) {
		from := e.Anybody || slices.ContainsFunc(e.Sources, func(s spec.Source) bool {
			return r.selects(spec.Peer{CIDR: s.CIDR, Except: s.Except}, r.q.Src)
		})
		port := slices.ContainsFunc(ports, func(m spec.PortMap) bool { return r.holds(m.Target) })
		if r.q.Dst.VPC == vpc && r.network.VPCs[vpc] != nil && selected && from && port && (first == nil || called < name) {
			first, name = &opening{path, at}, called
		}
	}
	for _, i := range r.network.Ingresses {
		consider(i.VPC, i.Name, i.Path(), i.At, &i.Entry, i.Ports, i.Endpoint == r.q.Dst.Name)
	}
	for _, s := range r.network.Services {
		consider(s.VPC, s.Name, s.Path(), s.At, &s.Entry, s.Ports, !s.VIP.IsValid() && r.selects(s.Backends, r.q.Dst))
	}
	return first
}

func (r *reading) judge(across bool, open *opening, in, out []*spec.Rule, inClosed, outClosed *spec.SecurityGroup) policy.Decision {
	src, dst := r.q.Src, r.q.Dst
	home, there := r.network.VPCs[src.VPC], r.network.VPCs[dst.VPC]
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
	if across || src.Outside {
		closed = policy.Drop
	}
	mine, theirs := r.connected(src), r.connected(dst)
	byDefault := inClosed == nil && src.VPC == dst.VPC &&
		(there.Default == spec.SameVPC || there.Default == spec.SameSubnet && src.Subnet == dst.Subnet)
	switch {
	case theirs == nil && ingress == nil && inClosed != nil:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonIngressDefault, Rule: string(there.ID) + "/" + inClosed.Name, At: inClosed.Ingress.At}
	case theirs == nil && ingress == nil && !byDefault && open == nil:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonIngressDefault, Rule: string(there.ID), At: there.DefaultAt}
	case mine == nil && egress == nil && outClosed != nil:
		return policy.Decision{Verdict: closed, Reason: policy.ReasonEgressDefault, Rule: string(home.ID) + "/" + outClosed.Name, At: outClosed.Egress.At}
	}
	var d policy.Decision
	switch {
	case theirs != nil:
		d = policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonLink, Rule: theirs.Path(), At: theirs.At}
	case ingress != nil:
		d = byRule(policy.Allow, policy.ReasonRule, ingress)
	case open != nil:
		d = policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonOpen, Rule: open.path, At: open.at}
	default:
		d = policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonDefault, Rule: string(there.ID), At: there.DefaultAt}
	}
	d.Log = d.Log || mine == nil && egress != nil && egress.Log
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
		addr := r.to
		if id == r.q.Src {
			addr = r.from
		}
		return id.Outside && p.CIDR.Contains(addr) &&
			!slices.ContainsFunc(p.Except, func(e netip.Prefix) bool { return e.Contains(addr) })
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
	diceAddrs  = "8.8.8.8 8.8.8.9 8.8.9.9 8.9.9.9 9.9.9.9 7.7.7.7" // one of each cell of the prefixes
	diceNames  = "e1 e2"
	diceEnds   = "e1 e2 group:g1 group:g2 group:g3 group:g1@b/z e1@b/z e2@a/x group:g2@a/y group:g1@a/x"
	dicePeers  = "any group:g1 group:g2 group:b/z/g1 subnet:s1 subnet:a/x/s2 vpc:a/x vpc:b/z k=1 k=2 j=1 " +
		"0.0.0.0/0 8.0.0.0/8 8.8.0.0/16!8.8.8.0/24 0.0.0.0/0!8.0.0.0/8!9.0.0.0/8 8.8.8.8/32 nobody"
	dicePorts = "tcp tcp/1 tcp/2 tcp/1-2 tcp/2-3000 tcp/1-65535 udp udp/1 icmp icmp/8 sctp/1-9 noport"
	diceUntil = "until:2026-06-01T10:00:00Z until:2026-06-01T12:00:00Z until:2026-06-01T14:00:00Z"
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
	w.peer("a/x", "b/z")
	if d.IntN(2) == 0 {
		w.peer("a/x", "a/y")
	}
	d.connections(w)
	return w
}

// connections adds Peerings, Links and what lets the outside in.
func (d dice) connections(w *world) {
	for range d.IntN(3) {
		tenant, a, b := d.one("a b c"), d.one("a/x a/y"), d.one("a/y b/z")
		if a != b {
			w.peering(tenant, d.one("p1 p2"), spec.VPCID(a), spec.VPCID(b))
		}
	}
	for range d.IntN(12) {
		w.link(spec.VPCID(d.one(diceVPCs)), d.one("l1 l2 l3"), d.one("connect connect disconnect"), d.one(diceEnds), d.one(diceEnds))
	}
	words := func() []string {
		return slices.Concat([]string{d.one("tcp/1 tcp/1-2 tcp/2 udp/1")}, d.some("tcp/3-3000 udp/9", 1),
			d.some("8.0.0.0/8 0.0.0.0/0!8.8.8.0/24 nobody", 1))
	}
	for range d.IntN(5) {
		w.ingress(spec.VPCID(d.one(diceVPCs)), d.one("i1 i2 i3"), d.one(diceNames), words()...)
	}
	for range d.IntN(4) {
		w.service(spec.VPCID(d.one(diceVPCs)), d.one("i1 i2 s3"), d.one("group:g1 group:g2 subnet:s1 k=1 vpc:"), words()...)
	}
}

func (d dice) rules() []spec.Rule {
	rules := make([]spec.Rule, d.IntN(4))
	for i := range rules {
		words := slices.Concat(d.some(dicePeers, 2), d.some(dicePorts, 2), d.some("log", 1))
		if d.IntN(3) == 0 {
			words = append(words, d.one(diceUntil))
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
		addr := d.one(diceAddrs)
		return outside(p, addr), netip.MustParseAddr(addr)
	}
	groups := d.some(diceGroups, 2)
	slices.Sort(groups)
	return endpoint(d.one(diceVPCs+" a/gone")+"/"+d.one("s1 s2"), slices.Concat(groups, d.some("k=1 j=1 k=2", 2), d.some("@e1 @e2", 1))...), netip.Addr{}
}

// checkUntil looks whether a decision stays as long as it says.
func (d dice) checkUntil(t *testing.T, r reading, got policy.Decision) {
	t.Helper()
	for word := range strings.FieldsSeq(diceUntil) {
		end := rule(word).Until
		if !end.After(r.now) || !got.Until.IsZero() && !end.Before(got.Until) {
			continue
		}
		later := r
		later.now = end
		if want := later.decide(); want.Verdict != got.Verdict || want.Rule != got.Rule {
			t.Errorf("%+v at %v is another at %v: %+v", got, r.now, end, want)
		}
	}
}

// TestDecideAsWritten compares the policy with a plain reading of the rules.
func TestDecideAsWritten(t *testing.T) {
	seed := rand.Uint64()
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	reasons := map[string]int{}
	for range 60 {
		w := d.network()
		p := w.compile(t)
		for range 150 {
			src, from := d.identity(p)
			dst, to := d.identity(p)
			q := query(src, dst, d.one("tcp/1 tcp/2 tcp/3 tcp/3001 udp/1 udp/9 icmp/8 icmp/13 sctp/5 gre"))
			at := now.Add(time.Duration(d.IntN(7)-3) * time.Hour)
			r := reading{network: w.network, now: at, q: q, from: from, to: to}
			want := r.decide()
			want.Revision = "r1"
			got := p.Decide(at, q)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: Decide at %v of %+v -> %+v on %d/%d (-read +decided):\n%s", seed, at, *src, *dst, q.Proto, q.Port, diff)
			}
			d.checkUntil(t, r, got)
			reasons[fmt.Sprint(got.Verdict, " ", got.Reason)]++
		}
	}
	for _, reason := range []string{
		"drop isolation", "drop no-ingress", "drop rule-deny", "reject rule-deny", "reject no-egress",
		"drop ingress-default", "reject ingress-default", "drop egress-default", "reject egress-default",
		"allow rule", "allow default", "drop link-deny", "allow link", "allow open",
	} {
		if reasons[reason] == 0 {
			t.Errorf("seed %d: no query had %s: %v", seed, reason, reasons)
		}
	}
}

package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// nearest is how many rules Explain names that almost matched.
const nearest = 3

// Explain says in lines for people why q is decided as it is at the time now:
// the decision, what it rests on, and where a side is closed by default, the
// rules that come nearest to opening it with the conditions that fail. It
// decides nothing itself.
func (p *Policy) Explain(now time.Time, q Query) []string {
	d := p.Ask(now, q)
	lines := []string{summary(d)}
	switch d.Reason {
	case ReasonIsolation:
		lines = append(lines, p.explainIsolation(d, q))
	case ReasonNoIngress:
		lines = append(lines, p.explainNoIngress(q)...)
	case ReasonLinkDeny:
		lines = append(lines, p.explainLink(d, "disconnects, whatever rules allow"))
	case ReasonLink:
		lines = append(lines, p.explainLink(d, "connects, over defaults and missing rules"))
	case ReasonOpen:
		lines = append(lines, "no group isolates, so what listens for the outside decides alone")
	case ReasonNoEgress:
		lines = append(lines, fmt.Sprintf("VPC %s has no egress: no way out", q.Src.VPC))
	case ReasonIngressDefault:
		lines = append(lines, p.explainClosed(now, q, side{name: "ingress", self: q.Dst, other: q.Src})...)
	case ReasonEgressDefault:
		lines = append(lines, p.explainClosed(now, q, side{name: "egress", self: q.Src, other: q.Dst})...)
	case ReasonPolicyTimeout:
		lines = append(lines, fmt.Sprintf("the policy took more than %d steps", maxSteps))
	}
	if !d.Until.IsZero() {
		lines = append(lines, "this may change at "+d.Until.Format(time.RFC3339))
	}
	return lines
}

func summary(d Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", d.Verdict, d.Reason)
	if d.Rule != "" {
		fmt.Fprintf(&b, " by %s", d.Rule)
	}
	if d.At != (spec.Pos{}) {
		fmt.Fprintf(&b, " at %s", d.At)
	}
	return b.String()
}

func (p *Policy) explainIsolation(d Decision, q Query) string {
	for _, id := range []*inventory.Identity{q.Src, q.Dst} {
		if !id.Outside && p.network.VPCs[id.VPC] == nil {
			return fmt.Sprintf("VPC %s is not in revision %s", id.VPC, p.revision)
		}
	}
	text := fmt.Sprintf("%s and %s are two VPCs without a Peering in force", q.Src.VPC, q.Dst.VPC)
	if d.Rule == "" {
		return text
	}
	declared, _, _ := strings.Cut(d.Rule, "/")
	missing := tenantOf(q.Src.VPC)
	if missing == declared {
		missing = tenantOf(q.Dst.VPC)
	}
	return fmt.Sprintf("%s: tenant %s declares one, tenant %s does not", text, declared, missing)
}

func (p *Policy) explainLink(d Decision, does string) string {
	for _, l := range p.network.Links {
		if l.Path() == d.Rule {
			return fmt.Sprintf("the Link between %s and %s %s", endText(&l.Between[0]), endText(&l.Between[1]), does)
		}
	}
	return "the Link " + does
}

func endText(e *spec.End) string {
	if e.Endpoint != "" {
		return endpointKey(e.VPC, e.Endpoint)
	}
	return peerKey(&spec.Peer{VPC: e.VPC, Group: e.Group})
}

// explainNoIngress names what listens for the outside in the VPC of the
// destination and comes nearest to letting the source in.
func (p *Policy) explainNoIngress(q Query) []string {
	words := p.words(q.Dst.VPC)
	if words == nil {
		return []string{"nothing lets packets in from outside"}
	}
	own, other := words.self.keys(q.Dst), words.peers.keys(q.Src)
	var near []nearRule
	for _, e := range p.inward[q.Dst.VPC] {
		var conditions []string
		if to := e.key(); !slices.Contains(own, to) {
			conditions = append(conditions, "it is for "+to)
		}
		as := &spec.Rule{ID: e.path, At: e.at, Peers: e.from, Ports: e.ports}
		near = append(near, nearRule{rule: as, failing: append(conditions, failing(time.Time{}, q, as, other)...)})
	}
	return append([]string{fmt.Sprintf("no Ingress or Service of VPC %s lets this in from outside", q.Dst.VPC)}, nearestText(near)...)
}

// side is one end of a query as its groups' sections see it.
type side struct {
	name        string // ingress or egress
	self, other *inventory.Identity
}

func (s side) section(g *spec.SecurityGroup) *spec.Section {
	if s.name == "ingress" {
		return g.Ingress
	}
	return g.Egress
}

// explainClosed says why a side is closed.
func (p *Policy) explainClosed(now time.Time, q Query, s side) []string {
	var lines []string
	var near []nearRule
	var other []string
	if words := p.words(s.self.VPC); words != nil {
		other = words.peers.keys(s.other)
	}
	for _, name := range s.self.Groups {
		g := p.network.Groups[s.self.VPC][name]
		if g == nil || s.section(g) == nil {
			continue
		}
		section := s.section(g)
		if section.Isolating() {
			lines = append(lines, fmt.Sprintf("group %s isolates: its %s at %s admits only what a rule allows", name, s.name, section.At))
		}
		for i := range section.Rules {
			if r := &section.Rules[i]; r.Action == spec.Allow {
				near = append(near, nearRule{rule: r, failing: failing(now, q, r, other)})
			}
		}
	}
	if len(lines) == 0 {
		lines = append(lines, p.explainDefault(s))
	}
	return append(lines, nearestText(near)...)
}

// nearestText names the rules with the fewest conditions that fail.
func nearestText(near []nearRule) []string {
	slices.SortStableFunc(near, func(a, b nearRule) int { return cmp.Compare(len(a.failing), len(b.failing)) })
	var lines []string
	for _, n := range near[:min(nearest, len(near))] {
		lines = append(lines, fmt.Sprintf("%s at %s does not match: %s", n.rule.ID, n.rule.At, strings.Join(n.failing, ", ")))
	}
	return lines
}

func (p *Policy) explainDefault(s side) string {
	vpc := p.network.VPCs[s.self.VPC]
	switch {
	case vpc == nil:
		return fmt.Sprintf("VPC %s is not in revision %s", s.self.VPC, p.revision)
	case s.name == "egress" && vpc.Egress != nil:
		return fmt.Sprintf("no group isolates, and egress.default of VPC %s is %s", vpc.ID, vpc.Egress.Default)
	case s.other.VPC != vpc.ID:
		return fmt.Sprintf("no group isolates, and the default of VPC %s never holds for another VPC", vpc.ID)
	case vpc.Default == spec.SameSubnet:
		return fmt.Sprintf("no group isolates, and the default of VPC %s is same-subnet: %s is not %s", vpc.ID, s.other.Subnet, s.self.Subnet)
	}
	return fmt.Sprintf("no group isolates, and the default of VPC %s is %s", vpc.ID, vpc.Default)
}

// nearRule is a rule and the conditions of it that do not hold.
type nearRule struct {
	rule    *spec.Rule
	failing []string
}

// failing returns the conditions of r that an identity with these keys fails.
func failing(now time.Time, q Query, r *spec.Rule, keys []string) []string {
	var conditions []string
	peers := peersOf(r)
	i := slices.IndexFunc(peers, func(peer spec.Peer) bool { return slices.Contains(keys, peerKey(&peer)) })
	if i < 0 {
		conditions = append(conditions, "the peer is not in "+peersText(r))
	}
	if !holds(r, q) {
		conditions = append(conditions, fmt.Sprintf("port %s is not in %s", queryPort(q), cmp.Or(portsText(r), emptyText)))
	}
	if !r.Until.IsZero() && now.Unix() >= r.Until.Unix() {
		conditions = append(conditions, "it ended at "+r.Until.UTC().Format(time.RFC3339))
	}
	if i >= 0 && len(conditions) > 0 { // what does hold, so that nobody looks there
		conditions[0] = peerKey(&peers[i]) + " matches, but " + conditions[0]
	}
	return conditions
}

// emptyText is an empty list of peers or ports, as the YAML has it.
const emptyText = "[]"

func holds(r *spec.Rule, q Query) bool {
	return r.AnyPort || slices.ContainsFunc(r.Ports, func(p spec.Port) bool {
		return q.Proto.String() == p.Proto && p.Lo <= q.Port && q.Port <= p.Hi
	})
}

func queryPort(q Query) string {
	return fmt.Sprintf("%s/%d", q.Proto.String(), q.Port)
}

func peersText(r *spec.Rule) string {
	texts := make([]string, len(r.Peers))
	for i := range r.Peers {
		texts[i] = peerKey(&r.Peers[i])
	}
	return cmp.Or(strings.Join(texts, ", "), emptyText)
}

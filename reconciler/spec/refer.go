package spec

import "strings"

// Kinds of a reference.
const (
	vpcName = iota
	groupName
	subnetName
)

// What a stranger's name does that isn't there.
const (
	peerEffect = "the peer matches nothing"
	linkEffect = "the Link has no effect"
)

// reference is a name that means an object, and is looked up once all files are
// read.
type reference struct {
	from   scope // where it stands
	to     VPCID // in which the name is looked up
	kind   int
	effect string // of a name that isn't there, if it is a stranger's
	name   string // "" for the VPC itself
	at     Pos
}

// references are the names that one file refers to, in its order.
type references struct {
	all      []reference
	distinct []int // one of all for each that differs in more than its place; nil: not compared
}

// compare finds out which references are distinct.
func (r *references) compare() {
	seen := make(map[reference]bool)
	for i, ref := range r.all {
		ref.at = Pos{}
		if !seen[ref] {
			seen[ref] = true
			r.distinct = append(r.distinct, i)
		}
	}
}

func (r reference) String() string {
	switch r.kind {
	case groupName:
		return "group " + quote(r.name)
	case subnetName:
		return "subnet " + quote(r.name)
	}
	return "vpc " + quote(string(r.to))
}

// tenant returns the tenant of the VPC.
func (id VPCID) tenant() string {
	tenant, _, _ := strings.Cut(string(id), "/")
	return tenant
}

// name returns the VPC's name within its tenant.
func (id VPCID) name() string {
	_, name, _ := strings.Cut(string(id), "/")
	return name
}

// refer notes a name to look up. One whose VPC is not known is left out: what
// is wrong there is reported already.
func (s *source) refer(r reference) {
	if r.from.tenant == "" || strings.HasSuffix(string(r.from.vpc), "/") || r.to == "" {
		return
	}
	s.refs.all = append(s.refs.all, r)
}

// resolveFile looks up the names of one file. Where they are compared, one of
// each is enough as long as nothing is wrong with it; else what is wrong is said
// at every place.
func (c *check) resolveFile(refs references) {
	if refs.distinct != nil {
		before := c.problems
		for _, i := range refs.distinct {
			c.resolve(refs.all[i])
		}
		if c.errors+c.warnings == before.errors+before.warnings {
			return
		}
		c.problems = before
	}
	for _, r := range refs.all {
		c.resolve(r)
	}
}

// resolve looks up one name. A name in a VPC of the same tenant must exist.
// One in a stranger's VPC needn't, and whether it does is told only if the two
// are peered.
func (c *check) resolve(r reference) {
	_, found := c.net.VPCs[r.to]
	switch {
	case r.to.tenant() != r.from.tenant:
		c.strange(r)
	case !found && r.kind == vpcName && r.to != r.from.vpc:
		c.err(r.at, "%s doesn't exist; add the VPC or name another", r)
	case !found:
		// Reported, at the vpc beside the name or at the object's metadata.
	case !c.exists(r):
		c.err(r.at, "%s doesn't exist in vpc %q; add it or name another", r, r.to)
	case r.kind == vpcName && r.from.vpc.tenant() == r.from.tenant && !c.reaches(r):
		c.warn(r.at, "%s is not peered with %q, so %s; remove it, or peer the two", r, r.from.vpc, r.effect)
	}
}

// strange reports a reference to another tenant's VPC. Without a Peering in
// force, the words are the same whether the name exists there or not. The vpc
// beside a name speaks for both then.
func (c *check) strange(r reference) {
	reaches := c.reaches(r)
	switch {
	case reaches && !c.exists(r):
		c.warn(r.at, "%s doesn't exist in vpc %q, so %s; remove it, or name another", r, r.to, r.effect)
	case !reaches && r.kind == vpcName && r.from.vpc == "":
		c.warn(r.at, "%s doesn't exist or is not peered with a vpc of tenant %q, so %s; remove it, or peer it with one",
			r, r.from.tenant, r.effect)
	case !reaches && r.kind == vpcName:
		c.warn(r.at, "%s doesn't exist or is not peered with %q, so %s; remove it, or peer the two",
			r, r.from.vpc, r.effect)
	}
}

// reaches reports whether what is in the VPC of r can be reached from where r
// stands.
func (c *check) reaches(r reference) bool {
	if r.from.vpc == "" {
		return c.net.Within(r.from.tenant, r.to)
	}
	return r.to == r.from.vpc || c.net.Peered(r.from.vpc, r.to)
}

// exists reports whether what r names is there. A VPC whose spec was refused
// may lack a subnet; then nothing can be said against its name.
func (c *check) exists(r reference) bool {
	switch r.kind {
	case groupName:
		if c.groupsOf != r.to { // references come many to one VPC
			c.groupsOf, c.groups = r.to, c.net.Groups[r.to]
		}
		_, found := c.groups[r.name]
		return found
	case subnetName:
		return c.flawed[key{kind: kindVPC, tenant: r.to.tenant(), name: r.to.name()}] || c.ranges(r.to).names[r.name]
	}
	return true
}

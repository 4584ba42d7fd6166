package spec

import "strings"

// Kinds of a reference.
const (
	vpcName = iota
	groupName
	subnetName
)

// reference is a name in a rule or a group's members that means an object, and
// is looked up once all files are read.
type reference struct {
	from VPCID // whose rule or group it is in
	to   VPCID // in which the name is looked up
	kind int
	name string // "" for the VPC itself
	at   Pos
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

// refer notes a name to look up. One whose VPC is not known is left out: what
// is wrong there is reported already.
func (s *source) refer(r reference) {
	if strings.HasPrefix(string(r.from), "/") || strings.HasSuffix(string(r.from), "/") || r.to == "" {
		return
	}
	s.refs = append(s.refs, r)
}

// network puts the objects together, and reports what is wrong among them.
func (l *loader) network() *Network {
	net := &Network{
		Tenants: make(map[string]*Tenant),
		VPCs:    make(map[VPCID]*VPC),
		Groups:  make(map[VPCID]map[string]*SecurityGroup),
	}
	l.collect(net)
	l.scopes(net)
	for _, r := range l.refs {
		l.resolve(net, r)
	}
	return net
}

// collect enters the objects into net. One that is there twice counts once. An
// object whose spec is refused is there all the same, so that no reference to
// it is refused as well.
func (l *loader) collect(net *Network) {
	first := make(map[key]Pos, len(l.objects))
	for _, o := range l.objects {
		if at, found := first[o.key]; found {
			l.err(o.at, "%s is here twice, first at %s; remove one or rename it", o.key, at)
			continue
		}
		first[o.key] = o.at
		switch o.kind {
		case kindTenant:
			net.Tenants[o.name] = o.tenantSpec
		case kindVPC:
			net.VPCs[MakeVPCID(o.tenant, o.name)] = o.vpcSpec
		case kindSecurityGroup:
			id := MakeVPCID(o.tenant, o.vpc)
			if net.Groups[id] == nil {
				net.Groups[id] = make(map[string]*SecurityGroup)
			}
			net.Groups[id][o.name] = o.group
		}
	}
}

// scopes reports objects whose tenant or VPC doesn't exist.
func (l *loader) scopes(net *Network) {
	for _, o := range l.objects {
		if o.tenant == "" {
			continue
		}
		if _, found := net.Tenants[o.tenant]; !found {
			l.err(o.tenantAt, "the tenant %q doesn't exist; add a Tenant of that name outside %s/", o.tenant, tenantsDir)
			continue
		}
		if o.vpc == "" {
			continue
		}
		if _, found := net.VPCs[MakeVPCID(o.tenant, o.vpc)]; !found {
			l.err(o.vpcAt, "the vpc %q of tenant %q doesn't exist; add a VPC of that name", o.vpc, o.tenant)
		}
	}
}

// resolve looks up one name. A name in a VPC of the same tenant must exist.
// One in a stranger's VPC needn't, and whether it does is not told.
func (l *loader) resolve(net *Network, r reference) {
	vpc, found := net.VPCs[r.to]
	switch {
	case r.to.tenant() != r.from.tenant():
		l.strange(r)
	case !found && r.kind == vpcName && r.to != r.from:
		l.err(r.at, "%s doesn't exist; add the VPC or name another", r)
	case !found:
		// Reported, at the vpc beside the name or at the group's metadata.
	case !exists(net, vpc, r):
		l.err(r.at, "%s doesn't exist in vpc %q; add it or name another", r, r.to)
	case r.to != r.from && r.kind == vpcName:
		l.warn(r.at, "%s is not peered with %q, so the peer matches nothing; remove it, or peer the two", r, r.from)
	}
}

// strange reports a reference to another tenant's VPC, with the same words
// whether the name exists there or not. The vpc beside a name speaks for both.
func (l *loader) strange(r reference) {
	if r.kind == vpcName {
		l.warn(r.at, "%s doesn't exist or is not peered with %q, so the peer matches nothing; remove it, or peer the two",
			r, r.from)
	}
}

// exists reports whether what r names is there. A vpc that is nil or has no
// subnet could not be read; then nothing can be said against a subnet's name.
func exists(net *Network, vpc *VPC, r reference) bool {
	switch r.kind {
	case groupName:
		_, found := net.Groups[r.to][r.name]
		return found
	case subnetName:
		return vpc == nil || len(vpc.Subnets) == 0 || vpc.Subnet(r.name) != nil
	}
	return true
}

package spec

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

const apiVersion = "daoli.net/v1"

// Kinds of objects.
const (
	kindTenant        = "Tenant"
	kindVPC           = "VPC"
	kindSecurityGroup = "SecurityGroup"
	kindPeering       = "Peering"
	kindLink          = "Link"
	kindIngress       = "Ingress"
	kindService       = "Service"
	kindGateway       = "Gateway"
	kindSite          = "Site"
	kindAssertion     = "Assertion"
)

// scopeKeys are the metadata of an object of each kind beside its name.
var scopeKeys = map[string][]string{
	kindTenant:        nil,
	kindVPC:           {"tenant"},
	kindSecurityGroup: {"tenant", "vpc"},
	kindPeering:       {"tenant"},
	kindLink:          {"tenant", "vpc"},
	kindIngress:       {"tenant", "vpc"},
	kindService:       {"tenant", "vpc"},
	kindGateway:       nil,
	kindSite:          nil,
	kindAssertion:     {"tenant"},
}

// kindNames are all kinds, as a problem lists them.
var kindNames = []string{kindTenant, kindVPC, kindSecurityGroup, kindPeering, kindLink,
	kindIngress, kindService, kindGateway, kindSite, kindAssertion}

// tenantsDir is the directory below the root that the tenants' own ones are in.
const tenantsDir = "tenants"

// key is what makes an object the one it is. Tenant and vpc are "" where its
// kind has none.
type key struct {
	kind, tenant, vpc, name string
}

func (k key) String() string {
	path := k.name
	for _, scope := range []string{k.vpc, k.tenant} {
		if scope != "" {
			path = scope + "/" + path
		}
	}
	return k.kind + " " + path
}

// object is one document whose identity is known. Of its contents one is set.
type object struct {
	key
	at, tenantAt, vpcAt Pos  // where name, tenant and vpc stand in its metadata
	flawed              bool // its spec has errors, so that it may lack what was meant

	tenantSpec *Tenant
	vpcSpec    *VPC
	group      *SecurityGroup
	peering    *Peering
	link       *Link
	ingress    *Ingress
	service    *Service
	gateway    *Gateway
	site       *Site
	assertion  *Assertion
	places     places
}

// document reads the object that is the root of a document.
func (s *source) document(root *yaml.Node) {
	m, ok := s.mapping(root, "an object", "apiVersion", "kind", "metadata", "spec")
	if !ok {
		return
	}
	const wayOut = "every object has apiVersion, kind, metadata and spec"
	if n, ok := m.required("apiVersion", wayOut); ok {
		s.choice(n, "apiVersion", apiVersion)
	}
	var kind string
	if n, ok := m.required("kind", wayOut); ok {
		kind = s.kind(n)
	}
	metadata, okMetadata := m.required("metadata", wayOut)
	content, okSpec := m.required("spec", wayOut)
	if kind == "" {
		return
	}
	o := &object{key: key{kind: kind}}
	identified := okMetadata && s.metadata(metadata, o)
	before := s.errors
	if okSpec {
		s.content(content, o)
	}
	o.flawed = !okSpec || s.errors > before
	if identified {
		s.objects = append(s.objects, o)
	}
}

// kind returns the kind that n is, or "" if it is refused.
func (s *source) kind(n *yaml.Node) string {
	v, ok := s.text(n, "kind")
	if !ok {
		return ""
	}
	scope, found := scopeKeys[v]
	switch {
	case !found:
		s.err(s.pos(n), "kind %s is unknown; write %s", quote(v), alternatives(kindNames))
		return ""
	case len(scope) == 0 && strings.HasPrefix(s.file, tenantsDir+"/"):
		s.err(s.pos(n), "kind %q is the operator's and refused under %s/; move it to a file outside", v, tenantsDir)
		return ""
	}
	return v
}

// metadata reads what identifies o, whose kind is known. It reports whether it
// is all there and right.
func (s *source) metadata(n *yaml.Node, o *object) bool {
	keys := append([]string{"name"}, scopeKeys[o.kind]...)
	what := "the metadata of " + article(o.kind)
	m, ok := s.mapping(n, what, keys...)
	if !ok {
		return false
	}
	fields := map[string]struct {
		value *string
		at    *Pos
	}{"name": {&o.name, &o.at}, "tenant": {&o.tenant, &o.tenantAt}, "vpc": {&o.vpc, &o.vpcAt}}
	for _, k := range keys {
		n, found := m.required(k, fmt.Sprintf("add %s: NAME", k))
		if !found {
			ok = false
			continue
		}
		v, valid := s.name(n, "metadata."+k)
		*fields[k].value, *fields[k].at = v, s.pos(n)
		ok = ok && valid
	}
	return s.inItsDirectory(o) && ok
}

// article returns "a VPC", "an Ingress".
func article(kind string) string {
	if strings.ContainsAny(kind[:1], "AEIO") {
		return "an " + kind
	}
	return "a " + kind
}

// inItsDirectory reports whether o may stand in its file: tenants/<t>/ is for
// the objects of tenant t alone.
func (s *source) inItsDirectory(o *object) bool {
	parts := strings.SplitN(s.file, "/", 3)
	if len(parts) < 3 || parts[0] != tenantsDir || o.tenant == "" || o.tenant == parts[1] {
		return true
	}
	s.err(o.tenantAt, "metadata.tenant is %q in the directory of %q; move the object to %s/%s/, or write tenant: %s",
		o.tenant, shownName(parts[1]), tenantsDir, o.tenant, shownName(parts[1]))
	return false
}

// content reads the spec of o, whose kind is known; its identity may not be.
func (s *source) content(n *yaml.Node, o *object) {
	switch o.kind {
	case kindTenant:
		o.tenantSpec = s.tenant(n, o)
	case kindVPC:
		o.vpcSpec = s.vpc(n, o)
	case kindSecurityGroup:
		o.group = s.group(n, o)
	case kindPeering:
		o.peering = s.peering(n, o)
	case kindLink:
		o.link = s.link(n, o)
	case kindIngress:
		o.ingress = s.ingress(n, o)
	case kindService:
		o.service = s.service(n, o)
	case kindGateway:
		o.gateway = s.gateway(n, o)
	case kindSite:
		o.site = s.site(n, o)
	case kindAssertion:
		o.assertion = s.assertion(n, o)
	}
}

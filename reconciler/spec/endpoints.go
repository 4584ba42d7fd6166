package spec

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"
)

// maxSampleHost is the highest number that an endpoint's host may have.
const maxSampleHost = 9999

// LoadSample reads an endpoints file (SPEC 4), which is called name in problems,
// as strictly as Load reads a tree. Tenants, VPCs and subnets must exist in net;
// if net is nil, only what the file says by itself is judged. With an error
// among the problems the Sample is nil.
func LoadSample(name string, data []byte, net *Network) (*Sample, []Problem) {
	r := sampleReader{
		source:    &source{loader: &loader{}, file: name},
		net:       net,
		names:     make(map[string]Pos),
		addresses: make(map[sampleAddress]Pos),
		ports:     make(map[Port]Pos),
	}
	r.read(data)
	if r.errors > 0 {
		return nil, r.sorted()
	}
	return &r.sample, r.sorted()
}

// sampleAddress is what no two endpoints share.
type sampleAddress struct {
	vpc VPCID
	ip  netip.Addr
}

// sampleReader is one run of LoadSample, with where each thing stands that may
// be there only once.
type sampleReader struct {
	*source
	net       *Network // may be nil
	sample    Sample
	names     map[string]Pos
	addresses map[sampleAddress]Pos
	ports     map[Port]Pos
}

// read takes the file through the stages of loader.file.
func (r *sampleReader) read(data []byte) {
	if len(data) > MaxFileBytes {
		r.err(r.line(1), "the file is larger than %d bytes; leave endpoints out", MaxFileBytes)
		return
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if line, text := badCharacter(data); line > 0 {
		r.err(r.line(line), "%s", text)
		return
	}
	used := scan(data)
	if used.excess != "" {
		r.err(r.line(used.excessLine), "%s", used.excess)
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for documents := 0; ; {
		doc, err := nextDocument(dec)
		if errors.Is(err, io.EOF) {
			if documents == 0 {
				r.err(r.line(1), "the file is empty, perhaps it is half written; write endpoints, outside and ports")
			}
			return
		}
		if err != nil {
			r.badYAML(data, err, used)
			return
		}
		root := doc.Content[0]
		if isNull(root) && root.Value == "" && root.Style == 0 && root.Anchor == "" {
			continue // an empty document
		}
		if documents++; documents > 1 {
			r.err(r.pos(root), "the file holds a second document; put all endpoints into one")
			return
		}
		r.check(root, 1)
		r.document(root)
	}
}

func (r *sampleReader) document(root *yaml.Node) {
	m, ok := r.mapping(root, "an endpoints file", "endpoints", "outside", "ports")
	if !ok {
		return
	}
	if n, ok := m.required("endpoints", "add endpoints: [{name: NAME, tenant: TENANT, vpc: VPC, subnet: SUBNET, ip: ADDRESS}]"); ok {
		elements, _ := r.list(n, "endpoints")
		for _, e := range elements {
			r.endpoint(e)
		}
	}
	if n, ok := m.value("outside"); ok {
		elements, _ := r.list(n, "outside")
		for _, e := range elements {
			r.outside(e)
		}
	}
	if n, ok := m.required("ports", "add ports: [tcp/443, udp/53, icmp/echo]"); ok {
		elements, _ := r.list(n, "ports")
		for _, e := range elements {
			r.port(e)
		}
	}
}

// sampleNodes are the nodes of an endpoint that are looked up. Those that are
// refused are nil.
type sampleNodes struct {
	tenant, vpc, subnet, ip *yaml.Node
}

func (r *sampleReader) endpoint(n *yaml.Node) {
	const wayOut = "write {name: NAME, tenant: TENANT, vpc: VPC, subnet: SUBNET, ip: ADDRESS}"
	e := SampleEndpoint{At: r.pos(n)}
	m, ok := r.mapping(n, "an endpoint", "name", "tenant", "vpc", "subnet", "ip", "groups", "labels", "host")
	if !ok {
		return
	}
	var at sampleNodes
	if n, ok := m.required("name", wayOut); ok {
		e.Name, e.At = r.uniqueName(n, "the name of an endpoint"), r.pos(n)
	}
	for _, field := range []struct {
		key   string
		value *string
		node  **yaml.Node
	}{{"tenant", &e.Tenant, &at.tenant}, {"vpc", &e.VPC, &at.vpc}, {"subnet", &e.Subnet, &at.subnet}} {
		if n, ok := m.required(field.key, wayOut); ok {
			if *field.value, ok = r.name(n, "an endpoint's "+field.key); ok {
				*field.node = n
			}
		}
	}
	if n, ok := m.required("ip", wayOut); ok {
		if e.IP, ok = r.address(n); ok {
			at.ip = n
		}
	}
	r.optional(m, &e)
	r.place(&e, at)
	r.sample.Endpoints = append(r.sample.Endpoints, e)
}

// optional reads what an endpoint needn't have.
func (r *sampleReader) optional(m mapping, e *SampleEndpoint) {
	if n, ok := m.value("groups"); ok {
		elements, _ := r.list(n, "groups")
		for _, g := range elements {
			if v, ok := r.name(g, "groups"); ok {
				e.Groups = append(e.Groups, v)
			}
		}
	}
	if n, ok := m.value("labels"); ok && !(n.Kind == yaml.MappingNode && len(n.Content) == 0) {
		e.Labels, _ = r.labels(n)
	}
	if n, ok := m.value("host"); ok {
		number, ok := parseNumber(n.Value, maxSampleHost)
		if !ok || number == 0 || !isScalar(n) || n.Tag != "!!int" {
			r.err(r.pos(n), "host is %s; write a number from 1 to %d, or leave it out for any", shown(n), maxSampleHost)
			return
		}
		e.Host = int(number)
	}
}

// place looks up where an endpoint is.
func (r *sampleReader) place(e *SampleEndpoint, at sampleNodes) {
	if at.tenant == nil || at.vpc == nil {
		return
	}
	id := MakeVPCID(e.Tenant, e.VPC)
	if at.ip != nil {
		k := sampleAddress{id, e.IP}
		if first, found := r.addresses[k]; found {
			r.err(r.pos(at.ip), "ip %s is taken in vpc %q, at %s; give the endpoint one of its own", e.IP, id, first)
		} else {
			r.addresses[k] = r.pos(at.ip)
		}
	}
	if r.net == nil {
		return
	}
	if r.net.Tenants[e.Tenant] == nil {
		r.err(r.pos(at.tenant), "the tenant %q doesn't exist; add the Tenant or name another", e.Tenant)
		return
	}
	vpc := r.net.VPCs[id]
	if vpc == nil {
		r.err(r.pos(at.vpc), "the vpc %q of tenant %q doesn't exist; add the VPC or name another", e.VPC, e.Tenant)
		return
	}
	if at.subnet == nil {
		return
	}
	switch sub := vpc.Subnet(e.Subnet); {
	case sub == nil:
		r.err(r.pos(at.subnet), "the subnet %q doesn't exist in vpc %q (%s); add it or name another", e.Subnet, id, vpc.At)
	case at.ip != nil && !sub.CIDR.Contains(e.IP):
		r.err(r.pos(at.ip), "ip %s is not in the subnet %q, %s (%s); choose an address in it", e.IP, sub.Name, sub.CIDR, sub.At)
	}
}

func (r *sampleReader) outside(n *yaml.Node) {
	const wayOut = "write {name: NAME, ip: ADDRESS}"
	o := SampleOutside{At: r.pos(n)}
	m, ok := r.mapping(n, "an outside address", "name", "ip")
	if !ok {
		return
	}
	if n, ok := m.required("name", wayOut); ok {
		o.Name, o.At = r.uniqueName(n, "the name of an outside address"), r.pos(n)
	}
	if n, ok := m.required("ip", wayOut); ok {
		o.IP, _ = r.address(n)
	}
	r.sample.Outside = append(r.sample.Outside, o)
}

// uniqueName reads a name, of which endpoints and outside have one space.
func (r *sampleReader) uniqueName(n *yaml.Node, what string) string {
	v, ok := r.name(n, what)
	if !ok {
		return ""
	}
	if first, found := r.names[v]; found {
		r.err(r.pos(n), "the name %q is here twice, first at %s; rename one", v, first)
	} else {
		r.names[v] = r.pos(n)
	}
	return v
}

func (r *sampleReader) port(n *yaml.Node) {
	text, ok := r.text(n, "ports")
	if !ok {
		return
	}
	p, ok := parsePort(text)
	if !ok || p.Lo != p.Hi {
		r.err(r.pos(n), "ports has %s, which is no single port; write it as tcp/443, udp/53, sctp/3868, icmp/echo or icmp/TYPE", quote(text))
		return
	}
	if first, found := r.ports[p]; found {
		r.err(r.pos(n), "the port %s is here twice, first at %s; remove one", quote(text), first)
		return
	}
	r.ports[p] = r.pos(n)
	r.sample.Ports = append(r.sample.Ports, SamplePort{Text: text, Port: p, At: r.pos(n)})
}

// address returns the IPv4 address that n is.
func (r *sampleReader) address(n *yaml.Node) (netip.Addr, bool) {
	v, ok := r.text(n, "ip")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(v)
	switch {
	case err != nil:
		r.err(r.pos(n), "ip is %s, which is no IPv4 address; write it as 10.1.0.2", quote(v))
	case a.Is4In6():
		r.err(r.pos(n), "ip is %s, which is IPv4-mapped IPv6; write the IPv4 address", quote(v))
	case !a.Is4():
		r.err(r.pos(n), "ip is %s, which is IPv6, and that is refused until dual stack is built; write an IPv4 address", quote(v))
	default:
		return a, true
	}
	return netip.Addr{}, false
}

// ByName returns the endpoint of a name, or nil.
func (s *Sample) ByName(name string) *SampleEndpoint {
	i := slices.IndexFunc(s.Endpoints, func(e SampleEndpoint) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Endpoints[i]
}

// SinglePort returns the one port that text is, as an endpoints file writes it.
func SinglePort(text string) (SamplePort, error) {
	p, ok := parsePort(text)
	if !ok || p.Lo != p.Hi {
		return SamplePort{}, errors.New(strconv.Quote(text) + " is no single port; write it as tcp/443, udp/53 or icmp/echo")
	}
	return SamplePort{Text: text, Port: p}, nil
}

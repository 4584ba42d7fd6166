package spec

import "gopkg.in/yaml.v3"

// gateway reads the spec of a Gateway.
func (s *source) gateway(n *yaml.Node, o *object) *Gateway {
	g := &Gateway{Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a Gateway", "hosts")
	if !ok {
		return g
	}
	if n, ok := m.required("hosts", "name its hosts, as [edge-1, edge-2]"); ok {
		g.Hosts, _ = s.globs(n, "hosts")
	}
	return g
}

// gatewayRef is the name of a Gateway, which is looked up once all files are read.
type gatewayRef struct {
	name, what string
	at         Pos
}

// referGateway notes a Gateway's name to look up.
func (s *source) referGateway(name, what string, at Pos) {
	s.vias = append(s.vias, gatewayRef{name, what, at})
}

// site reads the spec of a Site.
func (s *source) site(n *yaml.Node, o *object) *Site {
	site := &Site{Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a Site", "hosts", "gateways", "trusted")
	if !ok {
		return site
	}
	if n, ok := m.required("hosts", `name its hosts, as ["b-*"]`); ok {
		site.Hosts, _ = s.globs(n, "hosts")
	}
	if n, ok := m.value("gateways"); ok {
		site.Gateways = s.siteGateways(n)
	}
	if n, ok := m.value("trusted"); ok {
		site.Trusted, _ = s.boolean(n, "trusted")
	}
	return site
}

// siteGateways reads the hosts through which a Site is reached.
func (s *source) siteGateways(n *yaml.Node) []SiteGateway {
	const wayOut = "write it as {host: NAME, address: 198.51.100.7}"
	elements, _ := s.list(n, "gateways")
	var gateways []SiteGateway
	first := make(map[string]Pos, len(elements))
	for _, e := range elements {
		m, ok := s.mapping(e, "a gateway", "host", "address")
		if !ok {
			continue
		}
		var g SiteGateway
		host, okHost := m.required("host", wayOut)
		if okHost {
			g.Host, okHost = s.hostName(host, "host")
		}
		address, okAddress := m.required("address", wayOut)
		if okAddress {
			g.Address, okAddress = s.address(address, "address")
		}
		if !okHost || !okAddress {
			continue
		}
		if at, found := first[g.Host]; found {
			s.err(s.pos(host), "the host %s is here twice, first at %s; remove one", quote(g.Host), at)
			continue
		}
		first[g.Host] = s.pos(host)
		gateways = append(gateways, g)
	}
	return gateways
}

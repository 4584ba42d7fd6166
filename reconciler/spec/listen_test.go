package spec_test

import "strings"

// at443 returns an Ingress on these hosts and ports.
func at443(name, hosts, listen string) string {
	return object("Ingress", "name: "+name+", tenant: acme, vpc: prod", "{hosts: ["+hosts+"], ports: [{listen: "+listen+"}], to: {endpoint: a}}")
}

const askOperator = "ask the operator for it"

var listenTwins = []twin{
	{"a host that stands in listen", at443("x", `"@"`, "tcp/443"), "edge-*", "edge-?", `4: hosts has "edge-?", which is not in listen.hosts of tenant "acme"; write one that is, or ` + askOperator},
	{"a host that a pattern of listen matches", at443("x", `"edge-@"`, "tcp/443"), "1", "2", `4: hosts has "edge-2", which is not in listen.hosts of tenant "acme"; write one that is, or ` + askOperator},
	{"a port of listen", at443("x", "edge-1", "tcp/@"), "443", "444", `4: listen is "tcp/444", which is not within listen.ports of tenant "acme"; choose a port that is, or ` + askOperator},
	{"a protocol of listen", at443("x", "edge-1", "@/443"), "udp", "sctp", `4: listen is "sctp/443", which is not within listen.ports of tenant "acme"; choose a port that is, or ` + askOperator},
	{"a range within listen", at443("x", "edge-1", "tcp/20000-@"), "20999", "21000", `4: listen is "tcp/20000-21000", which is not within listen.ports of tenant "acme"; choose a port that is, or ` + askOperator},
	{"a Gateway whose hosts are in listen", ingress(`{gateway: @, ports: [{listen: tcp/443}], to: {endpoint: a}}`), "edge", "far", `4: gateway is "far", whose host "far-1" is not in listen.hosts of tenant "acme"; name another, or ` + askOperator},
	{"a Service in listen", service(`{hosts: ["@"], ports: [{listen: tcp/443}], backends: {group: web}}`), "edge-1", "edge-2", `4: hosts has "edge-2", which is not in listen.hosts of tenant "acme"; write one that is, or ` + askOperator},
	{"a vip needs no listen", service(`{@, ports: [{listen: tcp/80}], backends: {group: web}}`), "vip: 10.1.0.9", "hosts: [edge-1]", `4: listen is "tcp/80", which is not within listen.ports of tenant "acme"; choose a port that is, or ` + askOperator},
	{"listen of all hosts", tenant(`{listen: {hosts: ["@"], ports: [sctp]}}`) + "---\n" + lone("t") + "---\n" + strings.ReplaceAll(strings.ReplaceAll(at443("y", `"z*", q`, "sctp/1"), "acme", "t"), "prod", "v"), "*", "z*",
		`14: hosts has "q", which is not in listen.hosts of tenant "t"; write one that is, or ` + askOperator},
	{"ranges of listen together", tenant(`{listen: {hosts: [q], ports: [sctp/1-5, sctp/@-9]}}`) + "---\n" + lone("t") + "---\n" + strings.ReplaceAll(strings.ReplaceAll(at443("y", `q`, "sctp/2-9"), "acme", "t"), "prod", "v"), "6", "7",
		`14: listen is "sctp/2-9", which is not within listen.ports of tenant "t"; choose a port that is, or ` + askOperator},
	{"no listen at all", tenant(`{@}`) + "---\n" + lone("t") + "---\n" + strings.ReplaceAll(strings.ReplaceAll(ingress(`{hosts: [q], ports: [], to: {endpoint: a}}`), "acme", "t"), "prod", "v"), "listen: {hosts: [q]}", "",
		`14: hosts has "q", which is not in listen.hosts of tenant "t"; write one that is, or ` + askOperator},
}

// lone returns a VPC v of a tenant.
func lone(tenant string) string {
	return object("VPC", "name: v, tenant: "+tenant, "{subnets: [{name: s, cidr: 10.0.0.0/8}]}")
}

// collides returns what is said of y, in line 8, if it has what x has in line 3.
func collides(later, took, first, has string) string {
	return `8: ` + later + ` has ` + took + `, but ` + first + `, at x.yaml:3, listens there with ` + has + `; choose another port or host`
}

const (
	ingressX = "Ingress acme/prod/x"
	ingressY = "Ingress acme/prod/y"
	onEdge1  = `tcp/443 on host "edge-1"`
)

var collisionTwins = []twin{
	{"a port twice on one host", at443("x", `edge-1`, "tcp/443") + "---\n" + at443("y", "edge-1", "@/443"), "udp", "tcp", collides(ingressY, onEdge1, ingressX, onEdge1)},
	{"a port on a pattern and a name", at443("x", `"@"`, "tcp/443") + "---\n" + at443("y", "edge-1", "tcp/443"), "b-*", "edge-*", collides(ingressY, onEdge1, ingressX, `tcp/443 on host "edge-*"`)},
	{"one host of several", at443("x", `"b-*"`, "tcp/443") + "---\n" + at443("y", `edge-1@`, "tcp/443"), "", `, "b-*"`, collides(ingressY, `tcp/443 on host "b-*"`, ingressX, `tcp/443 on host "b-*"`)},
	{"a range", at443("x", `edge-1`, "tcp/20000-20010") + "---\n" + at443("y", "edge-1", "tcp/@-20020"), "20011", "20010", collides(ingressY, `tcp/20010-20020 on host "edge-1"`, ingressX, `tcp/20000-20010 on host "edge-1"`)},
	{"one port of several", at443("x", `edge-1`, "tcp/20000-20010}, {listen: udp/53") + "---\n" + at443("y", "edge-1", "tcp/20020}, {listen: udp/@"), "54", "53", collides(ingressY, `udp/53 on host "edge-1"`, ingressX, `udp/53 on host "edge-1"`)},
	{"a Gateway's hosts", at443("x", `edge-1`, "tcp/443") + "---\n" + strings.Replace(ingress(`{gateway: edge, ports: [{listen: @}], to: {endpoint: a}}`), "name: x", "name: y", 1), "udp/443", "tcp/443", collides(ingressY, `tcp/443 on host "edge-*" of gateway "edge"`, ingressX, onEdge1)},
	{"the first's Gateway", ingress(`{gateway: edge, ports: [{listen: tcp/443}], to: {endpoint: a}}`) + "---\n" + at443("y", `edge-1`, "@"), "udp/443", "tcp/443", collides(ingressY, onEdge1, ingressX, `tcp/443 on host "edge-*" of gateway "edge"`)},
	{"a Service and an Ingress", at443("x", `edge-1`, "tcp/443") + "---\n" + strings.Replace(service(`{hosts: ["@"], ports: [{listen: tcp/443}], backends: {group: web}}`), "name: x", "name: y", 1), "b-*", "edge-1", collides("Service acme/prod/y", onEdge1, ingressX, onEdge1)},
	{"in another vpc", at443("x", `edge-1`, "tcp/443") + "---\n" + strings.Replace(at443("y", "edge-1", "tcp/@"), "prod", "dev", 1), "20000", "443", collides("Ingress acme/dev/y", onEdge1, ingressX, onEdge1)},
	{"nowhere at all", at443("x", `edge-1`, "tcp/443") + "---\n" + at443("y", "@", "tcp/443"), "", "edge-1", collides(ingressY, onEdge1, ingressX, onEdge1)},
}

func vip(name, vip, ports string) string {
	return object("Service", "name: "+name+", tenant: acme, vpc: prod", "{vip: "+vip+", ports: ["+ports+"], backends: {group: web}}")
}

var vipTwins = []twin{
	{"one vip and port", vip("x", "10.1.0.9", "{listen: tcp/80}") + "---\n" + vip("y", "10.1.0.9", "{listen: tcp/@}"), "81", "80",
		`8: the Service "acme/prod/y" has tcp/80 of vip 10.1.0.9, but the Service "acme/prod/x", at x.yaml:3, listens there with tcp/80; choose another port or vip`},
	{"one port in a range", vip("x", "10.1.0.9", "{listen: tcp/80-90}") + "---\n" + vip("y", "10.1.0.@", "{listen: tcp/85}"), "8", "9",
		`8: the Service "acme/prod/y" has tcp/85 of vip 10.1.0.9, but the Service "acme/prod/x", at x.yaml:3, listens there with tcp/80-90; choose another port or vip`},
	{"in another vpc", vip("x", "10.1.0.9", "{listen: tcp/80}") + "---\n" + strings.NewReplacer("vpc: prod", "vpc: @", "group: web", "labels: {a: b}").Replace(vip("y", "10.1.0.9", "{listen: tcp/80}")), "dev", "prod",
		`8: the Service "acme/prod/y" has tcp/80 of vip 10.1.0.9, but the Service "acme/prod/x", at x.yaml:3, listens there with tcp/80; choose another port or vip`},
}

var tenantsTwins = []twin{
	{"listens that overlap", tenant(`{listen: {hosts: ["@"], ports: [tcp/443]}}`), "f-*", "e*", `3: the listen of tenant "t" has tcp/443 on host "e*", but that of tenant "acme", at base.yaml:3, overlaps it with tcp/443 on host "edge-*"; give each hosts or ports of its own`},
	{"listens on one host", tenant(`{listen: {hosts: ["*"], ports: [tcp/@]}}`), "444", "443", `3: the listen of tenant "t" has tcp/443 on host "*", but that of tenant "acme", at base.yaml:3, overlaps it with tcp/443 on host "b-*"; give each hosts or ports of its own`},
	{"listens of all ports", tenant(`{listen: {hosts: [edge-7], ports: [@]}}`), "sctp", "tcp", `3: the listen of tenant "t" has tcp on host "edge-7", but that of tenant "acme", at base.yaml:3, overlaps it with tcp/443 on host "edge-*"; give each hosts or ports of its own`},
	{"a port of two ranges of one listen", tenant(`{listen: {hosts: [q], ports: [sctp/1-5, sctp/3-9]}}`) + "---\n" + strings.Replace(tenant(`{listen: {hosts: [q], ports: [sctp/@]}}`), "name: t", "name: u", 1), "10", "7",
		`8: the listen of tenant "u" has sctp/7 on host "q", but that of tenant "t", at x.yaml:3, overlaps it with sctp/1-9 on host "q"; give each hosts or ports of its own`},
}

package spec_test

import "strings"

// theirs is the Peering of tenant globex, as a further document.
const theirs = "---\napiVersion: daoli.net/v1\nkind: Peering\nmetadata: {name: x, tenant: globex}\nspec: {vpcs: [globex/shared, acme/prod]}\n"

// peered are the Peerings of both tenants.
var peered = "---\n" + peering("{vpcs: [acme/prod, globex/shared]}") + theirs

const notTheirs = "doesn't exist or its tenant has no Peering of the two, so this one is not in force; remove it, or ask for theirs"

const theirsAlone = `x.yaml:9: warning: vpc "acme/prod" ` + notTheirs

var peeringTwins = []twin{
	{"no vpcs", peering("{@}") + theirs, "vpcs: [acme/prod, globex/shared]", "", `4: the spec of a Peering has no "vpcs"; a Peering is of two different ones, as [TENANT/VPC, TENANT/VPC]` + "\n" + theirsAlone},
	{"one vpc", peering("{vpcs: [acme/prod@]}") + theirs, ", globex/shared", "", `4: vpcs has 1 entries, [acme/prod]; a Peering is of two different ones, as [TENANT/VPC, TENANT/VPC]` + "\n" + theirsAlone},
	{"the same vpc twice", peering("{vpcs: [acme/prod, @]}") + peered2("acme/x", "10.5.0.0/24"), "acme/x", "acme/prod", `4: vpcs has "acme/prod" twice; a Peering is of two different ones, as [TENANT/VPC, TENANT/VPC]`},
	{"a vpc without tenant", peering("{vpcs: [@, acme/x]}") + peered2("acme/x", "10.5.0.0/24"), "acme/prod", "prod", `4: vpcs is "prod"; write it as TENANT/VPC`},
	{"an own vpc that isn't there", peering("{vpcs: [acme/@, acme/x]}") + peered2("acme/x", "10.5.0.0/24"), "prod", "prdo", `4: vpc "acme/prdo" doesn't exist; add the VPC or name another`},
	{"a stranger's vpc that isn't there", peering("{vpcs: [acme/prod, globex/@]}") + theirs, "shared", "secret", `4: warning: vpc "globex/secret" ` + notTheirs + "\n" + theirsAlone},
	{"a stranger who hasn't said it", peering("{vpcs: [acme/prod, globex/shared]}") + strings.Replace(theirs, "acme/prod", "@", 1), "acme/prod", "acme/proud", `4: warning: vpc "globex/shared" ` + notTheirs + "\n" + `x.yaml:9: warning: vpc "acme/proud" ` + notTheirs},
	{"two strangers", strings.Replace(peering("{vpcs: [globex/shared, acme/prod]}"), "acme}", "@}", 1) + "---\n" + strings.Replace(peering("{vpcs: [globex/shared, acme/prod]}"), "name: x", "name: y", 1) + theirs, "acme", "initech",
		`3: the tenant "initech" doesn't exist; add a Tenant of that name outside tenants/` + "\n" +
			`x.yaml:3: warning: neither vpc "globex/shared" nor vpc "acme/prod" is of tenant "initech", so the Peering has no effect; remove it, or name a vpc of its own`},
	{"a third tenant's word", object("Peering", "name: x, tenant: @", "{vpcs: [acme/prod, acme/x]}") + peered2("acme/x", "10.5.0.0/24"), "acme", "globex", `3: warning: neither vpc "acme/prod" nor vpc "acme/x" is of tenant "globex", so the Peering has no effect; remove it, or name a vpc of its own`},
	{"a third tenant's word opens nothing", object("Peering", "name: x, tenant: @", "{vpcs: [acme/prod, acme/x]}") + peered2("acme/x", "10.5.0.0/24") + "---\n" + peer("{vpc: acme/x}"), "acme", "globex",
		`3: warning: neither vpc "acme/prod" nor vpc "acme/x" is of tenant "globex", so the Peering has no effect; remove it, or name a vpc of its own` + "\n" +
			`x.yaml:14: warning: vpc "acme/x" is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"ranges that overlap", peering("{vpcs: [acme/prod, acme/x]}") + peered2("acme/x", "10.@.0.0/16"), "2", "1", `3: vpc "acme/prod" and vpc "acme/x" can't be peered, since their ranges overlap: 10.1.0.0/24 of "acme/prod" and 10.1.0.0/16 of "acme/x"; choose another range for one, or remove the Peering`},
	{"a range within, in force", peering("{vpcs: [acme/x, globex/shared]}") + strings.Replace(theirs, "acme/prod", "acme/x", 1) + peered2("acme/x", "10.@.0.9/32"), "8", "9",
		`3: vpc "acme/x" and vpc "globex/shared" can't be peered, since their ranges overlap: 10.9.0.9/32 of "acme/x" and 10.9.0.0/24 of "globex/shared"; choose another range for one, or remove the Peering` + "\n" +
			`x.yaml:8: vpc "globex/shared" and vpc "acme/x" can't be peered, since their ranges overlap: 10.9.0.0/24 of "globex/shared" and 10.9.0.9/32 of "acme/x"; choose another range for one, or remove the Peering`},
	{"two peers that overlap", peering("{vpcs: [acme/prod, acme/x]}") + "---\n" + strings.Replace(peering("{vpcs: [acme/y, acme/prod]}"), "name: x", "name: y", 1) +
		peered2("acme/x", "10.5.0.0/16") + peered2("acme/y", "10.@.0.0/24"), "6", "5",
		`8: vpc "acme/prod" is peered with both "acme/x" and "acme/y" (see x.yaml:3), whose ranges overlap, 10.5.0.0/16 and 10.5.0.0/24; choose another range for one, or remove a Peering`},
	{"a group of a vpc that is peered", peer("{group: @, vpc: globex/shared}") + peered, "dns", "dsn", `4: warning: group "dsn" doesn't exist in vpc "globex/shared", so the peer matches nothing; remove it, or name another`},
	{"a subnet of a vpc that is peered", peer("{subnet: @, vpc: globex/shared}") + peered, "dns", "dsn", `4: warning: subnet "dsn" doesn't exist in vpc "globex/shared", so the peer matches nothing; remove it, or name another`},
	{"a vpc that is peered with another", peer("{vpc: globex/@}") + peered, "shared", "other", `4: warning: vpc "globex/other" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a key of a Peering", peering("{vpcs: [acme/prod, globex/shared]@}") + theirs, "", ", hosts: []", `4: the spec of a Peering has no key "hosts"; its keys are vpcs`},
}

// peered2 returns a VPC with one subnet, as a further document.
func peered2(id, cidr string) string {
	tenant, name, _ := strings.Cut(id, "/")
	return "---\n" + object("VPC", "name: "+name+", tenant: "+tenant, "{subnets: [{name: s, cidr: "+cidr+"}]}")
}

const endRule = "write exactly one of endpoint or group, and vpc beside it if it is elsewhere"

var linkTwins = []twin{
	{"action", link("{action: @, between: [{endpoint: a}, {group: web}]}"), "connect", "allow", `4: action is "allow"; write connect or disconnect`},
	{"no action", link("{@between: [{endpoint: a}, {group: web}]}"), "action: disconnect, ", "", `4: the spec of a Link has no "action"; write connect or disconnect`},
	{"no ends", link("{action: connect@}"), ", between: [{endpoint: a}, {group: web}]", "", `4: the spec of a Link has no "between"; a Link has two ends, as [{endpoint: NAME}, {group: NAME}]`},
	{"three ends", link("{action: connect, between: [{endpoint: a}, {group: web}@]}"), "", ", {endpoint: b}", `4: between has 3 ends, [{endpoint: a}, {group: web}, {endpoint: b}]; a Link has two ends, as [{endpoint: NAME}, {group: NAME}]`},
	{"an empty end", link("{action: connect, between: [{@}, {group: web}]}"), "group: web", "", `4: an end is {}; ` + endRule},
	{"an end with both", link("{action: connect, between: [{endpoint: a@}, {group: web}]}"), "", ", group: web", `4: an end has endpoint "a" and group "web"; ` + endRule},
	{"an end with neither", link("{action: connect, between: [{@vpc: acme/prod}, {group: web}]}"), "endpoint: a, ", "", `4: an end has vpc "acme/prod" alone; ` + endRule},
	{"an end with a subnet", link("{action: connect, between: [{@: web}, {group: web}]}"), "group", "subnet", `4: an end has no key "subnet"; its keys are endpoint, group, vpc`},
	{"an end's endpoint", link("{action: connect, between: [{endpoint: @}, {group: web}]}"), "nobody", "No", `4: endpoint is "No"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"an end's group", link("{action: connect, between: [{endpoint: a}, {group: @}]}"), "web", "tools", `4: group "tools" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"an end in an own vpc that isn't there", link("{action: connect, between: [{endpoint: a}, {endpoint: b, vpc: acme/@}]}"), "prod", "x", `4: vpc "acme/x" doesn't exist; add the VPC or name another`},
	{"an end in an own vpc not peered", link("{action: connect, between: [{endpoint: a}, {endpoint: b, vpc: acme/@}]}"), "prod", "dev", `4: warning: vpc "acme/dev" is not peered with "acme/prod", so the Link has no effect; remove it, or peer the two`},
	{"both ends in another own vpc", link("{action: connect, between: [{endpoint: a, vpc: acme/dev}, {group: @, vpc: acme/dev}]}"), "tools", "web", `4: group "web" doesn't exist in vpc "acme/dev"; add it or name another`},
	{"an end in a stranger's vpc", link("{action: connect, between: [{endpoint: a}, {endpoint: b, vpc: globex/@}]}") + peered, "shared", "x", `4: warning: vpc "globex/x" doesn't exist or is not peered with "acme/prod", so the Link has no effect; remove it, or peer the two`},
	{"a stranger's group in a vpc not peered", link("{action: connect, between: [{endpoint: a}, {group: @}]}"), "web, vpc: acme/prod", "dns, vpc: globex/shared", `4: warning: vpc "globex/shared" doesn't exist or is not peered with "acme/prod", so the Link has no effect; remove it, or peer the two`},
	{"a stranger's group in a vpc that is peered", link("{action: connect, between: [{endpoint: a}, {group: @, vpc: globex/shared}]}") + peered, "dns", "dsn", `4: warning: group "dsn" doesn't exist in vpc "globex/shared", so the Link has no effect; remove it, or name another`},
	{"both ends strangers", link("{action: connect, between: [{endpoint: a, vpc: @}, {endpoint: b, vpc: globex/shared}]}") + peered, "acme/prod", "globex/shared", `3: warning: neither vpc "globex/shared" nor vpc "globex/shared" is of tenant "acme", so the Link has no effect; remove it, or name an end of its own`},
}

const portPair = "write tcp, udp or sctp with /N or /N-M from 1 to 65535"

var ingressTwins = []twin{
	{"neither hosts nor gateway", ingress(`{@ports: [], to: {endpoint: a}}`), `hosts: ["edge-*"], `, "", `4: the spec of an Ingress has none of hosts, gateway; write one`},
	{"hosts and gateway", ingress(`{hosts: []@, ports: [], to: {endpoint: a}}`), "", ", gateway: edge", `4: the spec of an Ingress has hosts [] and gateway "edge"; write exactly one of hosts, gateway`},
	{"gateway", ingress(`{gateway: @, ports: [], to: {endpoint: a}}`), "edge", "own-host", `4: gateway is "own-host", and no Gateway has that name; add it or name another`},
	{"no ports", ingress(`{hosts: []@, to: {endpoint: a}}`), ", ports: []", "", `4: the spec of an Ingress has no "ports"; write it as {listen: tcp/443, target: tcp/8443} in a list`},
	{"no to", ingress(`{hosts: [], ports: []@}`), ", to: {endpoint: a}", "", `4: the spec of an Ingress has no "to"; write it as {endpoint: NAME}`},
	{"to a group", ingress(`{hosts: [], ports: [], to: {endpoint: a@}}`), "", ", group: web", `4: to has no key "group"; its keys are endpoint`},
	{"listen", ingress(`{hosts: [], ports: [{listen: @}], to: {endpoint: a}}`), "tcp/443", "tcp", `4: listen is "tcp"; ` + portPair},
	{"listen on icmp", ingress(`{hosts: [], ports: [{listen: @}], to: {endpoint: a}}`), "udp/443", "icmp/8", `4: listen is "icmp/8"; ` + portPair},
	{"no listen", ingress(`{hosts: [], ports: [{@target: tcp/1}], to: {endpoint: a}}`), "listen: tcp/443, ", "", `4: a port has no "listen"; write it as {listen: tcp/443, target: tcp/8443}`},
	{"target of another protocol", ingress(`{hosts: [], ports: [{listen: tcp/443, target: @/443}], to: {endpoint: a}}`), "tcp", "udp", `4: target is "udp/443" and listen "tcp/443"; write the same protocol in both`},
	{"target of another size", ingress(`{hosts: [], ports: [{listen: tcp/443-444, target: tcp/1-@}], to: {endpoint: a}}`), "2", "3", `4: target is "tcp/1-3" and listen "tcp/443-444"; write ranges of the same size`},
	{"target of port zero", ingress(`{hosts: [], ports: [{listen: tcp/443, target: tcp/@}], to: {endpoint: a}}`), "1", "0", `4: target is "tcp/0"; ` + portPair},
	{"a port twice", ingress(`{hosts: [], ports: [{listen: tcp/443}, {listen: tcp/440-@}], to: {endpoint: a}}`), "442", "443", `4: listen is "tcp/440-443", and "tcp/443" at x.yaml:4 overlaps it; listen on each port once`},
	{"sources", ingress(`{hosts: [], ports: [], to: {endpoint: a}, sources: [{cidr: 203.0.113.@/24}]}`), "0", "7", `4: cidr is "203.0.113.7/24", which has host bits; write 203.0.113.0/24`},
	{"a source without cidr", ingress(`{hosts: [], ports: [], to: {endpoint: a}, sources: [{@except: []}]}`), "cidr: 0.0.0.0/0, ", "", `4: a source has no "cidr"; write it as {cidr: 203.0.113.0/24}`},
	{"a source's except", ingress(`{hosts: [], ports: [], to: {endpoint: a}, sources: [{cidr: 203.0.113.0/24, except: [203.0.@.7/32]}]}`), "113", "114", `4: except has "203.0.114.7/32", which is not within cidr "203.0.113.0/24"; remove it`},
	{"a source that is a group", ingress(`{hosts: [], ports: [], to: {endpoint: a}, sources: [{cidr: 0.0.0.0/0@}]}`), "", ", group: web", `4: a source has no key "group"; its keys are cidr, except`},
	{"a host", ingress(`{hosts: ["@"], ports: [], to: {endpoint: a}}`), "edge-1", "edge 1", `4: hosts has "edge 1", which is no pattern of host names; write a name, "edge-*" or "*"`},
	{"an Ingress without vpc", object("Ingress", "name: x, tenant: acme@", `{hosts: [], ports: [], to: {endpoint: a}}`), ", vpc: prod", "", `3: the metadata of an Ingress has no "vpc"; add vpc: NAME`},
}

var serviceTwins = []twin{
	{"neither vip nor hosts", service(`{@ports: [], backends: {group: web}}`), `vip: 10.1.0.9, `, "", `4: the spec of a Service has none of vip, hosts, gateway; write one`},
	{"vip and hosts", service(`{vip: 10.1.0.9@, ports: [], backends: {group: web}}`), "", ", hosts: []", `4: the spec of a Service has vip "10.1.0.9" and hosts []; write exactly one of vip, hosts, gateway`},
	{"vip and gateway", service(`{@gateway: edge, ports: [], backends: {group: web}}`), "", "vip: 10.1.0.9, ", `4: the spec of a Service has vip "10.1.0.9" and gateway "edge"; write exactly one of vip, hosts, gateway`},
	{"vip", service(`{vip: 10.1.0.@, ports: [], backends: {group: web}}`), "255", "256", `4: vip is "10.1.0.256", which is no IPv4 address; write it as 10.1.0.200`},
	{"vip with a length", service(`{vip: 10.1.0.9@, ports: [], backends: {group: web}}`), "", "/32", `4: vip is "10.1.0.9/32", which is no IPv4 address; write it as 10.1.0.200`},
	{"vip of IPv6", service(`{vip: "@", ports: [], backends: {group: web}}`), "10.1.0.9", "fd00::1", `4: vip is "fd00::1", which is IPv6, and that is refused until dual stack is built; write an IPv4 address`},
	{"vip of IPv4-mapped IPv6", service(`{vip: "@10.1.0.9", ports: [], backends: {group: web}}`), "", "::ffff:", `4: vip is "::ffff:10.1.0.9", which is IPv4-mapped IPv6; write the IPv4 address`},
	{"vip in no subnet", service(`{vip: 10.1.@.9, ports: [], backends: {group: web}}`), "1", "2", `4: vip is "10.1.2.9", which is in no subnet of vpc "acme/prod"; choose an address of one`},
	{"vip with sources", service(`{vip: 10.1.0.9@, ports: [], backends: {group: web}}`), "", ", sources: []", `4: the spec of a Service has sources [] beside vip "10.1.0.9", which admits nobody from outside; remove sources, or write hosts or gateway`},
	{"hosts with sources", service(`{hosts: [], ports: [], backends: {group: web}, sources: [{cidr: @.0.0.0/8}]}`), "10", "10.0", `4: cidr is "10.0.0.0.0/8", which is no range of IPv4 addresses; write it as 10.1.0.0/24`},
	{"no ports of a Service", service(`{vip: 10.1.0.9@, backends: {group: web}}`), ", ports: []", "", `4: the spec of a Service has no "ports"; write it as {listen: tcp/443, target: tcp/8443} in a list`},
	{"no backends", service(`{vip: 10.1.0.9, ports: []@}`), ", backends: {subnet: web}", "", `4: the spec of a Service has no "backends"; select some, as {group: NAME}`},
	{"empty backends", service(`{vip: 10.1.0.9, ports: [], backends: {@}}`), "labels: {a: b}", "", `4: backends is {}; write exactly one of group, subnet, labels or vpc`},
	{"backends of a group", service(`{vip: 10.1.0.9, ports: [], backends: {group: @}}`), "web", "wbe", `4: group "wbe" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"backends outside", service(`{vip: 10.1.0.9, ports: [], backends: {@}}`), "group: web", "cidr: 10.0.0.0/8", `4: backends has no key "cidr"...`},
	{"backends of another vpc", service(`{vip: 10.1.0.9, ports: [], backends: {vpc: acme/@}}`), "prod", "dev", `4: vpc is "acme/dev", and a Service has backends in its own, "acme/prod", alone; write that, or leave vpc out`},
	{"algorithm", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, algorithm: @}`), "least-sessions", "random", `4: algorithm is "random"; write round-robin, least-sessions or source`},
	{"a check of nothing", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {@}}`), "tcp: true", "", `4: check has none of http, tcp; write one`},
	{"a check of both", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true@}}`), "", ", http: /", `4: check has http "/" and tcp "true"; write exactly one of http, tcp`},
	{"a check of tcp", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: @}}`), "true", "false", `4: check.tcp is "false"; write true or leave it out`},
	{"a check's path", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {http: @}}`), "/healthz", "healthz", `4: check.http is "healthz"; write a path of printable ASCII from /, such as /healthz`},
	{"a check's path with a blank", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {http: "/a@b"}}`), "-", " ", `4: check.http is "/a b"; write a path of printable ASCII from /, such as /healthz`},
	{"a check too often", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true, every: @}}`), "100ms", "99ms", `4: check.every is "99ms"; write a time from 100ms to 1h, such as 2s`},
	{"a check too seldom", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true, every: @}}`), "1h", "61m", `4: check.every is "61m"; write a time from 100ms to 1h, such as 2s`},
	{"fall", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true, fall: @}}`), "100", "101", `4: check.fall is "101"; write a number from 1 to 100`},
	{"rise", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true, rise: @}}`), "1", "0", `4: check.rise is "0"; write a number from 1 to 100`},
	{"a key of a check", service(`{vip: 10.1.0.9, ports: [], backends: {group: web}, check: {tcp: true, @: 1}}`), "fall", "fails", `4: check has no key "fails"; its keys are http, tcp, every, fall, rise`},
}

var gatewayTwins = []twin{
	{"no hosts", gateway(`{@}`), "hosts: [edge-1, edge-2]", "", `4: the spec of a Gateway has no "hosts"; name its hosts, as [edge-1, edge-2]`},
	{"a Gateway's host", gateway(`{hosts: ["edge-@"]}`), "[12]", "[12", `4: hosts has "edge-[12", which is no pattern of host names; write a name, "edge-*" or "*"`},
	{"a Gateway's tenant", object("Gateway", "name: x@", `{hosts: []}`), "", ", tenant: acme", `3: the metadata of a Gateway has no key "tenant"; its keys are name`},
	{"a Gateway twice", object("Gateway", "name: @", `{hosts: []}`), "x", "edge", `3: Gateway edge is here twice, first at base.yaml:43; remove one or rename it`},
	{"a key of a Gateway", gateway(`{hosts: []@}`), "", ", addresses: []", `4: the spec of a Gateway has no key "addresses"; its keys are hosts`},
}

var siteTwins = []twin{
	{"no hosts", site(`{@gateways: []}`), `hosts: ["b-*"], `, "", `4: the spec of a Site has no "hosts"; name its hosts, as ["b-*"]`},
	{"trusted", site(`{hosts: [], trusted: @}`), "true", "yes", `4: trusted is "yes"; write true or false`},
	{"a gateway's address", site(`{hosts: [], gateways: [{host: b-gw1, address: 198.51.100.@}]}`), "7", "700", `4: address is "198.51.100.700", which is no IPv4 address; write it as 10.1.0.200`},
	{"a gateway without address", site(`{hosts: [], gateways: [{host: b-gw1@}]}`), ", address: 198.51.100.7", "", `4: a gateway has no "address"; write it as {host: NAME, address: 198.51.100.7}`},
	{"a gateway without host", site(`{hosts: [], gateways: [{@address: 198.51.100.7}]}`), "host: b-gw1, ", "", `4: a gateway has no "host"; write it as {host: NAME, address: 198.51.100.7}`},
	{"a gateway that is a pattern", site(`{hosts: [], gateways: [{host: "b-@", address: 198.51.100.7}]}`), "1", "*", `4: host is "b-*", which is no host's name; write one, without patterns`},
	{"a gateway twice", site(`{hosts: [], gateways: [{host: b1, address: 198.51.100.7}, {host: b@, address: 198.51.100.8}]}`), "2", "1", `4: the host "b1" is here twice, first at x.yaml:4; remove one`},
	{"a key of a Site", site(`{hosts: []@}`), "", ", trust: true", `4: the spec of a Site has no key "trust"; its keys are hosts, gateways, trusted`},
}

const assertionRule = "write {never: {from, to, port}}, or from, to, port and expect: allow or deny"

var assertionTwins = []twin{
	{"no expect", assertion(`{from: {vpc: acme/prod}, to: {any: true}@}`), ", expect: deny", "", `4: the spec of an Assertion has no "expect"; ` + assertionRule},
	{"expect", assertion(`{from: {vpc: acme/prod}, to: {any: true}, expect: @}`), "allow", "drop", `4: expect is "drop"; write allow or deny`},
	{"expect beside never", assertion(`{never: {from: {vpc: acme/prod}, to: {any: true}}@}`), "", ", expect: deny", `4: the spec of an Assertion has expect "deny" beside never; ` + assertionRule},
	{"expect within never", assertion(`{never: {from: {vpc: acme/prod}, to: {any: true}@}}`), "", ", expect: deny", `4: never has no key "expect"; its keys are from, to, port`},
	{"no from", assertion(`{never: {@to: {vpc: acme/prod}}}`), "from: {any: true}, ", "", `4: never has no "from"; name a peer, as {group: NAME, vpc: TENANT/VPC}`},
	{"no to", assertion(`{never: {from: {vpc: acme/prod}@}}`), ", to: {cidr: 0.0.0.0/0}", "", `4: never has no "to"; name a peer, as {group: NAME, vpc: TENANT/VPC}`},
	{"a peer without vpc", assertion(`{never: {from: {group: web@}, to: {any: true}}}`), ", vpc: acme/prod", "", `4: from is {group: web}, without vpc, and an Assertion is in none; add vpc: TENANT/VPC`},
	{"an endpoint without vpc", assertion(`{never: {from: {any: true}, to: {endpoint: web1@}}}`), ", vpc: acme/prod", "", `4: to is {endpoint: web1}, without vpc, and an Assertion is in none; add vpc: TENANT/VPC`},
	{"an endpoint and a group", assertion(`{never: {from: {any: true}, to: {endpoint: web1@, vpc: acme/prod}}}`), "", ", group: web", `4: to has group "web" and endpoint "web1"; write exactly one of group, subnet, labels, endpoint, vpc, cidr or any`},
	{"an endpoint's name", assertion(`{never: {from: {any: true}, to: {endpoint: @, vpc: acme/prod}}}`), "web1", "web_1", `4: to.endpoint is "web_1"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"an empty subject", assertion(`{never: {from: {@}, to: {vpc: acme/prod}}}`), "any: true", "", `4: from is {}; write exactly one of group, subnet, labels, endpoint, vpc, cidr or any`},
	{"an endpoint in a rule", peer(`{@}`), "any: true", "endpoint: web1", `4: a peer has no key "endpoint"; its keys are group, subnet, labels, vpc, cidr, except, any`},
	{"port", assertion(`{never: {from: {vpc: acme/prod}, to: {any: true}, port: @}}`), "tcp", "ip", `4: port is "ip"; write tcp, udp or sctp, alone or with /N or /N-M from 1 to 65535; or icmp, icmp/echo or icmp/TYPE from 0 to 255`},
	{"port as a list", assertion(`{never: {from: {vpc: acme/prod}, to: {any: true}, port: @}}`), "tcp", "[tcp]", `4: port is [tcp], not a string; write one value`},
	{"an own group", assertion(`{never: {from: {group: @, vpc: acme/prod}, to: {any: true}}}`), "web", "wbe", `4: group "wbe" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"an own vpc", assertion(`{never: {from: {vpc: acme/@}, to: {any: true}}}`), "dev", "dve", `4: vpc "acme/dve" doesn't exist; add the VPC or name another`},
	{"a stranger's vpc", assertion(`{never: {from: {vpc: globex/@}, to: {vpc: acme/dev}}}`) + peered, "shared", "x", `4: warning: vpc "globex/x" doesn't exist or is not peered with a vpc of tenant "acme", so the peer matches nothing; remove it, or peer it with one`},
	{"a stranger's group", assertion(`{never: {from: {group: @, vpc: globex/shared}, to: {vpc: acme/dev}}}`) + peered, "dns", "dsn", `4: warning: group "dsn" doesn't exist in vpc "globex/shared", so the peer matches nothing; remove it, or name another`},
	{"strangers alone", assertion(`{never: {from: {vpc: @}, to: {cidr: 0.0.0.0/0}}}`) + peered, "acme/dev", "globex/shared", `3: warning: neither from {vpc: globex/shared} nor to {cidr: 0.0.0.0/0} is in a vpc of tenant "acme", so the Assertion promises nothing; remove it, or name a vpc of its own`},
	{"an Assertion's vpc", object("Assertion", "name: x, tenant: acme@", `{never: {from: {vpc: acme/prod}, to: {any: true}}}`), "", ", vpc: prod", `3: the metadata of an Assertion has no key "vpc"; its keys are name, tenant`},
	{"a cidr of an Assertion", assertion(`{never: {from: {vpc: acme/prod}, to: {cidr: 10.0.0.@/8}}}`), "0", "1", `4: cidr is "10.0.0.1/8", which has host bits; write 10.0.0.0/8`},
}

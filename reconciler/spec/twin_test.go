package spec_test

import (
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// twin is one file with a place, @, that holds something right or something
// wrong. The two differ in nothing else, so what is said is said of it.
type twin struct {
	name      string
	file      string
	good, bad string
	want      string // of the bad one: LINE: text, or only its beginning with ...
}

func allTwins() [][]twin {
	return [][]twin{
		yamlTwins, objectTwins, tenantTwins, vpcTwins, groupTwins, ruleTwins, peerTwins,
		peeringTwins, linkTwins, ingressTwins, serviceTwins, gatewayTwins, siteTwins, assertionTwins,
		listenTwins, collisionTwins, vipTwins, tenantsTwins,
	}
}

func TestLoadTellsTwinsApart(t *testing.T) {
	for _, twins := range allTwins() {
		for _, test := range twins {
			t.Run(test.name, func(t *testing.T) {
				good := strings.ReplaceAll(test.file, "@", test.good)
				bad := strings.ReplaceAll(test.file, "@", test.bad)
				net, problems := spec.Load(tree("base.yaml", base, "x.yaml", good))
				if net == nil || len(problems) > 0 {
					t.Errorf("with %q, Load says:\n%swant nothing", test.good, lines(problems))
				}
				net, problems = spec.Load(tree("base.yaml", base, "x.yaml", bad))
				want := "x.yaml:" + test.want
				if isWarning := warningsAlone(want); isWarning != (net != nil) {
					t.Errorf("with %q, Load gives a network: %t; want %t", test.bad, net != nil, isWarning)
				}
				got := lines(problems)
				if start, cut := strings.CutSuffix(want, "..."); cut && strings.HasPrefix(got, start) && strings.Count(got, "\n") == 1 {
					return
				}
				if got != want+"\n" {
					t.Errorf("with %q, Load says:\n%swant:\n%s", test.bad, got, want)
				}
			})
		}
	}
}

// warningsAlone reports whether each line is one.
func warningsAlone(lines string) bool {
	for line := range strings.Lines(lines) {
		if !strings.Contains(line, ": warning: ") {
			return false
		}
	}
	return true
}

var yamlTwins = []twin{
	{"indentation", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata:\n  name: t\n@quota: 1\nspec: {}\n", "#", " ",
		`5: this is no YAML: did not find expected key, at "quota: 1"; see the indentation, brackets and quotes here`},
	{"a bracket left open", tenant(`{hosts: [a@}`), "]", "",
		`4: this is no YAML: did not find expected ',' or ']', at "spec: {hosts: [a}"; see the indentation, brackets and quotes here`},
	{"a bracket left open in lines of its own", tenant("\n  hosts: [\n    a,\n    b@\n  quota: {}"), "]", "",
		`5: this is no YAML: did not find expected ',' or ']', at "hosts: ["; see the indentation, brackets and quotes here`},
	{"a bracket left open at the end", tenant("\n  quota: {}\n  hosts: @"), "[]", "[",
		`6: this is no YAML: did not find expected node content, at "hosts: ["; see the indentation, brackets and quotes here`},
	{"a quote left open", tenant(`{hosts: ["a@]}`), `"`, "",
		`4: this is no YAML: found unexpected end of stream, at "spec: {hosts: [\"a]}"; see the indentation, brackets and quotes here`},
	{"a tab as indentation", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata:\n@name: t\nspec: {}\n", "  ", "\t",
		`4: this is no YAML: found character that cannot start any token, at "\tname: t"; see the indentation, brackets and quotes here`},
	{"anchor", tenant(`{hosts: [@a]}`), "", "&x ", `4: there is the anchor "&x"; write the value out wherever it is meant`},
	{"tag", tenant(`{hosts: [@a]}`), "", "!x ", `4: there is the tag "!x"; remove it, and quote the value if it is a string`},
	{"a tag of YAML's own", tenant(`{hosts: [@a]}`), "", "!!str ", `4: there is the tag "!!str"; remove it, and quote the value if it is a string`},
	{"merge key", peer(`{labels: {@: b}}`), `"<<"`, `<<`, `4: there is the merge key "<<"; write the keys out`},
	{"duplicate key", peer(`{labels: {a: b, @: c}}`), "b", "a", `4: the key "a" is here twice, first in line 4; remove one`},
	{"duplicate key in other quotes", peer(`{labels: {a: b, @: c}}`), `"b"`, `"a"`, `4: the key "a" is here twice, first in line 4; remove one`},
	{"duplicate key above", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t}\nspec:\n  hosts: []\n  @: {}\n", "quota", "hosts",
		`6: the key "hosts" is here twice, first in line 5; remove one`},
	{"unknown key", tenant(`{@: []}`), "hosts", "host", `4: the spec of a Tenant has no key "host"; its keys are hosts, quota, listen`},
	{"null", tenant(`{hosts: @}`), "[]", "null", `4: "hosts" is null; write [] for empty or leave the key out`},
	{"null as a tilde", tenant(`{hosts: @}`), "[]", "~", `4: "hosts" is null; write [] for empty or leave the key out`},
	{"nothing behind the colon", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t}\nspec:\n  hosts: @\n", "[]", "",
		`5: "hosts" is null; write [] for empty or leave the key out`},
	{"null in a list", tenant(`{hosts: [@]}`), "a", "null", `4: an entry of the list is null; write a value or leave it out`},
	{"a key that is no string", peer(`{labels: {@: b}}`), `"1"`, "1", `4: the key "1" is not a string; quote it`},
	{"a key that is a list", peer(`{labels: {@: b}}`), `"[]"`, "[]", `4: the key [] is not a string; write a name before the colon`},
	{"a number for a string", peer(`{labels: {a: @}}`), `"1"`, "1", `4: label "a" is "1", which YAML takes for no string; quote it`},
	{"a truth value for a string", peer(`{labels: {a: @}}`), `"true"`, "true", `4: label "a" is "true", which YAML takes for no string; quote it`},
	{"a list for a string", tenant(`{hosts: [@]}`), "a", "[a]", `4: hosts is [a], not a string; write one value`},
	{"a string for a list", tenant(`{hosts: @}`), "[a]", "a", `4: hosts is "a", not a list; write it as [A, B]`},
	{"a list for a mapping", tenant(`{quota: @}`), "{}", "[]", `4: quota is [], not a mapping; write it as key: value`},
	{"an escaped control character", peer(`{labels: {a: "@"}}`), `\x20`, `\x1b`, `4: the value "\x1b" has a control character or a line break; remove it`},
	{"a line break in a value", peer(`{labels: {a: "@"}}`), `\\n`, `\n`, `4: the value "\n" has a control character or a line break; remove it`},
	{"control character", tenant("{} # @"), "x", "\x01", "4: there is the control character U+0001; remove it"},
	{"delete character", tenant("{} # @"), "x", "\x7f", "4: there is the control character U+007F; remove it"},
	{"a C1 control character", tenant("{} # @"), "\u00a0", "\u0085", "4: there is the control character U+0085; remove it"},
	{"line separator", tenant("{} # @"), "\u2027", "\u2028", "4: there is the control character U+2028; remove it"},
	{"byte order mark within", tenant("{} # @"), "x", "\ufeff", "4: there is the control character U+FEFF; remove it"},
	{"byte order mark at the beginning", "@" + tenant("{}"), "\ufeff", "\ufeff\ufeff", "1: there is the control character U+FEFF; remove it"},
	{"not UTF-8", tenant("{} # @"), "\u00e9", "\xe9", "4: the byte 0xe9 is not UTF-8; save the file as UTF-8"},
	{"line ends counted with CRLF", "apiVersion: daoli.net/v1\r\nkind: Tenant\r\nmetadata: {name: t}\r\nspec: @\r\n", "{}", "\x01", "4: there is the control character U+0001; remove it"},
	{"no object", "@", tenant("{}"), "", `1: the file holds no object, perhaps it is half written; write one or remove the file`},
	{"nothing but a comment", "# @", "\n" + tenant("{}"), "", `1: the file holds no object, perhaps it is half written; write one or remove the file`},
	{"empty documents alone", "---\n---\n@---\n", tenant("{}"), "", `1: the file holds no object, perhaps it is half written; write one or remove the file`},
	{"nesting", peer("{labels: {a: b}} ] } ] } #@"), "", "\n" + strings.Repeat("[", 40), `5: lists and mappings are nested deeper than 32; write them flatter`},
	{"a document that is no mapping", tenant("{}") + "---\n@\n", "", "text", `6: an object is "text", not a mapping; write it as key: value`},
}

var objectTwins = []twin{
	{"apiVersion", "apiVersion: @\nkind: Tenant\nmetadata: {name: t}\nspec: {}\n", "daoli.net/v1", "daoli.net/v2", `1: apiVersion is "daoli.net/v2"; write daoli.net/v1`},
	{"no apiVersion", "@kind: Tenant\nmetadata: {name: t}\nspec: {}\n", "apiVersion: daoli.net/v1\n", "", `1: an object has no "apiVersion"; every object has apiVersion, kind, metadata and spec`},
	{"no kind", "apiVersion: daoli.net/v1\n@metadata: {name: t}\nspec: {}\n", "kind: Tenant\n", "", `1: an object has no "kind"; every object has apiVersion, kind, metadata and spec`},
	{"no metadata", "apiVersion: daoli.net/v1\nkind: Tenant\n@spec: {}\n", "metadata: {name: t}\n", "", `1: an object has no "metadata"; every object has apiVersion, kind, metadata and spec`},
	{"no spec", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t}\n@", "spec: {}\n", "", `1: an object has no "spec"; every object has apiVersion, kind, metadata and spec`},
	{"a key too many", tenant("{}") + "@", "", "status: {}", `5: an object has no key "status"; its keys are apiVersion, kind, metadata, spec`},
	{"unknown kind", "apiVersion: daoli.net/v1\nkind: @\nmetadata: {name: t}\nspec: {}\n", "Tenant", "tenant", `2: kind "tenant" is unknown; write Tenant, VPC, SecurityGroup, Peering, Link, Ingress, Service, Gateway, Site or Assertion`},
	{"no name", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {@}\nspec: {}\n", "name: t", "", `3: the metadata of a Tenant has no "name"; add name: NAME`},
	{"a tenant's tenant", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t@}\nspec: {}\n", "", ", tenant: t", `3: the metadata of a Tenant has no key "tenant"; its keys are name`},
	{"no tenant", "apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: v@}\nspec: {subnets: [{name: s, cidr: 10.0.0.0/8}]}\n", ", tenant: acme", "", `3: the metadata of a VPC has no "tenant"; add tenant: NAME`},
	{"no vpc", "apiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: g, tenant: acme@}\nspec: {}\n", ", vpc: prod", "", `3: the metadata of a SecurityGroup has no "vpc"; add vpc: NAME`},
	{"a tenant that isn't there", "apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: v, tenant: @}\nspec: {subnets: [{name: s, cidr: 10.0.0.0/8}]}\n", "acme", "amce", `3: the tenant "amce" doesn't exist; add a Tenant of that name outside tenants/`},
	{"a vpc that isn't there", "apiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: g, tenant: acme, vpc: @}\nspec: {}\n", "prod", "shared", `3: the vpc "shared" of tenant "acme" doesn't exist; add a VPC of that name`},
	{"a tenant twice", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", "t", "acme", `3: Tenant acme is here twice, first at base.yaml:3; remove one or rename it`},
	{"a group twice", "apiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: web, tenant: acme, vpc: @}\nspec: {}\n", "dev", "prod", `3: SecurityGroup acme/prod/web is here twice, first at base.yaml:28; remove one or rename it`},
	{"a name in capitals", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", "t", "T", `3: metadata.name is "T"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a name with a hyphen first", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", "a-b", "-b", `3: metadata.name is "-b"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a name with a hyphen last", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", "a-b", "a-", `3: metadata.name is "a-"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a name with a dot", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", "a-b", "a.b", `3: metadata.name is "a.b"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"an empty name", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", `"0"`, `""`, `3: metadata.name is ""; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a long name", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: @}\nspec: {}\n", strings.Repeat("a", 63), strings.Repeat("a", 64), `3: metadata.name is "aaa...`},
}

var tenantTwins = []twin{
	{"host glob", tenant(`{hosts: ["@"]}`), "edge-[0-9]*", "edge-[0-9*", `4: hosts has "edge-[0-9*", which is no pattern of host names; write a name, "edge-*" or "*"`},
	{"an empty host glob", tenant(`{hosts: ["@"]}`), "*", "", `4: hosts has "", which is no pattern of host names; write a name, "edge-*" or "*"`},
	{"a slash in a host glob", tenant(`{hosts: ["@"]}`), "a-b", "a/b", `4: hosts has "a/b", which is no pattern of host names; write a name, "edge-*" or "*"`},
	{"quota below zero", tenant(`{quota: {endpoints: @}}`), "1", "-1", `4: quota.endpoints is "-1"; write a number from 1 to 999999999, or leave it out for no limit`},
	{"quota of zero", tenant(`{quota: {sessions: @}}`), "1", "0", `4: quota.sessions is "0"; write a number from 1 to 999999999, or leave it out for no limit`},
	{"quota not decimal", tenant(`{quota: {sessions: @}}`), "10", "0x10", `4: quota.sessions is "0x10"; write a number from 1 to 999999999, or leave it out for no limit`},
	{"quota with a fraction", tenant(`{quota: {newSessionsPerSecond: @}}`), "1", "1.5", `4: quota.newSessionsPerSecond is "1.5"; write a number from 1 to 999999999, or leave it out for no limit`},
	{"quota in quotes", tenant(`{quota: {sessions: @}}`), `1`, `"1"`, `4: quota.sessions is "1"; write a number from 1 to 999999999, or leave it out for no limit`},
	{"an unknown quota", tenant(`{quota: {@: 1}}`), "sessions", "session", `4: quota has no key "session"; its keys are endpoints, sessions, newSessionsPerSecond`},
	{"listen ports", tenant(`{listen: {hosts: ["edge-*"], ports: [tcp/444, @]}}`), "tcp/30000-30999", "tcp/20000-1", `4: listen.ports has "tcp/20000-1"; write tcp, udp or sctp, alone or with /N or /N-M from 1 to 65535; or icmp, icmp/echo or icmp/TYPE from 0 to 255`},
	{"listening on icmp", tenant(`{listen: {ports: [@]}}`), "tcp", "icmp", `4: listen.ports has "icmp", on which nothing can listen; write tcp, udp or sctp ports`},
	{"listen hosts", tenant(`{listen: {hosts: ["@"]}}`), "a", "a b", `4: listen.hosts has "a b", which is no pattern of host names; write a name, "edge-*" or "*"`},
}

var vpcTwins = []twin{
	{"no subnets", vpc(`{@default: deny}`), "subnets: [{name: s, cidr: 10.0.0.0/8}], ", "", `4: the spec of a VPC has no "subnets"; a VPC has at least one, as {name: NAME, cidr: 10.1.0.0/24}`},
	{"empty subnets", vpc(`{subnets: [@]}`), "{name: s, cidr: 10.0.0.0/8}", "", `4: subnets is []; a VPC has at least one, as {name: NAME, cidr: 10.1.0.0/24}`},
	{"a subnet without name", vpc(`{subnets: [{@cidr: 10.0.0.0/8}]}`), "name: s, ", "", `4: a subnet has no "name"; write it as {name: NAME, cidr: 10.1.0.0/24}`},
	{"a subnet without cidr", vpc(`{subnets: [{name: s@}]}`), ", cidr: 10.0.0.0/8", "", `4: a subnet has no "cidr"; write it as {name: NAME, cidr: 10.1.0.0/24}`},
	{"host bits", vpc(`{subnets: [{name: s, cidr: 10.0.0.@/24}]}`), "0", "1", `4: cidr is "10.0.0.1/24", which has host bits; write 10.0.0.0/24`},
	{"no length", vpc(`{subnets: [{name: s, cidr: 10.0.0.0@}]}`), "/32", "", `4: cidr is "10.0.0.0", which has no length; write 10.0.0.0/32`},
	{"a length too long", vpc(`{subnets: [{name: s, cidr: 10.0.0.0/@}]}`), "32", "33", `4: cidr is "10.0.0.0/33", which is no range of IPv4 addresses; write it as 10.1.0.0/24`},
	{"a length with leading zero", vpc(`{subnets: [{name: s, cidr: 10.0.0.0/@}]}`), "8", "08", `4: cidr is "10.0.0.0/08", which is no range of IPv4 addresses; write it as 10.1.0.0/24`},
	{"an address with leading zero", vpc(`{subnets: [{name: s, cidr: @.0.0.0/8}]}`), "10", "010", `4: cidr is "010.0.0.0/8", which is no range of IPv4 addresses; write it as 10.1.0.0/24`},
	{"IPv6", vpc(`{subnets: [{name: s, cidr: "@"}]}`), "10.0.0.0/8", "fd00::/8", `4: cidr is "fd00::/8", which is IPv6, and that is refused until dual stack is built; write an IPv4 range`},
	{"IPv4-mapped IPv6", vpc(`{subnets: [{name: s, cidr: "@"}]}`), "10.0.0.0/8", "::ffff:10.0.0.0/104", `4: cidr is "::ffff:10.0.0.0/104", which is IPv4-mapped IPv6; write the IPv4 range`},
	{"this network", vpc(`{subnets: [{name: s, cidr: @.0.0.0/8}]}`), "1", "0", `4: cidr is "0.0.0.0/8", which overlaps 0.0.0.0/8, "this network"; choose another range`},
	{"everything", vpc(`{subnets: [{name: s, cidr: @.0.0.0/1}]}`), "10.0.0.0/8}, {name: r, cidr: 64.0.0.0/3}]} #", "0", `4: cidr is "0.0.0.0/1", which overlaps 0.0.0.0/8, "this network"; choose another range`},
	{"loopback", vpc(`{subnets: [{name: s, cidr: @.0.0.0/24}]}`), "126", "127", `4: cidr is "127.0.0.0/24", which overlaps 127.0.0.0/8, loopback; choose another range`},
	{"link-local", vpc(`{subnets: [{name: s, cidr: 169.@.9.0/24}]}`), "253", "254", `4: cidr is "169.254.9.0/24", which overlaps 169.254.0.0/16, link-local; choose another range`},
	{"multicast", vpc(`{subnets: [{name: s, cidr: @.0.0.0/8}]}`), "223", "224", `4: cidr is "224.0.0.0/8", which overlaps 224.0.0.0/3, multicast and reserved; choose another range`},
	{"the last addresses", vpc(`{subnets: [{name: s, cidr: @.255.255.255/32}]}`), "223", "255", `4: cidr is "255.255.255.255/32", which overlaps 224.0.0.0/3, multicast and reserved; choose another range`},
	{"subnets that overlap", vpc("\n  subnets:\n  - {name: a, cidr: 10.0.0.0/24}\n  - {name: b, cidr: 10.0.@.0/24}\n  - {name: c, cidr: 10.0.2.0/24}\n"), "1", "0", `7: the subnet "b", 10.0.0.0/24, overlaps the subnet "a", 10.0.0.0/24, at x.yaml:6; choose another range`},
	{"a subnet within another", vpc("\n  subnets:\n  - {name: a, cidr: 10.0.0.128/25}\n  - {name: b, cidr: 10.1.0.0/24}\n  - {name: c, cidr: 10.@.0.0/16}\n"), "2", "0", `8: the subnet "c", 10.0.0.0/16, overlaps the subnet "a", 10.0.0.128/25, at x.yaml:6; choose another range`},
	{"a subnet twice", vpc("{subnets: [{name: a, cidr: 10.0.0.0/24}, {name: @, cidr: 10.0.1.0/24}]}"), "b", "a", `4: the subnet "a" is here twice, first at x.yaml:4; give it a name of its own`},
	{"default", withSubnets("default: @"), "same-vpc", "same", `4: default is "same"; write same-subnet, same-vpc or deny`},
	{"egress default", withSubnets("egress: {default: @}"), "allow", "reject", `4: egress.default is "reject"; write allow or deny`},
	{"egress via", withSubnets("egress: {via: @}"), "own-host", "own", `4: egress.via is "own", and no Gateway has that name; add it or name another`},
	{"egress via a Gateway", withSubnets("egress: {via: @}"), "edge", "edgy", `4: egress.via is "edgy", and no Gateway has that name; add it or name another`},
	{"sessions of tcp", withSubnets("sessions: {tcp: @}"), "connection", "packet", `4: sessions.tcp is "packet"; write service or connection`},
	{"sessions of udp", withSubnets("sessions: {udp: @}"), "service", "services", `4: sessions.udp is "services"; write service or connection`},
	{"idle too short", withSubnets("sessions: {idle: @}"), "60s", "59s", `4: sessions.idle is "59s"; write a time from 1m to 24h, such as 2h4m`},
	{"idle too long", withSubnets("sessions: {idle: @}"), "24h", "24h1s", `4: sessions.idle is "24h1s"; write a time from 1m to 24h, such as 2h4m`},
	{"idle without unit", withSubnets(`sessions: {idle: "@"}`), "300s", "300", `4: sessions.idle is "300"; write a time from 1m to 24h, such as 2h4m`},
	{"a key of a VPC", withSubnets("@: {}"), "egress", "ingress", `4: the spec of a VPC has no key "ingress"; its keys are subnets, default, egress, sessions`},
}

var groupTwins = []twin{
	{"members empty", group(`{members: {@}}`), "all: true", "", `4: members is {}; select some, write {all: true}, or leave members out for those that claim the group`},
	{"members' subnets empty", group(`{members: {subnets: [@]}}`), "web", "", `4: members.subnets is []; name one or leave the key out`},
	{"members' endpoints empty", group(`{members: {endpoints: [@]}}`), "web1", "", `4: members.endpoints is []; name one or leave the key out`},
	{"members' labels empty", group(`{members: {labels: {@}}}`), "a: b", "", `4: labels is {}; write at least one as {KEY: VALUE}`},
	{"a label without key", group(`{members: {labels: {"@": b}}}`), "a", "", `4: a label's key is ""; name the label`},
	{"all false", group(`{members: {all: @}}`), "true", "false", `4: members.all is "false"; write true or leave it out`},
	{"all is yes", group(`{members: {all: @}}`), "true", "yes", `4: members.all is "yes"; write true or false`},
	{"all beside another", group(`{members: {all: true@}}`), "", ", subnets: [web]", `4: members has all beside subnets [web]; write {all: true} alone`},
	{"a subnet of members", group(`{members: {subnets: [web, @]}}`), "db", "bd", `4: subnet "bd" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"an endpoint of members", group(`{members: {endpoints: [@]}}`), "web1", "web_1", `4: members.endpoints is "web_1"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a key of members", group(`{members: {@: [web]}}`), "subnets", "subnet", `4: members has no key "subnet"; its keys are subnets, labels, endpoints, all`},
}

var ruleTwins = []twin{
	{"from in ingress", group(`{ingress: [{@: []}]}`), "from", "to", `4: a rule has no key "to"; its keys are from, ports, action, log, until`},
	{"to in egress", group(`{egress: [{@: []}]}`), "to", "from", `4: a rule has no key "from"; its keys are to, ports, action, log, until`},
	{"a rule that is no mapping", group(`{ingress: [@]}`), "{}", "[]", `4: a rule is [], not a mapping; write it as key: value`},
	{"action", rule(`{action: @}`), "reject", "drop", `4: action is "drop"; write allow, deny or reject`},
	{"log", rule(`{log: @}`), "true", "yes", `4: log is "yes"; write true or false`},
	{"log in quotes", rule(`{log: @}`), "true", `"true"`, `4: log is "true"; write true or false`},
	{"until without zone", rule(`{until: "2026-12-24T18:00:00@"}`), "Z", "", `4: until is "2026-12-24T18:00:00"; write RFC 3339 with a zone, such as "2026-12-24T18:00:00Z"`},
	{"until as a date", rule(`{until: 2026-12-24@}`), "T18:00:00+01:00", "", `4: until is "2026-12-24"; write RFC 3339 with a zone, such as "2026-12-24T18:00:00Z"`},
	{"until with a blank", rule(`{until: 2026-12-24@18:00:00Z}`), "T", " ", `4: until is "2026-12-24 18:00:00Z"; write RFC 3339 with a zone, such as "2026-12-24T18:00:00Z"`},
	{"until on a day that isn't", rule(`{until: "2026-02-@T18:00:00Z"}`), "28", "29", `4: until is "2026-02-29T18:00:00Z"; write RFC 3339 with a zone, such as "2026-12-24T18:00:00Z"`},
	{"a protocol", rule(`{ports: [@]}`), "sctp", "gre", portTwin("gre")},
	{"a protocol in capitals", rule(`{ports: [@]}`), "tcp", "TCP", portTwin("TCP")},
	{"port zero", rule(`{ports: [tcp/@]}`), "1", "0", portTwin("tcp/0")},
	{"port too high", rule(`{ports: [tcp/@]}`), "65535", "65536", portTwin("tcp/65536")},
	{"port with leading zero", rule(`{ports: [tcp/@]}`), "80", "080", portTwin("tcp/080")},
	{"port with sign", rule(`{ports: [tcp/@]}`), "80", "+80", portTwin("tcp/+80")},
	{"port with blank", rule(`{ports: ["tcp/@"]}`), "80", " 80", portTwin("tcp/ 80")},
	{"no port behind the slash", rule(`{ports: [tcp@]}`), "", "/", portTwin("tcp/")},
	{"a range backwards", rule(`{ports: [tcp/80-@]}`), "80", "79", portTwin("tcp/80-79")},
	{"a range from zero", rule(`{ports: [tcp/@-80]}`), "1", "0", portTwin("tcp/0-80")},
	{"a range without end", rule(`{ports: [tcp/80-@]}`), "81", "", portTwin("tcp/80-")},
	{"a range of three", rule(`{ports: [tcp/80-81@]}`), "", "-82", portTwin("tcp/80-81-82")},
	{"an icmp type", rule(`{ports: [icmp/@]}`), "255", "256", portTwin("icmp/256")},
	{"an icmp name", rule(`{ports: [icmp/@]}`), "echo", "reply", portTwin("icmp/reply")},
	{"an icmp range", rule(`{ports: [icmp/@]}`), "0", "0-8", portTwin("icmp/0-8")},
	{"an icmp type with leading zero", rule(`{ports: [icmp/@]}`), "8", "08", portTwin("icmp/08")},
}

func portTwin(bad string) string {
	return `4: ports has "` + bad + `"; write tcp, udp or sctp, alone or with /N or /N-M from 1 to 65535; or icmp, icmp/echo or icmp/TYPE from 0 to 255`
}

var peerTwins = []twin{
	{"an empty peer", peer(`{@}`), "any: true", "", `4: a peer is {}; write exactly one of group, subnet, labels, vpc, cidr or any`},
	{"two selectors", peer(`{group: web@}`), "", ", subnet: web", `4: a peer has group "web" and subnet "web"; write exactly one of group, subnet, labels, vpc, cidr or any`},
	{"any beside a cidr", peer(`{any: true@}`), "", ", cidr: 10.0.0.0/8", `4: a peer has cidr "10.0.0.0/8" and any "true"; write exactly one of group, subnet, labels, vpc, cidr or any`},
	{"any false", peer(`{any: @}`), "true", "false", `4: any is "false"; write true or leave it out`},
	{"any beside a vpc", peer(`{any: true@}`), "", ", vpc: acme/prod", `4: a peer has vpc "acme/prod" beside any "true"; vpc goes with group, subnet or labels, or alone`},
	{"a cidr beside a vpc", peer(`{cidr: 192.0.2.0/24@}`), "", ", vpc: acme/prod", `4: a peer has vpc "acme/prod" beside cidr "192.0.2.0/24"; vpc goes with group, subnet or labels, or alone`},
	{"a group", peer(`{group: @}`), "web", "wbe", `4: group "wbe" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"a group's name", peer(`{group: @}`), "web", "Web", `4: group is "Web"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a group of another vpc", peer(`{group: @}`), "web", "tools", `4: group "tools" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"a subnet", peer(`{subnet: @}`), "db", "bd", `4: subnet "bd" doesn't exist in vpc "acme/prod"; add it or name another`},
	{"no labels", peer(`{labels: {@}}`), "role: api", "", `4: labels is {}; write at least one as {KEY: VALUE}`},
	{"labels as a list", peer(`{labels: @}`), "{a: b}", "[a]", `4: labels is [a]; write at least one as {KEY: VALUE}`},
	{"a vpc", peer(`{vpc: @}`), "acme/prod", "acme/prdo", `4: vpc "acme/prdo" doesn't exist; add the VPC or name another`},
	{"a vpc without tenant", peer(`{vpc: @}`), "acme/prod", "prod", `4: vpc is "prod"; write it as TENANT/VPC`},
	{"a vpc with more", peer(`{vpc: @}`), "acme/prod", "acme/prod/web", `4: vpc is "acme/prod/web"; write it as TENANT/VPC`},
	{"a vpc beside labels", peer(`{labels: {a: b}, vpc: @}`), "acme/prod", "acme/x", `4: vpc "acme/x" doesn't exist; add the VPC or name another`},
	{"a vpc not peered", peer(`{vpc: @}`), "acme/prod", "acme/dev", `4: warning: vpc "acme/dev" is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a group in a vpc not peered", peer(`{group: @}`), "web", "tools, vpc: acme/dev", `4: warning: vpc "acme/dev" is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a stranger's vpc", peer(`{vpc: @}`), "acme/prod", "globex/shared", `4: warning: vpc "globex/shared" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a stranger's vpc that isn't there", peer(`{vpc: @}`), "acme/prod", "globex/secret", `4: warning: vpc "globex/secret" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a stranger's group", peer(`{group: @}`), "web", "dns, vpc: globex/shared", `4: warning: vpc "globex/shared" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a stranger's group that isn't there", peer(`{group: @}`), "web", "x, vpc: globex/shared", `4: warning: vpc "globex/shared" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a stranger that isn't there", peer(`{vpc: @}`), "acme/prod", "initech/x", `4: warning: vpc "initech/x" doesn't exist or is not peered with "acme/prod", so the peer matches nothing; remove it, or peer the two`},
	{"a cidr's host bits", peer(`{cidr: 192.0.2.@/24}`), "0", "7", `4: cidr is "192.0.2.7/24", which has host bits; write 192.0.2.0/24`},
	{"a cidr of IPv6", peer(`{cidr: "@"}`), "0.0.0.0/0", "::/0", `4: cidr is "::/0", which is IPv6, and that is refused until dual stack is built; write an IPv4 range`},
	{"an except outside", peer(`{cidr: 10.0.0.0/8, except: [@.1.0.0/16]}`), "10", "11", `4: except has "11.1.0.0/16", which is not within cidr "10.0.0.0/8"; remove it`},
	{"an except wider", peer(`{cidr: 10.0.0.0/8, except: [10.0.0.0/@]}`), "8", "7", `4: except has "10.0.0.0/7", which is not within cidr "10.0.0.0/8"; remove it`},
	{"an except alone", peer(`{@except: [10.0.0.0/8]}`), "cidr: 10.0.0.0/8, ", "", `4: a peer has except [10.0.0.0/8] without cidr; add the cidr that it takes from`},
	{"an except beside a group", peer(`{@, except: []}`), "cidr: 10.0.0.0/8", "group: web", `4: a peer has except [] beside group "web"; except goes with cidr alone`},
	{"a key of a peer", peer(`{@: web}`), "group", "groups", `4: a peer has no key "groups"; its keys are group, subnet, labels, vpc, cidr, except, any`},
}

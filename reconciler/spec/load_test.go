package spec_test

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/spec"
)

const everything = `
# A comment and an empty document are no objects.
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec:
  hosts: ["*", edge-1]
  quota: {endpoints: 500, sessions: 20000, newSessionsPerSecond: 50}
  listen: {hosts: ["edge-*"], ports: [tcp/443, udp]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata:
  tenant: acme
  name: prod
spec:
  subnets:
  - {name: web, cidr: 10.1.0.0/24}
  - name: db
    cidr: 10.1.1.0/24
  default: deny
  egress: {via: own-host, default: allow}
  sessions: {tcp: connection, udp: service, idle: 90m}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: dev, tenant: acme}
spec:
  subnets: [{name: all, cidr: 10.1.0.0/16}]
  egress: {}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: db, tenant: acme, vpc: prod}
spec:
  members: {subnets: [db, web], labels: {tier: "1"}, endpoints: [db1]}
  ingress:
  - from: [{group: web}, {subnet: web, vpc: acme/prod}]
    ports: [tcp/5432, udp/20000-20999, sctp, icmp, icmp/echo, icmp/3]
    log: true
    until: 2026-12-24T18:00:00+01:00
  - {}
  - {from: [], ports: [], action: reject, until: "2026-12-24t18:00:00.5z"}
  egress:
  - to:
    - {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.0.0/16]}
    - {labels: {a: b, c: ""}}
    - {vpc: acme/prod}
    - {any: true}
    action: deny
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: all, tenant: acme, vpc: dev}
spec: {members: {all: true}, ingress: []}
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: globex}
spec: {}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: shared, tenant: globex}
spec: {subnets: [{name: dns, cidr: 10.9.0.0/24}], egress: {via: edge}}
---
apiVersion: daoli.net/v1
kind: Gateway
metadata: {name: edge}
spec: {hosts: ["edge-*"]}
---
apiVersion: daoli.net/v1
kind: Site
metadata: {name: berlin}
spec:
  hosts: ["b-*"]
  gateways: [{host: b-gw1, address: 198.51.100.7}]
  trusted: true
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: to-shared, tenant: acme}
spec: {vpcs: [acme/prod, globex/shared]}
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: to-acme, tenant: globex}
spec: {vpcs: [globex/shared, acme/prod]}
---
apiVersion: daoli.net/v1
kind: Link
metadata: {name: web1-dns1, tenant: acme, vpc: prod}
spec:
  action: connect
  between:
  - {endpoint: web1}
  - {endpoint: dns1, vpc: globex/shared}
---
apiVersion: daoli.net/v1
kind: Link
metadata: {name: cut, tenant: acme, vpc: prod}
spec: {action: disconnect, between: [{group: web}, {group: db, vpc: acme/prod}]}
---
apiVersion: daoli.net/v1
kind: Ingress
metadata: {name: shop, tenant: acme, vpc: prod}
spec:
  hosts: ["edge-*"]
  ports:
  - {listen: tcp/443, target: tcp/8443}
  - {listen: udp/500-509, target: udp/1500-1509}
  to: {endpoint: web2}
  sources:
  - {cidr: 203.0.113.0/24, except: [203.0.113.7/32]}
---
apiVersion: daoli.net/v1
kind: Service
metadata: {name: api, tenant: acme, vpc: prod}
spec:
  vip: 10.1.0.200
  ports: [{listen: tcp/80, target: tcp/8080}]
  backends: {group: web}
  algorithm: least-sessions
  check: {http: /healthz, every: 5s, fall: 4, rise: 1}
---
apiVersion: daoli.net/v1
kind: Service
metadata: {name: front, tenant: acme, vpc: prod}
spec:
  gateway: edge
  ports: [{listen: udp/53}]
  backends: {vpc: acme/prod}
  check: {tcp: true}
---
apiVersion: daoli.net/v1
kind: Assertion
metadata: {name: no-data-out, tenant: acme}
spec: {never: {from: {group: db, vpc: acme/prod}, to: {cidr: 0.0.0.0/0}, port: tcp}}
---
apiVersion: daoli.net/v1
kind: Assertion
metadata: {name: dns, tenant: acme}
spec:
  from: {endpoint: web3, vpc: acme/prod}
  to: {endpoint: dns2, vpc: globex/shared}
  expect: allow
`

func TestLoadReadsEveryField(t *testing.T) {
	at := func(line int) spec.Pos { return spec.Pos{File: "a.yaml", Line: line} }
	prefix := netip.MustParsePrefix
	port := func(proto string, lo, hi uint16) spec.Port { return spec.Port{Proto: proto, Lo: lo, Hi: hi} }
	want := &spec.Network{
		Tenants: map[string]*spec.Tenant{"acme": {
			Name: "acme", At: at(6), Hosts: []string{"*", "edge-1"},
			Quota:  spec.Quota{Endpoints: 500, Sessions: 20000, NewSessionsPerSecond: 50},
			Listen: spec.Listen{Hosts: []string{"edge-*"}, Ports: []spec.Port{{Proto: "tcp", Lo: 443, Hi: 443}, {Proto: "udp", Lo: 0, Hi: 65535}}},
		}, "globex": {Name: "globex", At: at(65)}},
		VPCs: map[spec.VPCID]*spec.VPC{
			"acme/prod": {
				ID: "acme/prod", Tenant: "acme", Name: "prod", At: at(16),
				Subnets: []spec.Subnet{
					{Name: "web", CIDR: prefix("10.1.0.0/24"), At: at(19)},
					{Name: "db", CIDR: prefix("10.1.1.0/24"), At: at(20)},
				},
				Default: spec.Deny, DefaultAt: at(22),
				Egress:   &spec.Egress{Via: "own-host", Default: "allow", DefaultAt: at(23)},
				Sessions: spec.Sessions{TCP: spec.PerConnection, UDP: spec.PerService, Idle: 90 * time.Minute},
			},
			"acme/dev": {
				ID: "acme/dev", Tenant: "acme", Name: "dev", At: at(28),
				Subnets: []spec.Subnet{{Name: "all", CIDR: prefix("10.1.0.0/16"), At: at(30)}},
				Default: spec.SameSubnet, DefaultAt: at(28),
				Egress:   &spec.Egress{Via: "own-host", Default: "deny", DefaultAt: at(28)},
				Sessions: spec.Sessions{TCP: spec.PerService, UDP: spec.PerConnection, Idle: 124 * time.Minute},
			},
			"globex/shared": {
				ID: "globex/shared", Tenant: "globex", Name: "shared", At: at(70),
				Subnets: []spec.Subnet{{Name: "dns", CIDR: prefix("10.9.0.0/24"), At: at(71)}},
				Default: spec.SameSubnet, DefaultAt: at(70),
				Egress:   &spec.Egress{Via: "edge", Default: "deny", DefaultAt: at(70)},
				Sessions: spec.Sessions{TCP: spec.PerService, UDP: spec.PerConnection, Idle: 124 * time.Minute},
			},
		},
		Groups: map[spec.VPCID]map[string]*spec.SecurityGroup{
			"acme/prod": {
				"web": {VPC: "acme/prod", Name: "web", At: at(35)},
				"db": {
					VPC: "acme/prod", Name: "db", At: at(40),
					Members: &spec.Members{Subnets: []string{"db", "web"}, Labels: map[string]string{"tier": "1"}, Endpoints: []string{"db1"}},
					Ingress: &spec.Section{At: at(43), Rules: []spec.Rule{
						{
							ID: "acme/prod/db/ingress/0", At: at(44), Action: spec.Allow, Log: true,
							Peers: []spec.Peer{{Group: "web", VPC: "acme/prod", At: at(44)}, {Subnet: "web", VPC: "acme/prod", At: at(44)}},
							Ports: []spec.Port{
								{Proto: "tcp", Lo: 5432, Hi: 5432}, {Proto: "udp", Lo: 20000, Hi: 20999}, {Proto: "sctp", Lo: 0, Hi: 65535},
								{Proto: "icmp", Lo: 0, Hi: 255}, {Proto: "icmp", Lo: 8, Hi: 8}, {Proto: "icmp", Lo: 3, Hi: 3},
							},
							Until: time.Date(2026, 12, 24, 17, 0, 0, 0, time.UTC),
						},
						{ID: "acme/prod/db/ingress/1", At: at(48), Action: spec.Allow, AnyPeer: true, AnyPort: true},
						{ID: "acme/prod/db/ingress/2", At: at(49), Action: spec.Reject, Until: time.Date(2026, 12, 24, 18, 0, 0, 5e8, time.UTC)},
					}},
					Egress: &spec.Section{At: at(50), Rules: []spec.Rule{{
						ID: "acme/prod/db/egress/0", At: at(51), Action: spec.DenyRule, AnyPort: true,
						Peers: []spec.Peer{
							{CIDR: prefix("0.0.0.0/0"), Except: []netip.Prefix{prefix("10.0.0.0/8"), prefix("192.168.0.0/16")}, At: at(52)},
							{Labels: map[string]string{"a": "b", "c": ""}, VPC: "acme/prod", At: at(53)},
							{VPC: "acme/prod", At: at(54)},
							{Any: true, At: at(55)},
						},
					}}},
				},
			},
			"acme/dev": {"all": {
				VPC: "acme/dev", Name: "all", At: at(60), Members: &spec.Members{All: true},
				Ingress: &spec.Section{At: at(61)},
			}},
		},
		Gateways: map[string]*spec.Gateway{"edge": {Name: "edge", At: at(75), Hosts: []string{"edge-*"}}},
		Sites: map[string]*spec.Site{"berlin": {
			Name: "berlin", At: at(80), Hosts: []string{"b-*"}, Trusted: true,
			Gateways: []spec.SiteGateway{{Host: "b-gw1", Address: netip.MustParseAddr("198.51.100.7")}},
		}},
		Peerings: []*spec.Peering{
			{Tenant: "acme", Name: "to-shared", At: at(88), VPCs: [2]spec.VPCID{"acme/prod", "globex/shared"}, InForce: true},
			{Tenant: "globex", Name: "to-acme", At: at(93), VPCs: [2]spec.VPCID{"globex/shared", "acme/prod"}, InForce: true},
		},
		Links: []*spec.Link{
			{VPC: "acme/prod", Name: "cut", At: at(107), Between: [2]spec.End{
				{VPC: "acme/prod", Group: "web", At: at(108)}, {VPC: "acme/prod", Group: "db", At: at(108)},
			}},
			{VPC: "acme/prod", Name: "web1-dns1", At: at(98), Connect: true, Between: [2]spec.End{
				{VPC: "acme/prod", Endpoint: "web1", At: at(102)}, {VPC: "globex/shared", Endpoint: "dns1", At: at(103)},
			}},
		},
		Ingresses: []*spec.Ingress{{
			VPC: "acme/prod", Name: "shop", At: at(112), Endpoint: "web2",
			Entry: spec.Entry{Hosts: []string{"edge-*"}, Sources: []spec.Source{
				{CIDR: prefix("203.0.113.0/24"), Except: []netip.Prefix{prefix("203.0.113.7/32")}, At: at(120)},
			}},
			Ports: []spec.PortMap{
				{Listen: port("tcp", 443, 443), Target: port("tcp", 8443, 8443), At: at(116)},
				{Listen: port("udp", 500, 509), Target: port("udp", 1500, 1509), At: at(117)},
			},
		}},
		Services: []*spec.Service{
			{
				VPC: "acme/prod", Name: "api", At: at(124), VIP: netip.MustParseAddr("10.1.0.200"),
				Ports:    []spec.PortMap{{Listen: port("tcp", 80, 80), Target: port("tcp", 8080, 8080), At: at(127)}},
				Backends: spec.Peer{Group: "web", VPC: "acme/prod", At: at(128)}, Algorithm: spec.LeastSessions,
				Check: &spec.Check{HTTP: "/healthz", Every: 5 * time.Second, Fall: 4, Rise: 1},
			},
			{
				VPC: "acme/prod", Name: "front", At: at(134), Entry: spec.Entry{Gateway: "edge", Anybody: true},
				Ports:    []spec.PortMap{{Listen: port("udp", 53, 53), Target: port("udp", 53, 53), At: at(137)}},
				Backends: spec.Peer{VPC: "acme/prod", At: at(138)}, Algorithm: spec.RoundRobin,
				Check: &spec.Check{Every: 2 * time.Second, Fall: 3, Rise: 2},
			},
		},
		Assertions: []*spec.Assertion{
			{
				Tenant: "acme", Name: "dns", At: at(148), AnyPort: true, Allow: true,
				From: spec.Subject{Endpoint: "web3", Peer: spec.Peer{VPC: "acme/prod", At: at(150)}},
				To:   spec.Subject{Endpoint: "dns2", Peer: spec.Peer{VPC: "globex/shared", At: at(151)}},
			},
			{
				Tenant: "acme", Name: "no-data-out", At: at(143), Port: port("tcp", 0, 65535),
				From: spec.Subject{Peer: spec.Peer{Group: "db", VPC: "acme/prod", At: at(144)}},
				To:   spec.Subject{Peer: spec.Peer{CIDR: prefix("0.0.0.0/0"), At: at(144)}},
			},
		},
		Peers: map[spec.VPCID][]spec.VPCID{"acme/prod": {"globex/shared"}, "globex/shared": {"acme/prod"}},
		Named: map[spec.VPCID]map[string]bool{
			"acme/prod":     {"web1": true, "web2": true, "web3": true},
			"globex/shared": {"dns1": true, "dns2": true},
		},
	}
	got := load(t, "a.yaml", everything)
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoadReportsAllProblemsByFileAndLine(t *testing.T) {
	_, problems := spec.Load(tree("base.yaml", base,
		"b.yaml", group("\n  ingress:\n  - {from: [{group: x}], ports: [tcp/0]}\n  - {from: [{vpc: globex/shared}], action: no}\n"),
		"a/z.yaml", "",
		"a.yaml", "a: [\n",
		"c.yaml", vpc("\n  subnets: [{name: a, cidr: 1.2.3.4/8}]\n  default: no\n")+"---\n- x\n",
	))
	got := lines(problems)
	var at []string
	for _, p := range problems {
		at = append(at, p.At.String())
	}
	want := []string{"a.yaml:1", "a/z.yaml:1", "b.yaml:6", "b.yaml:6", "b.yaml:7", "b.yaml:7", "c.yaml:5", "c.yaml:6", "c.yaml:9"}
	if !slices.Equal(at, want) {
		t.Errorf("Load reports at %v; want %v:\n%s", at, want, got)
	}
	for range 10 {
		_, again := spec.Load(tree("base.yaml", base,
			"b.yaml", group("\n  ingress:\n  - {from: [{group: x}], ports: [tcp/0]}\n  - {from: [{vpc: globex/shared}], action: no}\n"),
			"a/z.yaml", "",
			"a.yaml", "a: [\n",
			"c.yaml", vpc("\n  subnets: [{name: a, cidr: 1.2.3.4/8}]\n  default: no\n")+"---\n- x\n",
		))
		if lines(again) != got {
			t.Fatalf("Load of the same tree says:\n%swant:\n%s", lines(again), got)
		}
	}
}

func TestLoadKeepsTenantsInTheirDirectories(t *testing.T) {
	acmeGroup := group("{}")
	for _, test := range []struct {
		name, path, file string
		want             string // "" for none
	}{
		{"own directory", "tenants/acme/x.yaml", acmeGroup, ""},
		{"below the own directory", "tenants/acme/a/b/x.yaml", acmeGroup, ""},
		{"another's directory", "tenants/globex/x.yaml", acmeGroup,
			`tenants/globex/x.yaml:3: metadata.tenant is "acme" in the directory of "globex"; move the object to tenants/acme/, or write tenant: globex`},
		{"a directory that only begins alike", "tenants/acme2/x.yaml", acmeGroup,
			`tenants/acme2/x.yaml:3: metadata.tenant is "acme" in the directory of "acme2"; move the object to tenants/acme/, or write tenant: acme2`},
		{"outside of tenants", "x.yaml", acmeGroup, ""},
		{"not directly below the root", "a/tenants/globex/x.yaml", acmeGroup, ""},
		{"a Tenant of its own", "tenants/acme/x.yaml", tenant("{}"),
			`tenants/acme/x.yaml:2: kind "Tenant" is the operator's and refused under tenants/; move it to a file outside`},
		{"a Tenant beside the directories", "tenants/x.yaml", tenant("{}"),
			`tenants/x.yaml:2: kind "Tenant" is the operator's and refused under tenants/; move it to a file outside`},
		{"a Gateway", "tenants/acme/x.yaml", strings.Replace(tenant("{}"), "Tenant", "Gateway", 1),
			`tenants/acme/x.yaml:2: kind "Gateway" is the operator's and refused under tenants/; move it to a file outside`},
		{"a Site", "tenants/acme/x.yaml", strings.Replace(tenant("{}"), "Tenant", "Site", 1),
			`tenants/acme/x.yaml:2: kind "Site" is the operator's and refused under tenants/; move it to a file outside`},
		{"a tenant that the path names and nobody else", "tenants/t/x.yaml", vpc("{subnets: [{name: s, cidr: 10.0.0.0/8}]}"),
			`tenants/t/x.yaml:3: metadata.tenant is "acme" in the directory of "t"; move the object to tenants/acme/, or write tenant: t`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := spec.Load(tree("base.yaml", base, test.path, test.file))
			if got := strings.TrimSuffix(lines(problems), "\n"); got != test.want {
				t.Errorf("Load says:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestLoadTakesRegularFilesOnly(t *testing.T) {
	for _, test := range []struct {
		name string
		mode fs.FileMode
		want string // "" for none
	}{
		{"x.yaml", 0, ""},
		{"x.yaml", fs.ModeNamedPipe, "x.yaml:1: \"x.yaml\" is a FIFO; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.yaml", fs.ModeSymlink, "x.yaml:1: \"x.yaml\" is a symbolic link; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.yaml", fs.ModeSocket, "x.yaml:1: \"x.yaml\" is a socket; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.yaml", fs.ModeDevice, "x.yaml:1: \"x.yaml\" is a device; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.yaml", fs.ModeDevice | fs.ModeCharDevice, "x.yaml:1: \"x.yaml\" is a device; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.yaml", fs.ModeDir, "x.yaml:1: \"x.yaml\" is a directory; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"a/x.yaml", fs.ModeNamedPipe, "a/x.yaml:1: \"a/x.yaml\" is a FIFO; put a regular file there, or give it a name that doesn't end in .yaml\n"},
		{"x.fifo", fs.ModeNamedPipe, ""},
		{".x.yaml", fs.ModeNamedPipe, ""},
		{"..data/x.yaml", fs.ModeNamedPipe, ""},
		{"a\nb.yaml", 0, "a\\nb.yaml:1: the name \"a\\nb.yaml\" has characters that are not printable; rename it\n"},
	} {
		t.Run(fmt.Sprint(test.name, " ", test.mode), func(t *testing.T) {
			fsys := tree("base.yaml", base)
			fsys[test.name] = &fstest.MapFile{Data: []byte(tenant("{}")), Mode: test.mode}
			_, problems := spec.Load(fsys)
			if got := lines(problems); got != test.want {
				t.Errorf("Load says:\n%swant:\n%s", got, test.want)
			}
		})
	}
}

func TestLoadIgnoresOtherFiles(t *testing.T) {
	load(t, "base.yaml", base, "README.md", "[", "a/b.yml", "[", ".c.yaml", "[", ".git/d.yaml", "[", "e.yaml~", "[", "f.YAML", "[")
}

func TestLoadOfNothingIsAnEmptyNetwork(t *testing.T) {
	if net := load(t); len(net.Tenants)+len(net.VPCs)+len(net.Groups) != 0 {
		t.Errorf("Load of an empty tree = %+v; want nothing in it", net)
	}
}

func TestLoadReportsEachMistakeOnce(t *testing.T) {
	// What refers to an object that is there but refused is not refused as well.
	_, problems := spec.Load(tree("a.yaml", `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {quota: {sessions: -1}}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.1/24}]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: dev, tenant: acme}
spec: [x]
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {members: {subnets: [web]}, ingress: [{from: [{group: web}], action: no}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: dev}
spec: {members: {subnets: [web]}}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: nobody, vpc: dev}
spec: {members: {subnets: [web]}, ingress: [{from: [{group: web}, {vpc: nobody/dev}]}]}
`))
	want := `a.yaml:4: quota.sessions is "-1"; write a number from 1 to 999999999, or leave it out for no limit
a.yaml:9: cidr is "10.1.0.1/24", which has host bits; write 10.1.0.0/24
a.yaml:14: the spec of a VPC is [x], not a mapping; write it as key: value
a.yaml:19: action is "no"; write allow, deny or reject
a.yaml:28: the tenant "nobody" doesn't exist; add a Tenant of that name outside tenants/
`
	if got := lines(problems); got != want {
		t.Errorf("Load says:\n%swant:\n%s", got, want)
	}
}

func TestLoadReportsAnObjectWithoutSpecOnce(t *testing.T) {
	users := "---\n" + peering("{vpcs: [acme/prod, acme/v]}") + "---\n" + named("SecurityGroup", "acme", "h", "v", "{members: {subnets: [s]}}") +
		"---\n" + named("Service", "acme", "t", "v", "{vip: 10.1.9.9, ports: [], backends: {subnet: s}}") +
		"---\n" + named("Ingress", "acme", "t", "v", "{gateway: g, ports: [{listen: tcp/443}], to: {endpoint: e}}")
	whole := map[string]string{
		"VPC":     named("Gateway", "", "g", "", "{hosts: [edge-1]}"),
		"Gateway": strings.TrimPrefix(peered2("acme/v", "10.1.9.0/24"), "---\n"),
	}
	for _, kind := range []string{"Tenant", "VPC", "SecurityGroup", "Peering", "Link", "Ingress", "Service", "Gateway", "Site", "Assertion"} {
		t.Run(kind, func(t *testing.T) {
			metadata := map[string]string{
				"Tenant": "name: t", "VPC": "name: v, tenant: acme", "Peering": "name: p, tenant: acme",
				"Gateway": "name: g", "Site": "name: s", "Assertion": "name: a, tenant: acme",
			}[kind]
			if metadata == "" {
				metadata = "name: l, tenant: acme, vpc: prod"
			}
			file := "apiVersion: daoli.net/v1\nkind: " + kind + "\nmetadata: {" + metadata + "}\n"
			if whole[kind] != "" {
				file += "---\n" + whole[kind] + users
			}
			_, problems := spec.Load(tree("base.yaml", base, "x.yaml", file))
			want := "x.yaml:1: an object has no \"spec\"; every object has apiVersion, kind, metadata and spec\n"
			if got := lines(problems); got != want {
				t.Errorf("Load says:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestLoadTellsNoStrangersRange(t *testing.T) {
	_, problems := spec.Load(tree("base.yaml", base, "x.yaml", peering("{vpcs: [acme/x, globex/shared]}")+peered2("acme/x", "10.9.0.9/32")))
	want := `x.yaml:3: vpc "acme/x" and vpc "globex/shared" can't be peered, since their ranges overlap: 10.9.0.9/32 of "acme/x"; choose another range for one, or remove the Peering
x.yaml:4: warning: vpc "globex/shared" ` + notTheirs + "\n"
	if got := lines(problems); got != want {
		t.Errorf("Load says:\n%swant:\n%s", got, want)
	}
}

func TestSectionIsIsolating(t *testing.T) {
	for _, test := range []struct {
		section string
		want    bool
	}{
		{"", false},
		{"ingress: []", true},
		{"ingress: [{action: deny}]", false},
		{"ingress: [{action: reject}, {action: deny}]", false},
		{"ingress: [{action: deny}, {}]", true},
		{`ingress: [{until: "2001-01-01T00:00:00Z"}]`, true},
	} {
		net := load(t, "base.yaml", base, "x.yaml", group("{"+test.section+"}"))
		if got := net.Groups["acme/prod"]["g"].Ingress.Isolating(); got != test.want {
			t.Errorf("a section %q is isolating: %t; want %t", test.section, got, test.want)
		}
	}
}

// TestLoadNamesALineThatIsThere has files that end too soon, where yaml.v3 names
// the line after their last.
func TestLoadNamesALineThatIsThere(t *testing.T) {
	for file, line := range map[string]string{
		"[0":                   "x.yaml:1: this is no YAML: ",
		"a: {b":                "x.yaml:1: this is no YAML: ",
		"a:\n  - [b,\n  c\n\n": "x.yaml:2: this is no YAML: ",
		"a:\n  \"b\n":          "x.yaml:2: this is no YAML: ",
	} {
		_, problems := spec.Load(tree("x.yaml", file))
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), line) || strings.Contains(problems[0].Text, `at ""`) {
			t.Errorf("of %q Load says %v; want %s and the line's text", file, problems, line)
		}
	}
}

// TestOperatorsRangesAreThoseAllowedOutsideTenants has one rule, which opens its
// range only as an operator's that allows.
func TestOperatorsRangesAreThoseAllowedOutsideTenants(t *testing.T) {
	const to = "to: [{cidr: 172.31.0.0/16}, {group: web}]"
	for _, test := range []struct {
		file, section string
		want          int
	}{
		{"ops.yaml", "{egress: [{" + to + "}]}", 1},
		{"ops.yaml", "{egress: [{" + to + ", action: deny}]}", 0},
		{"ops.yaml", "{ingress: [{" + strings.Replace(to, "to", "from", 1) + "}]}", 0},
		{"tenants/acme/ops.yaml", "{egress: [{" + to + "}]}", 0},
	} {
		net, problems := spec.Load(tree("base.yaml", base, test.file, group(test.section)))
		if net == nil {
			t.Fatal(lines(problems))
		}
		if len(net.OperatorCIDRs) != test.want {
			t.Errorf("%s with %s: OperatorCIDRs = %v; want %d", test.file, test.section, net.OperatorCIDRs, test.want)
		}
	}
}

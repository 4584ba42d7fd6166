package policy_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

const prodYAML = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata:
  name: prod
  tenant: acme
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]
  egress:
    default: deny
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: db, tenant: acme, vpc: prod}
spec:
  members: {subnets: [db]}
  ingress:
    - {from: [{group: web}], ports: [tcp/5432, icmp], log: true}
    - {from: [{labels: {role: "x"}}], ports: [tcp/1-65535], action: reject}
  egress:
    - {to: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}], ports: [tcp/443, udp/53]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {}
`

// TestDecideOfYAML follows what is written from the file to the decision.
func TestDecideOfYAML(t *testing.T) {
	network, problems := spec.Load(fstest.MapFS{"prod.yaml": &fstest.MapFile{Data: []byte(prodYAML)}})
	if network == nil {
		t.Fatalf("Load: %v", problems)
	}
	p, err := policy.Compile("r1", network, nil)
	if err != nil {
		t.Fatal(err)
	}
	web, db := endpoint("acme/prod/web", "web"), endpoint("acme/prod/db", "db")
	tests := []struct {
		name     string
		src, dst *inventory.Identity
		port     string
		want     want
	}{
		{"a rule", web, db, "tcp/5432", want{policy.Allow, "rule", "acme/prod/db/ingress/0", 22, true}},
		{"every ICMP type", web, db, "icmp/255", want{policy.Allow, "rule", "acme/prod/db/ingress/0", 22, true}},
		{"a reject", endpoint("acme/prod/web", "web", "role=x"), db, "tcp/5432", want{policy.Reject, "rule-deny", "acme/prod/db/ingress/1", 23, false}},
		{"an isolating section", web, db, "udp/1", want{policy.Reject, "ingress-default", "acme/prod/db", 21, false}},
		{"the default that is not written", db, web, "tcp/1", want{policy.Reject, "ingress-default", "acme/prod", 9, false}},
		{"the egress.default", web, outside(p, "8.8.8.8"), "tcp/1", want{policy.Reject, "egress-default", "acme/prod", 14, false}},
		{"out", db, outside(p, "8.8.8.8"), "udp/53", want{policy.Allow, "rule", "acme/prod/db/egress/0", 25, false}},
		{"but for excepts", db, outside(p, "10.8.8.8"), "udp/53", want{policy.Reject, "egress-default", "acme/prod/db", 24, false}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := p.Decide(now, query(test.src, test.dst, test.port))
			if diff := cmp.Diff(test.want, short(d)); diff != "" || d.Rule != "" && d.At.File != "prod.yaml" {
				t.Errorf("Decide in %q (-want +got):\n%s", d.At.File, diff)
			}
		})
	}
}

const sharedYAML = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"], listen: {hosts: ["edge-*"], ports: [tcp/443, tcp/80]}}
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: globex}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}], default: deny}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: shared, tenant: globex}
spec: {subnets: [{name: all, cidr: 10.2.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: lab, tenant: globex}
spec: {subnets: [{name: all, cidr: 10.3.0.0/24}]}
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
kind: Peering
metadata: {name: to-lab, tenant: acme}
spec: {vpcs: [acme/prod, globex/lab]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {}
---
apiVersion: daoli.net/v1
kind: Link
metadata: {name: tie, tenant: acme, vpc: prod}
spec: {action: connect, between: [{endpoint: log1, vpc: globex/shared}, {group: web}]}
---
apiVersion: daoli.net/v1
kind: Link
metadata: {name: cut, tenant: acme, vpc: prod}
spec: {action: disconnect, between: [{endpoint: web2}, {endpoint: log1, vpc: globex/shared}]}
---
apiVersion: daoli.net/v1
kind: Ingress
metadata: {name: shop, tenant: acme, vpc: prod}
spec:
  hosts: ["edge-*"]
  ports: [{listen: tcp/443, target: tcp/8443}]
  to: {endpoint: web1}
  sources: [{cidr: 203.0.113.0/24, except: [203.0.113.7/32]}]
---
apiVersion: daoli.net/v1
kind: Service
metadata: {name: api, tenant: acme, vpc: prod}
spec: {hosts: ["edge-*"], ports: [{listen: tcp/80}], backends: {labels: {role: api}}}
---
apiVersion: daoli.net/v1
kind: Assertion
metadata: {name: few-ports, tenant: acme}
spec: {never: {from: {cidr: 0.0.0.0/0}, to: {vpc: acme/prod}, port: tcp/1-8442}}
`

// TestDecideOfYAMLAcross is TestDecideOfYAML with what joins VPCs and outside.
func TestDecideOfYAMLAcross(t *testing.T) {
	network, problems := spec.Load(fstest.MapFS{"net.yaml": &fstest.MapFile{Data: []byte(sharedYAML)}})
	if network == nil {
		t.Fatalf("Load: %v", problems)
	}
	p, err := policy.Compile("r1", network, nil)
	if err != nil {
		t.Fatal(err)
	}
	web := endpoint("acme/prod/web", "web", "@web2")
	log1, plain := endpoint("globex/shared/all", "@log1"), endpoint("globex/shared/all")
	tests := []struct {
		name     string
		src, dst *inventory.Identity
		port     string
		want     want
	}{
		{"a Peering that both declare", plain, web, "tcp/1", want{policy.Drop, "ingress-default", "acme/prod", 14, false}},
		{"one that one declares", endpoint("globex/lab/all"), web, "tcp/1", want{policy.Drop, "isolation", "acme/to-lab", 38, false}},
		{"a Link that connects", log1, endpoint("acme/prod/web", "web"), "tcp/1", want{policy.Allow, "link", "acme/prod/tie", 48, false}},
		{"a Link that disconnects", log1, web, "tcp/1", want{policy.Drop, "link-deny", "acme/prod/cut", 53, false}},
		{"an Ingress", outside(p, "203.0.113.1"), endpoint("acme/prod/web", "@web1"), "tcp/8443", want{policy.Allow, "open", "acme/prod/shop", 58, false}},
		{"but for excepts", outside(p, "203.0.113.7"), endpoint("acme/prod/web", "@web1"), "tcp/8443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"a Service, target absent", outside(p, "198.51.100.1"), endpoint("acme/prod/web", "role=api"), "tcp/80", want{policy.Allow, "open", "acme/prod/api", 67, false}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, short(p.Decide(now, query(test.src, test.dst, test.port)))); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
		})
	}
	broken := p.CheckAssertions(now, nil)
	const want = `net.yaml:72: assertion acme/few-ports promises that the policy denies outside 1.0.0.0 -> ` +
		`{vpc acme/prod, subnet web, labels role="api"} on tcp/80, but the verdict is allow (open) by acme/prod/api at net.yaml:67; ` +
		`narrow what allows it, or change the assertion`
	if len(broken) != 1 || broken[0].String() != want {
		t.Errorf("CheckAssertions = %v\nwant %s", broken, want)
	}
}

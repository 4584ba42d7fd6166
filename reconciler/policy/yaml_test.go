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

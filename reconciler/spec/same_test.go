package spec_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daolinet/daolinet/reconciler/spec"
)

func TestSameIsWhatIsSaidAndNotWhere(t *testing.T) {
	const text = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec:
  members: {labels: {a: "1"}}
  ingress: [{from: [{cidr: 9.0.0.0/8}], ports: [tcp/80], until: 2030-01-01T00:00:00Z}]
`
	group := func(text string) *spec.SecurityGroup {
		t.Helper()
		n, problems := spec.Load(fstest.MapFS{"net.yaml": {Data: []byte(text)}})
		if n == nil {
			t.Fatal(problems)
		}
		return n.Groups["acme/prod"]["web"]
	}
	for _, tt := range []struct {
		name, from, to string
		want           bool
	}{
		{"nothing", "", "", true},
		{"its place", "apiVersion: daoli.net/v1\nkind: Tenant", "\n\n# a comment\napiVersion: daoli.net/v1\nkind: Tenant", true},
		{"a moment written otherwise", "2030-01-01T00:00:00Z", "2030-01-01T02:00:00+02:00", true},
		{"the moment", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", false},
		{"a port", "tcp/80", "tcp/81", false},
		{"a label", `a: "1"`, `a: "2"`, false},
		{"a prefix", "9.0.0.0/8", "9.0.0.0/9", false},
		{"none for anybody", "from: [{cidr: 9.0.0.0/8}], ", "", false},
		{"the section", "  ingress: [{", "  egress: [{", false},
	} {
		other := strings.Replace(text, tt.from, tt.to, 1)
		if tt.name == "the section" {
			other = strings.Replace(other, "from:", "to:", 1)
		}
		if got := spec.Same(group(text), group(other)); got != tt.want {
			t.Errorf("after a change of %s Same = %v; want %v", tt.name, got, tt.want)
		}
	}
	if spec.Same(group(text), nil) || !spec.Same[*spec.SecurityGroup](nil, nil) {
		t.Error("a group is the same as none, or none differs from none")
	}
}

package spec_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// organisation returns a tree of tenants with 10 groups of 10 rules each.
func organisation(tenants int) (fstest.MapFS, int) {
	fsys, size := fstest.MapFS{}, 0
	add := func(name, data string) {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
		size += len(data)
	}
	for i := range tenants {
		name := fmt.Sprintf("tenant-%d", i)
		add("tenants-"+name+".yaml", fmt.Sprintf(
			"apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: %s}\nspec: {hosts: [\"*\"]}\n", name))
		var b strings.Builder
		fmt.Fprintf(&b, `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: %s}
spec:
  subnets:
    - {name: web, cidr: 10.1.0.0/24}
    - {name: db, cidr: 10.1.1.0/24}
`, name)
		for g := range 10 {
			fmt.Fprintf(&b, `---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: g%d, tenant: %s, vpc: prod}
spec:
  ingress:
`, g, name)
			for r := range 10 {
				fmt.Fprintf(&b, "    - {from: [{group: g%d}, {subnet: web}], ports: [tcp/%d, udp/53], log: true}\n", r, 1000+r)
			}
		}
		add("tenants/"+name+"/prod.yaml", b.String())
	}
	return fsys, size
}

func BenchmarkLoad(b *testing.B) {
	for _, tenants := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("tenants=%d,rules=%d", tenants, 100*tenants), func(b *testing.B) {
			fsys, size := organisation(tenants)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if net, problems := spec.Load(fsys); net == nil {
					b.Fatal(lines(problems))
				}
			}
		})
	}
}

// Package tenants writes a big organisation, for whoever measures what its size
// costs.
package tenants

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Write writes n tenants with 100 rules each into dir, two files a tenant.
func Write(dir string, n int) error {
	for i := range n {
		name := fmt.Sprintf("t%d", i)
		if err := errors.Join(
			write(filepath.Join(dir, "all", name+".yaml"), fmt.Appendf(nil,
				"apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: %s}\nspec: {hosts: [\"*\"]}\n", name)),
			write(own(dir, i), text(name))); err != nil {
			return fmt.Errorf("write tenant %s: %w", name, err)
		}
	}
	return nil
}

// Edit changes a port in each rule of tenant i, and at the next call changes it
// back.
func Edit(dir string, i int) error {
	before, err := os.ReadFile(own(dir, i))
	if err != nil {
		return fmt.Errorf("edit tenant t%d: %w", i, err)
	}
	after := bytes.ReplaceAll(before, []byte("udp/53]"), []byte("udp/54]"))
	if bytes.Equal(after, before) {
		after = bytes.ReplaceAll(before, []byte("udp/54]"), []byte("udp/53]"))
	}
	return write(own(dir, i), after)
}

// own is the file that a tenant may write.
func own(dir string, i int) string {
	return filepath.Join(dir, "tenants", fmt.Sprintf("t%d", i), "prod.yaml")
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func text(tenant string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: prod, tenant: %s}\n"+
		"spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}\n", tenant)
	for g := range 10 {
		fmt.Fprintf(&b, "---\napiVersion: daoli.net/v1\nkind: SecurityGroup\n"+
			"metadata: {name: g%d, tenant: %s, vpc: prod}\nspec:\n  ingress:\n", g, tenant)
		for r := range 10 {
			fmt.Fprintf(&b, "    - {from: [{group: g%d}, {subnet: web}], ports: [tcp/%d, udp/53]}\n", r, 1000+r)
		}
	}
	return []byte(b.String())
}

package controller_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
)

// writeOrganisation writes a tree of tenants with 100 rules each in two files.
func writeOrganisation(b *testing.B, dir string, tenants int) {
	write := func(file string, data []byte) {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range tenants {
		tenant := fmt.Sprintf("t%d", i)
		write("all/"+tenant+".yaml", fmt.Appendf(nil,
			"apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: %s}\nspec: {hosts: [\"*\"]}\n", tenant))
		var text strings.Builder
		fmt.Fprintf(&text, "apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: prod, tenant: %s}\n"+
			"spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}\n", tenant)
		for g := range 10 {
			fmt.Fprintf(&text, "---\napiVersion: daoli.net/v1\nkind: SecurityGroup\n"+
				"metadata: {name: g%d, tenant: %s, vpc: prod}\nspec:\n  ingress:\n", g, tenant)
			for r := range 10 {
				fmt.Fprintf(&text, "    - {from: [{group: g%d}, {subnet: web}], ports: [tcp/%d, udp/53]}\n", r, 1000+r)
			}
		}
		write("tenants/"+tenant+"/prod.yaml", []byte(text.String()))
	}
}

// BenchmarkLoad1000Tenants makes a revision of 100,000 rules that are read
// already: from nothing (target 3 s), and after an edit of one tenant's file
// (target 50 ms). Reading the files is measured by itself.
func BenchmarkLoad1000Tenants(b *testing.B) {
	dir := b.TempDir()
	writeOrganisation(b, dir, 1000)
	read := func() gitsource.Revision {
		r, err := gitsource.ReadDir(dir, "")
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	load := func(l *controller.Loader, r gitsource.Revision) {
		if loaded, errs := l.Load(time.Unix(0, 0), r, nil); loaded == nil {
			b.Fatal(strings.Join(errs, "\n"))
		}
	}
	revisions := []gitsource.Revision{read()}
	file := filepath.Join(dir, "tenants/t500/prod.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte("udp/53"), []byte("udp/54")), 0o644); err != nil {
		b.Fatal(err)
	}
	revisions = append(revisions, read())

	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			read()
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			load(new(controller.Loader), revisions[0])
		}
	})
	b.Run("edit", func(b *testing.B) {
		var l controller.Loader
		load(&l, revisions[0])
		for i := 1; b.Loop(); i++ {
			load(&l, revisions[i%2])
		}
	})
}

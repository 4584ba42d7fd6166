package controller_test

import (
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/testbed/bench/tenants"
)

// BenchmarkLoad1000Tenants makes a revision of 100,000 rules that are read
// already: from nothing (target 3 s), and after an edit of one tenant's file
// (target 50 ms). Reading the files is measured by itself.
func BenchmarkLoad1000Tenants(b *testing.B) {
	dir := b.TempDir()
	if err := tenants.Write(dir, 1000); err != nil {
		b.Fatal(err)
	}
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
	if err := tenants.Edit(dir, 500); err != nil {
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

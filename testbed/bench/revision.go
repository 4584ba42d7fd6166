package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/testbed/bench/tenants"
)

// measureRevision makes a big revision of files that are read already, from
// nothing and after edits of one tenant's, by CPU time.
func measureRevision(ctx context.Context, e *Env) ([]Value, error) {
	dir, err := os.MkdirTemp("", "daoli-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := tenants.Write(dir, e.Effort.Tenants); err != nil {
		return nil, err
	}
	revisions, err := readTwo(dir)
	if err != nil {
		return nil, err
	}
	var wall time.Duration
	load := func(l *controller.Loader, r gitsource.Revision) (float64, error) {
		runtime.GC() // what others left is not this one's
		begin, used := time.Now(), cpuTime()
		loaded, problems := l.Load(begin, r, nil)
		if loaded == nil {
			return 0, errors.New(strings.Join(problems, "\n"))
		}
		wall = time.Since(begin)
		return (cpuTime() - used).Seconds(), ctx.Err()
	}
	var cold, edit, waited []float64
	var last *controller.Loader
	for range max(e.Effort.Rounds*3/5, 1) {
		last = new(controller.Loader)
		s, err := load(last, revisions[0])
		if err != nil {
			return nil, err
		}
		cold, waited = append(cold, s), append(waited, wall.Seconds())
	}
	for i := range e.Effort.Edits {
		s, err := load(last, revisions[(i+1)%2])
		if err != nil {
			return nil, err
		}
		edit = append(edit, s*1000)
	}
	return []Value{
		{Line: "revision-cold", Quantity: Quantity{median(cold), Seconds}, Note: fmt.Sprintf("%d tenants; waited %s", e.Effort.Tenants, Quantity{median(waited), Seconds})},
		{Line: "revision-edit", Quantity: Quantity{median(edit), Milliseconds}, Note: fmt.Sprintf("slowest of %d: %s", len(edit), Quantity{percentile(edit, 1), Milliseconds})},
	}, nil
}

// readTwo reads a tree before and after an edit of one tenant.
func readTwo(dir string) (two [2]gitsource.Revision, err error) {
	for i := range two {
		if two[i], err = gitsource.ReadDir(dir, ""); err != nil {
			return two, err
		}
		if err := tenants.Edit(dir, 0); err != nil {
			return two, err
		}
	}
	return two, nil
}

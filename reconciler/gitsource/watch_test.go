package gitsource_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/gitsource"
)

// patience is how long an update may take before the test gives up.
const patience = 20 * time.Second

// watched is a Watch of a test. Without polling, only events make it read.
type watched struct {
	*testing.T
	updates <-chan gitsource.Update
}

func watch(t *testing.T, specs, policies string) watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	updates, err := gitsource.Watch(ctx, specs, policies,
		gitsource.Options{Quiet: 5 * time.Millisecond, Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range updates { // until it is closed
		}
	})
	return watched{t, updates}
}

func (w watched) next() gitsource.Update {
	w.Helper()
	select {
	case u, ok := <-w.updates:
		if !ok {
			w.Fatal("the channel is closed")
		}
		return u
	case <-time.After(patience):
		w.Fatal("no update")
		panic("unreachable")
	}
}

// awaits receives until the specs are want, and returns that revision.
func (w watched) awaits(want map[string]string) gitsource.Revision {
	w.Helper()
	for {
		u := w.next()
		if u.Err != nil {
			w.Logf("on the way: %v", u.Err)
			continue
		}
		diff := cmp.Diff(want, content(w.T, u.Revision.Specs))
		if diff == "" {
			return u.Revision
		}
		w.Logf("on the way (-want +got):\n%s", diff)
	}
}

func (w watched) awaitsError() {
	w.Helper()
	for w.next().Err == nil {
	}
}

func TestWatchSeesEachKindOfChange(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, dir, map[string]string{"a.yaml": "1"})
	w := watch(t, dir, "")
	w.awaits(map[string]string{"a.yaml": "1"})

	write(t, dir, map[string]string{"a.yaml": "2"})
	w.awaits(map[string]string{"a.yaml": "2"})

	replace(t, a, "3")
	w.awaits(map[string]string{"a.yaml": "3"})
	replace(t, a, "4") // the watch survived the first replacement
	w.awaits(map[string]string{"a.yaml": "4"})

	write(t, dir, map[string]string{"new/below/b.yaml": "b"})
	w.awaits(map[string]string{"a.yaml": "4", "new/below/b.yaml": "b"})
	write(t, dir, map[string]string{"new/below/b.yaml": "c"})
	w.awaits(map[string]string{"a.yaml": "4", "new/below/b.yaml": "c"})

	must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "moved")))
	w.awaits(map[string]string{"a.yaml": "4", "moved/below/b.yaml": "c"})
	write(t, dir, map[string]string{"moved/below/b.yaml": "d"})
	w.awaits(map[string]string{"a.yaml": "4", "moved/below/b.yaml": "d"})

	must(t, os.Remove(a))
	w.awaits(map[string]string{"moved/below/b.yaml": "d"})
	must(t, os.RemoveAll(filepath.Join(dir, "moved")))
	w.awaits(map[string]string{})
}

func TestWatchEndsWithTheFinishedFile(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, dir, "")
	w.awaits(map[string]string{})
	f, err := os.Create(filepath.Join(dir, "a.yaml"))
	must(t, err)
	_, err = f.WriteString("half")
	must(t, err)
	w.awaits(map[string]string{"a.yaml": "half"})
	_, err = f.WriteString(" and half")
	must(t, err)
	must(t, f.Close())
	w.awaits(map[string]string{"a.yaml": "half and half"})
}

func TestWatchSaysNothingOfTheSameContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "1"})
	w := watch(t, dir, "")
	before := w.awaits(map[string]string{"a.yaml": "1"})
	for range 3 {
		replace(t, filepath.Join(dir, "a.yaml"), "1")
	}
	write(t, dir, map[string]string{"README": "not read", ".a.yaml.swp": "not read"})
	replace(t, filepath.Join(dir, "b.yaml"), "2")
	u := w.next()
	if u.Err != nil || u.Revision.ID == before.ID {
		t.Fatalf("an update of the same content: %v, %v", u.Revision.ID, u.Err)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "b.yaml": "2"}, content(t, u.Revision.Specs)); diff != "" {
		t.Errorf("the next update (-want +got):\n%s", diff)
	}
}

func TestWatchSurvivesTheRoot(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "deep", "specs")
	w := watch(t, dir, "")
	w.awaitsError()
	write(t, dir, map[string]string{"a.yaml": "1"})
	w.awaits(map[string]string{"a.yaml": "1"})

	must(t, os.RemoveAll(dir))
	w.awaitsError()
	write(t, dir, map[string]string{"a.yaml": "1"})
	w.awaits(map[string]string{"a.yaml": "1"}) // sent again, since an error was between

	must(t, os.Rename(filepath.Join(parent, "deep"), filepath.Join(parent, "old")))
	write(t, dir, map[string]string{"a.yaml": "2"})
	must(t, os.RemoveAll(filepath.Join(parent, "old")))
	w.awaits(map[string]string{"a.yaml": "2"})
}

func TestWatchSeesLinksSwapped(t *testing.T) {
	for _, test := range []struct{ name, link, root, file string }{
		{"the data link of Kubernetes", "..data", ".", "a.yaml"},
		{"the root itself", "current", "current", "a.yaml"},
		{"a link on the way to the root", "current", "current/specs", "specs/a.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			swap := func(target string) {
				t.Helper()
				must(t, os.Symlink(target, filepath.Join(dir, ".new")))
				must(t, os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, test.link)))
			}
			write(t, dir, map[string]string{"..v1/" + test.file: "1", "..v2/" + test.file: "2"})
			swap("..v1")
			w := watch(t, filepath.Join(dir, test.root), "")
			w.awaits(map[string]string{"a.yaml": "1"})
			swap("..v2")
			w.awaits(map[string]string{"a.yaml": "2"})
			write(t, dir, map[string]string{"..v2/" + test.file: "3"})
			w.awaits(map[string]string{"a.yaml": "3"})
		})
	}
}

func TestWatchIsNotBlockedByAFIFO(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "1"})
	w := watch(t, dir, "")
	w.awaits(map[string]string{"a.yaml": "1"})
	must(t, syscall.Mkfifo(filepath.Join(dir, "b.yaml"), 0o644))
	w.awaits(map[string]string{"a.yaml": "1", "b.yaml": "p---------"})
	write(t, dir, map[string]string{"a.yaml": "2"})
	w.awaits(map[string]string{"a.yaml": "2", "b.yaml": "p---------"})
}

func TestWatchSeesPolicies(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"specs/a.yaml": "a", "policies/system/x.rego": "1"})
	w := watch(t, filepath.Join(dir, "specs"), filepath.Join(dir, "policies"))
	w.awaits(map[string]string{"a.yaml": "a"})
	write(t, dir, map[string]string{"policies/system/x.rego": "2"})
	r := w.awaits(map[string]string{"a.yaml": "a"})
	if diff := cmp.Diff(map[string]string{"system/x.rego": "2"}, content(t, r.Policies)); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "policies")))
	w.awaitsError() // never the embedded ones instead
}

func TestWatchPollsWhatGivesNoEvents(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"v1/a.yaml": "1"})
	far := t.TempDir()
	must(t, os.Symlink(filepath.Join(dir, "v1"), filepath.Join(far, "specs")))
	ctx, cancel := context.WithCancel(t.Context())
	updates, err := gitsource.Watch(ctx, filepath.Join(far, "specs"), "",
		gitsource.Options{Quiet: time.Millisecond, Poll: 10 * time.Millisecond})
	must(t, err)
	w := watched{t, updates}
	w.awaits(map[string]string{"a.yaml": "1"})
	// The parent of the link's target is not watched.
	write(t, dir, map[string]string{"v2/a.yaml": "2"})
	must(t, os.Rename(filepath.Join(dir, "v1"), filepath.Join(dir, "v0")))
	must(t, os.Rename(filepath.Join(dir, "v2"), filepath.Join(dir, "v1")))
	w.awaits(map[string]string{"a.yaml": "2"})
	cancel()
	for range updates {
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	updates, err := gitsource.Watch(ctx, t.TempDir(), "", gitsource.Options{})
	must(t, err)
	cancel()
	for range updates { // the first may have been on its way
	}
}

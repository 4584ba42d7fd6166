package gitsource

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// offered returns what there is to send after an offer, by ID or error.
func offered(w *watcher, u Update) string {
	w.offer(u)
	switch {
	case w.pending == nil:
		return "nothing"
	case w.pending.Err != nil:
		return w.pending.Err.Error()
	}
	return w.pending.Revision.ID
}

func revision(content string) Update {
	fsys := newMemFS([]*memFile{{path: "a.yaml", data: []byte(content)}})
	return Update{Revision: newRevision(fsys, nil, time.Time{})}
}

func TestOfferSendsOnlyWhatIsNews(t *testing.T) {
	a, b := revision("a"), revision("b")
	gone, locked := Update{Err: errors.New("gone")}, Update{Err: errors.New("locked")}
	for _, test := range []struct {
		name   string
		before Update // received
		offer  Update
		want   string
	}{
		{"the same content", a, a, "nothing"},
		{"another content", a, b, b.Revision.ID},
		{"an error after a revision", a, gone, "gone"},
		{"the same error", gone, gone, "nothing"},
		{"another error", gone, locked, "locked"},
		{"a revision after an error", gone, a, a.Revision.ID},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &watcher{}
			w.offer(test.before)
			w.received()
			if got := offered(w, test.offer); got != test.want {
				t.Errorf("to send: %s; want %s", got, test.want)
			}
		})
	}
}

func TestOfferReplacesWhatWasNotReceived(t *testing.T) {
	w := &watcher{}
	a, b := revision("a"), revision("b")
	if got := offered(w, a); got != a.Revision.ID {
		t.Fatalf("first to send: %s; want %s", got, a.Revision.ID)
	}
	if got := offered(w, b); got != b.Revision.ID {
		t.Errorf("then to send: %s; want %s", got, b.Revision.ID)
	}
	w.received()
	offered(w, a)
	if got := offered(w, b); got != "nothing" {
		t.Errorf("back at what was received, to send: %s; want nothing", got)
	}
}

func TestTouchIsNeverLaterThanLatest(t *testing.T) {
	w := &watcher{opts: Options{}.withDefaults()}
	start := time.Unix(1000, 0)
	for _, test := range []struct{ after, want time.Duration }{
		{0, 100 * time.Millisecond},
		{50 * time.Millisecond, 100 * time.Millisecond},
		{900 * time.Millisecond, 100 * time.Millisecond},
		{950 * time.Millisecond, 50 * time.Millisecond},
		{1200 * time.Millisecond, 0},
	} {
		if got := w.touch(start.Add(test.after)); got != test.want {
			t.Errorf("touch %s after the first change = %s; want %s", test.after, got, test.want)
		}
	}
}

func TestReadRefusesFilesThatKeepChanging(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.MkdirAll(filepath.Join(dir, "z"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		changes int // how often the file changes while the tree is read
		ok      bool
	}{{"once", 1, true}, {"whenever it is read", attempts, false}} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			left := test.changes
			r, err := source{specs: dir}.read(func(d string) {
				if filepath.Base(d) == "z" && left > 0 { // a.yaml is looked at before
					left--
					f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					if _, err := f.WriteString("x"); err != nil {
						t.Fatal(err)
					}
				}
			})
			if test.ok != (err == nil) {
				t.Fatalf("read = %v; want success: %t", err, test.ok)
			}
			if !test.ok && (!errors.Is(err, errUnsettled) || !strings.Contains(err.Error(), dir)) {
				t.Errorf("read = %v; want that the files of %s change", err, dir)
			}
			if test.ok && len(r.stamps) != 1 {
				t.Errorf("read %d files; want 1", len(r.stamps))
			}
		})
	}
}

func TestReadFileDoesNotOpenWhatTookItsPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	for _, f := range []string{file, file + ".other"} {
		if err := os.WriteFile(f, []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stamps, err := stampsOf(dir, specsSuffix)
	if err != nil || len(stamps) != 1 {
		t.Fatalf("stampsOf = %v, %v; want one", stamps, err)
	}
	if err := os.Rename(file+".other", file); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := readFile(root, stamps[0]); !errors.Is(err, errUnsettled) {
		t.Errorf("readFile of a replaced file = %v; want %v", err, errUnsettled)
	}
}

package revisions_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/revisions"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func revision(id, text string) gitsource.Revision {
	return gitsource.Restore(id, &gitrepo.Commit{Hash: id, Author: "Ada"},
		gitsource.Files{"a.yaml": []byte(text), "dir/b.yaml": []byte("the same")},
		gitsource.Files{"system/x.rego": []byte("x")}, start)
}

func open(t *testing.T, dir string, keep int) *revisions.Store {
	t.Helper()
	s, err := revisions.Open(dir, keep)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func files(t *testing.T, r gitsource.Revision) [2]gitsource.Files {
	t.Helper()
	var out [2]gitsource.Files
	var err error
	if out[0], err = gitsource.FilesOf(r.Specs); err != nil {
		t.Fatal(err)
	}
	if r.Policies != nil {
		if out[1], err = gitsource.FilesOf(r.Policies); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func blobs(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWhatIsSavedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	want := revision("one", "1")
	if err := open(t, dir, 3).Save(want, start); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, 3)
	for name, load := range map[string]func() (gitsource.Revision, error){
		"by id": func() (gitsource.Revision, error) { return s.Load("one") }, "latest": s.Latest,
	} {
		got, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !got.Same(&want) || got.ID != "one" || got.Commit.Author != "Ada" {
			t.Errorf("%s: %s by %+v is another", name, got.ID, got.Commit)
		}
		if diff := cmp.Diff(files(t, want), files(t, got)); diff != "" {
			t.Errorf("%s: files (-want +got):\n%s", name, diff)
		}
	}
	if _, err := s.Load("two"); !errors.Is(err, revisions.ErrUnknown) {
		t.Errorf("Load of another = %v; want ErrUnknown", err)
	}
}

func TestEmbeddedPoliciesAreRememberedAsThat(t *testing.T) {
	dir := t.TempDir()
	r := gitsource.Restore("one", nil, gitsource.Files{"a.yaml": nil}, nil, start)
	if err := open(t, dir, 3).Save(r, start); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir, 3).Latest()
	if err != nil || got.Policies != nil || got.Commit != nil {
		t.Errorf("Latest = policies %v, commit %v, %v; want none", got.Policies, got.Commit, err)
	}
}

func TestOnlyTheLastAreKeptWithTheirFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 2)
	for i := range 5 {
		if err := s.Save(revision(fmt.Sprint(i), fmt.Sprint("text ", i)), start); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Save(revision("4", "text 4"), start.Add(time.Hour)); err != nil { // the last again
		t.Fatal(err)
	}
	var ids []string
	for _, r := range s.Records() {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{"3", "4"}, ids); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if n := blobs(t, dir); n != 4 { // two of a.yaml, b.yaml, x.rego
		t.Errorf("%d contents are kept; want 4", n)
	}
	if _, err := s.Load("3"); err != nil {
		t.Errorf("Load of what is kept: %v", err)
	}
}

func TestDamagedRevisionIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 3)
	for i := range 2 {
		if err := s.Save(revision(fmt.Sprint(i), fmt.Sprint("text ", i)), start); err != nil {
			t.Fatal(err)
		}
	}
	hash := s.Records()[1].Specs["a.yaml"]
	if err := os.WriteFile(filepath.Join(dir, "blobs", hash), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir, 3).Latest()
	if err != nil || got.ID != "0" {
		t.Errorf("Latest = %q, %v; want the one before", got.ID, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := revisions.Open(dir, 3); err == nil {
		t.Error("Open of a damaged index succeeds")
	}
}

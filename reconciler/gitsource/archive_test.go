package gitsource

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// entry is one of an archive; without content it is a symbolic link, and a name that
// ends in / is a directory.
type entry struct{ name, content string }

const describedCommit = `{"hash": "0123456789abcdef0123456789abcdef01234567"}`

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.content))}
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.content == "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, "elsewhere"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asked() *gitrepo.Request { return &gitrepo.Request{Specs: "specs", Policies: "policies"} }

// What the process that fetches says is not trusted: it has read a stranger's bytes.
func TestArchiveHoldsOnlyWhatWasAskedFor(t *testing.T) {
	commit := entry{gitrepo.CommitEntry, describedCommit}
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string // part of the error; "": none
	}{
		{"specs", []entry{commit, {"specs/", ""}, {"specs/a.yaml", "a"}}, ""},
		{"both", []entry{commit, {"specs/", ""}, {"policies/", ""}, {"policies/x/y.rego", "r"}}, ""},
		{"nothing", nil, "read what was fetched"},
		{"no commit", []entry{{"specs/a.yaml", "a"}}, "describes no commit"},
		{"a commit without hash", []entry{{gitrepo.CommitEntry, "{}"}}, "describes no commit"},
		{"unchanged though nothing is known", []entry{{gitrepo.UnchangedEntry, "{}"}}, "describes no commit"},
		{"a file beside", []entry{commit, {"etc/passwd", "x"}}, "no file that was asked for"},
		{"a file above", []entry{commit, {"specs/../../x.yaml", "x"}}, "no file that was asked for"},
		{"another suffix", []entry{commit, {"specs/a.rego", "x"}}, "no file that was asked for"},
		{"twice", []entry{commit, {"specs/a.yaml", "x"}, {"specs/a.yaml", "y"}}, "twice"},
		{"a long policy", []entry{commit, {"policies/", ""}, {"policies/a.rego", strings.Repeat("x", spec.MaxFileBytes+1)}}, "bytes a file"},
	} {
		r, err := readArchive(bytes.NewReader(archive(t, tt.entries...)), asked())
		switch {
		case tt.want == "" && (err != nil || r.ID != "0123456789ab"):
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(archive(f, entry{gitrepo.CommitEntry, describedCommit}, entry{"specs/", ""}, entry{"specs/a.yaml", "a"}, entry{"specs/l.yaml", ""}))
	f.Add(archive(f, entry{gitrepo.UnchangedEntry, "{}"}))
	f.Add([]byte(strings.Repeat("x", 1024)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readArchive(bytes.NewReader(b), asked())
		if err != nil {
			return
		}
		if len(r.ID) != idDigits || r.Commit == nil {
			t.Errorf("a revision without a commit: %+v", r)
		}
		spec.Load(r.Specs) // an fs.FS that any reader may walk
	})
}

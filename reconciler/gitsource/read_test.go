package gitsource_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/spec"
)

func TestReadDirTakesYAMLAndRegoAtAnyDepth(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"specs/a.yaml":                 "a",
		"specs/tenants/acme/b.yaml":    "b",
		"specs/README.md":              "not read",
		"specs/.hidden.yaml":           "not read",
		"specs/.git/c.yaml":            "not read",
		"specs/policy.rego":            "not read",
		"policies/system/x.rego":       "x",
		"policies/system/data.json":    "not read",
		"policies/tenants/acme/y.rego": "y",
	})
	r, err := gitsource.ReadDir(filepath.Join(dir, "specs"), filepath.Join(dir, "policies"))
	must(t, err)
	if diff := cmp.Diff(map[string]string{"a.yaml": "a", "tenants/acme/b.yaml": "b"}, content(t, r.Specs)); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"system/x.rego": "x", "tenants/acme/y.rego": "y"}, content(t, r.Policies)); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if err := fstest.TestFS(r.Specs, "a.yaml", "tenants/acme/b.yaml"); err != nil {
		t.Error(err)
	}
	if r.Read.IsZero() {
		t.Error("Read is zero")
	}
}

func TestReadDirWithoutPolicies(t *testing.T) {
	r, err := gitsource.ReadDir(t.TempDir(), "")
	must(t, err)
	if r.Policies != nil {
		t.Errorf("Policies = %v; want nil", r.Policies)
	}
}

func TestReadDirRefusesWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"file": ""})
	for _, test := range []struct{ name, specs, policies string }{
		{"no specs", filepath.Join(dir, "none"), ""},
		{"specs are a file", filepath.Join(dir, "file"), ""},
		{"no policies", dir, filepath.Join(dir, "none")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := gitsource.ReadDir(test.specs, test.policies); err == nil {
				t.Error("ReadDir succeeds; want an error")
			}
		})
	}
}

func TestReadDirKeepsWhatIsNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"real/in.yaml": "in", "dir.yaml/below.yaml": "not entered"})
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o644))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link.yaml")))
	must(t, os.Symlink("real", filepath.Join(dir, "alias"))) // not followed
	r, err := gitsource.ReadDir(dir, "")
	must(t, err)
	want := map[string]string{"real/in.yaml": "in", "fifo.yaml": "p---------", "link.yaml": "L---------", "dir.yaml": "d---------"}
	if diff := cmp.Diff(want, content(t, r.Specs)); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
	_, problems := spec.Load(r.Specs)
	if len(problems) != 4 { // and in.yaml is no object
		t.Errorf("Load of it = %v; want 4 problems", problems)
	}
}

func TestReadDirFollowsTheDataLinkOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"..v1/a.yaml": "a", "beside.yaml": "not in the data directory"})
	must(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")))
	r, err := gitsource.ReadDir(dir, "")
	must(t, err)
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, content(t, r.Specs)); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
	for _, target := range []string{"/etc", "..", "../elsewhere", "..v1/a.yaml", "gone"} {
		must(t, os.Remove(filepath.Join(dir, "..data")))
		must(t, os.Symlink(target, filepath.Join(dir, "..data")))
		if _, err := gitsource.ReadDir(dir, ""); err == nil {
			t.Errorf("ReadDir with ..data -> %s succeeds; want an error", target)
		}
	}
}

func TestReadDirThroughALinkToTheRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"v1/a.yaml": "a"})
	must(t, os.Symlink("v1", filepath.Join(dir, "current")))
	r, err := gitsource.ReadDir(filepath.Join(dir, "current"), "")
	must(t, err)
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, content(t, r.Specs)); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
}

func TestIDDependsOnContentAlone(t *testing.T) {
	id := func(files map[string]string) string {
		dir := t.TempDir()
		write(t, dir, map[string]string{"specs/README": "", "policies/README": ""})
		write(t, dir, files)
		r, err := gitsource.ReadDir(filepath.Join(dir, "specs"), filepath.Join(dir, "policies"))
		must(t, err)
		return r.ID
	}
	base := map[string]string{"specs/a.yaml": "x", "specs/b.yaml": "y", "policies/p.rego": "p"}
	want := id(base)
	if !strings.HasPrefix(want, "sha256:") || len(want) != len("sha256:")+12 {
		t.Errorf("ID = %q; want sha256: and 12 hex digits", want)
	}
	if got := id(base); got != want {
		t.Errorf("ID of the same content = %s; want %s", got, want)
	}
	for name, files := range map[string]map[string]string{
		"another content":    {"specs/a.yaml": "z", "specs/b.yaml": "y", "policies/p.rego": "p"},
		"another path":       {"specs/c.yaml": "x", "specs/b.yaml": "y", "policies/p.rego": "p"},
		"contents swapped":   {"specs/a.yaml": "y", "specs/b.yaml": "x", "policies/p.rego": "p"},
		"a border moved":     {"specs/a.yaml": "xy", "specs/b.yaml": "", "policies/p.rego": "p"},
		"another policy":     {"specs/a.yaml": "x", "specs/b.yaml": "y", "policies/p.rego": "q"},
		"an empty file more": {"specs/a.yaml": "x", "specs/b.yaml": "y", "specs/c.yaml": "", "policies/p.rego": "p"},
	} {
		if got := id(files); got == want {
			t.Errorf("%s: the ID is the same", name)
		}
	}
}

func TestReadDirBeyondTheLimitsIsRefusedByLoad(t *testing.T) {
	big := strings.Repeat("\x00", spec.MaxFileBytes) // and soon refused
	for _, test := range []struct {
		name  string
		write func(t *testing.T, dir string)
		want  string
	}{
		{"files", func(t *testing.T, dir string) {
			for i := range spec.MaxFiles + 20 {
				must(t, os.WriteFile(filepath.Join(dir, number(i)+".yaml"), nil, 0o644))
			}
		}, "more than 10000 files"},
		{"bytes a file", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"a.yaml": big + "\x00"})
		}, "larger than 1048576 bytes"},
		{"bytes in all", func(t *testing.T, dir string) {
			for i := range 70 {
				write(t, dir, map[string]string{number(i) + ".yaml": big})
			}
		}, "more than 67108864 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.write(t, dir)
			r, err := gitsource.ReadDir(dir, "")
			must(t, err)
			_, problems := spec.Load(r.Specs)
			for _, p := range problems {
				if strings.Contains(p.Text, test.want) {
					return
				}
			}
			t.Errorf("Load says %d things, none %q", len(problems), test.want)
		})
	}
}

func TestReadDirRefusesPoliciesBeyondTheLimits(t *testing.T) {
	for _, test := range []struct {
		size int
		ok   bool
	}{{spec.MaxFileBytes, true}, {spec.MaxFileBytes + 1, false}} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"a.rego": strings.Repeat("#", test.size)})
		if _, err := gitsource.ReadDir(t.TempDir(), dir); (err == nil) != test.ok {
			t.Errorf("ReadDir with a policy of %d bytes = %v; want success: %t", test.size, err, test.ok)
		}
	}
}

func number(i int) string {
	const digits = "0123456789"
	b := make([]byte, 5)
	for k := len(b) - 1; k >= 0; k-- {
		b[k] = digits[i%10]
		i /= 10
	}
	return string(b)
}

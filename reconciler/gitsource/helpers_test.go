package gitsource_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// write puts files into dir, with the directories they need.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// replace writes a file as an editor does: beside it, then renamed.
func replace(t *testing.T, file, data string) {
	t.Helper()
	must(t, os.WriteFile(file+"~", []byte(data), 0o644))
	must(t, os.Rename(file+"~", file))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content returns the regular files of fsys, and of others what they are.
func content(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (name == "." || filepath.Ext(name) == "") {
			return err
		}
		if !d.Type().IsRegular() {
			if _, err := fs.ReadFile(fsys, name); err == nil {
				t.Errorf("ReadFile(%q) of a %s succeeds", name, d.Type())
			}
			files[name] = d.Type().String()
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		files[name] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

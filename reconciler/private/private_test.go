package private_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/daolinet/daolinet/reconciler/private"
)

func TestFileIsReplacedWholeAndIsItsOwners(t *testing.T) {
	for name, write := range map[string]func(string, []byte) error{"synced": private.WriteFile, "unsynced": private.WriteFileUnsynced} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, []byte("a longer text that was there"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := write(path, []byte("new")); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || string(b) != "new" {
				t.Errorf("content = %q, %v", b, err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
			}
			if err := write(filepath.Join(dir, "none", "f"), nil); err == nil {
				t.Error("a file in no directory was written")
			}
			// A directory in the file's place can't be replaced: nothing is left beside it.
			if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := write(filepath.Join(dir, "d"), nil); err == nil {
				t.Error("a directory was replaced")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
				t.Errorf("the directory holds %v, %v; want f and d", left, err)
			}
		})
	}
}

func TestSocketIsItsOwnersAndTakesTheOldOnesPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "s")
	for _, text := range []string{"old", "new"} {
		l, err := private.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, text)
				c.Close()
			}
		}()
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if said, err := io.ReadAll(c); err != nil || string(said) != "new" {
		t.Errorf("the socket answers %q, %v; want the new one", said, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the socket there is %v, %v", left, err)
	}
}

package api_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/api"
)

func TestListenKeepsOthersOut(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "daoli", "s.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode = %v, %v; want a socket of mode 0600", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("beside the socket lie %v; want nothing", entries)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close, Lstat = %v; want the socket gone", err)
	}
}

func TestListenReplacesOnlyADeadSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()

	l, err := api.Listen(path)
	if err != nil {
		t.Fatalf("Listen over a dead socket = %v", err)
	}
	defer l.Close()
	if _, err := api.Listen(path); err == nil || !strings.Contains(err.Error(), "another controller") {
		t.Errorf("Listen over a live socket = %v; want it refused", err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{"a file in its place", file, "no socket"},
		{"a path too long for a socket", filepath.Join(dir, strings.Repeat("x", 120)), "at most 107"},
		{"a file in place of its directory", filepath.Join(file, "s.sock"), "directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := api.Listen(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Listen = %v; want an error with %q", err, tt.want)
			}
		})
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Error("Listen destroyed a file")
	}
}

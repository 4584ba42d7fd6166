package main

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/daolinet/daolinet/reconciler/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTranscripts runs each testdata/*.txtar: its comment holds one command
// line, its files what the program prints and its exit code.
func TestTranscripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("find transcripts: %v, %v", scripts, err)
	}
	socket := serve(t)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(script)
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"DAOLI_SOCKET": socket}
			got := transcript(t, archive.Comment, env)
			if *update {
				if err := os.WriteFile(script, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", script, diff)
			}
		})
	}
}

// transcript runs the commands of a comment. A line is NAME=VALUE..., then the
// arguments; TERMINAL=1 stands for a terminal. Lines with # explain.
func transcript(t *testing.T, comment []byte, env map[string]string) []byte {
	t.Helper()
	archive := txtar.Archive{Comment: comment}
	for line := range strings.Lines(string(comment)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		vars := maps.Clone(env)
		for words[0] != "daolictl" {
			name, value, _ := strings.Cut(words[0], "=")
			vars[name] = value
			words = words[1:]
		}
		stdout, stderr, code := runWith(t, vars, words[1:]...)
		add := func(name, text string) {
			text = strings.ReplaceAll(text, env["DAOLI_SOCKET"], "SOCKET")
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
		}
		add(strings.TrimSpace(line), "exit "+strconv.Itoa(code)+"\n"+stdout)
		if stderr != "" {
			add("stderr", stderr)
		}
	}
	return txtar.Format(&archive)
}

func runWith(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, system{
		out: &out, err: &errs,
		env:      func(name string) string { return env[name] },
		now:      func() time.Time { return noon },
		coloured: env["TERMINAL"] != "",
	})
	return strings.ReplaceAll(out.String(), "\x1b", "ESC"), errs.String(), code
}

// serve runs the API on a socket until the test ends.
func serve(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // t.TempDir's name can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s.sock")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- api.Serve(ctx, l, cluster{}, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return socket
}

func TestUnreachableSocketSaysTheWayOut(t *testing.T) {
	_, stderr, code := runWith(t, nil, "status", "--socket", "/nonexistent/s.sock")
	if code != exitUnreachable || !strings.Contains(stderr, "/nonexistent/s.sock") || !strings.Contains(stderr, "DAOLI_SOCKET") {
		t.Errorf("status without a controller = exit %d, %q; want exit %d, the socket and the way out", code, stderr, exitUnreachable)
	}
}

func TestSpanAndSize(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:            "0s",
		0:                       "0s",
		1540 * time.Millisecond: "1.5s",
		42 * time.Second:        "42s",
		130 * time.Second:       "2m10s",
		3*time.Hour + 12*time.Minute + time.Second: "3h12m",
		76 * time.Hour: "3d4h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q; want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 KB", 12_345: "12 KB", 999_700: "1.0 MB", 1 << 63: "9.2 EB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q; want %q", n, got, want)
		}
	}
}

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is the time at which the transcripts run.
var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

const program = "daoli-reconcile"

// TestTranscripts runs each testdata/*.txtar. Its comment has one command a
// line; of its files those named as a command, or stderr, are what that prints
// and its exit code, and all others are the directory in which it runs.
func TestTranscripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("find transcripts: %v, %v", scripts, err)
	}
	for i, script := range scripts {
		if scripts[i], err = filepath.Abs(script); err != nil {
			t.Fatal(err)
		}
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(script)
			if err != nil {
				t.Fatal(err)
			}
			got := transcript(t, archive)
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

// transcript runs the commands of an archive, and returns it as it should be. A
// line is NAME=VALUE..., then the arguments; TERMINAL=1 stands for a terminal.
// Lines with # explain.
func transcript(t *testing.T, archive *txtar.Archive) []byte {
	t.Helper()
	t.Chdir(t.TempDir())
	out := txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if f.Name == "stderr" || strings.Contains(f.Name, program) {
			continue
		}
		out.Files = append(out.Files, f)
		write(t, f.Name, f.Data)
	}
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		env := make(map[string]string)
		for words[0] != program {
			name, value, _ := strings.Cut(words[0], "=")
			env[name] = value
			words = words[1:]
		}
		stdout, stderr, code := runWith(t, env, words[1:]...)
		out.Files = append(out.Files, txtar.File{Name: strings.TrimSpace(line), Data: []byte("exit " + strconv.Itoa(code) + "\n" + stdout)})
		if stderr != "" {
			out.Files = append(out.Files, txtar.File{Name: "stderr", Data: []byte(stderr)})
		}
	}
	return txtar.Format(&out)
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func runWith(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, system{
		out: &out, err: &errs,
		env:      func(name string) (string, bool) { v, found := env[name]; return v, found },
		now:      func() time.Time { return noon },
		coloured: env["TERMINAL"] != "",
	})
	return strings.ReplaceAll(out.String(), "\x1b", "ESC"), errs.String(), code
}

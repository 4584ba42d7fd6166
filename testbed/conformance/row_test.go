package conformance_test

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// sampleName is the file that isn't of the tree.
const sampleName = "endpoints.yaml"

// row is one case, before or after its twin's replacement.
type row struct {
	name  string
	own   map[string]string // files of its own by path
	base  map[string]string
	now   string
	facts []string
}

// pair is a row and its twin.
type pair struct{ row, twin row }

// readRows returns the rows of an archive, in its order.
func readRows(t *testing.T, file string) []pair {
	t.Helper()
	base := map[string]string{}
	for _, f := range readArchive(t, "testdata/base.txtar") {
		base[f.Name] = string(f.Data)
	}
	var rows []pair
	for _, f := range readArchive(t, file) {
		name, path, found := strings.Cut(f.Name, "/")
		if !found {
			t.Fatalf("%s: the file %q belongs to no row", file, f.Name)
		}
		if len(rows) == 0 || rows[len(rows)-1].row.name != name {
			rows = append(rows, pair{row: row{name: name, own: map[string]string{}, base: base}})
		}
		last := &rows[len(rows)-1]
		switch path {
		case "want":
			last.row.read(string(f.Data))
		case "twin":
			last.twin = last.row.replaced(t, string(f.Data))
		default:
			last.row.own[path] = string(f.Data)
		}
	}
	return rows
}

func readArchive(t *testing.T, file string) []txtar.File {
	t.Helper()
	a, err := txtar.ParseFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	return a.Files
}

// read takes the facts of a want.
func (r *row) read(text string) {
	r.facts, r.now = nil, "2026-01-01T00:00:00Z"
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if at, found := strings.CutPrefix(line, "at "); found {
			r.now = at
		} else if line != "" {
			r.facts = append(r.facts, line)
		}
	}
}

// replaced returns the twin that text describes.
func (r *row) replaced(t *testing.T, text string) row {
	t.Helper()
	change, facts, _ := strings.Cut(text, "\n")
	before, after, found := strings.Cut(change+" ", " => ")
	if before, after = strings.TrimSpace(before), strings.TrimSpace(after); !found || before == "" || before == after {
		t.Fatalf("%s: the twin begins with %q; want OLD => NEW", r.name, change)
	}
	twin := row{name: r.name, own: map[string]string{}, base: map[string]string{}}
	twin.read(facts)
	count := 0
	replace := func(s string) string {
		count += strings.Count(s, before)
		return strings.Replace(s, before, after, 1)
	}
	for path, content := range r.own {
		twin.own[replace(path)] = replace(content)
	}
	twin.now = r.now
	if count == 0 {
		twin.now = strings.TrimPrefix(replace("at "+r.now), "at ")
	}
	for path, content := range r.base {
		twin.base[path] = content
		if count == 0 && r.own[path] == "" && strings.Contains(content, before) {
			twin.base[path] = replace(content)
		}
	}
	if count != 1 {
		t.Fatalf("%s: %q stands %d times in the row; a twin replaces one", r.name, before, count)
	}
	if slices.Equal(r.facts, twin.facts) {
		t.Fatalf("%s: the twin wants the same as the row", r.name)
	}
	return twin
}

// asksThePolicy reports whether a fact is about more than the reading of the tree.
func (r *row) asksThePolicy() bool {
	return slices.ContainsFunc(r.facts, func(fact string) bool {
		word, _, _ := strings.Cut(fact, " ")
		return strings.Contains(fact, sampleName) || !slices.Contains([]string{"error", "warning", "loads"}, word)
	})
}

func (r *row) time() (time.Time, error) { return time.Parse(time.RFC3339, r.now) }

// file returns a file of the row or of the base.
func (r *row) file(path string) string {
	if text, found := r.own[path]; found {
		return text
	}
	return r.base[path]
}

// modes are the files that are none, by what stands for them.
var modes = map[string]fs.FileMode{
	"!fifo": fs.ModeNamedPipe, "!socket": fs.ModeSocket, "!device": fs.ModeDevice,
	"!symlink": fs.ModeSymlink, "!directory": fs.ModeDir,
}

var copies = regexp.MustCompile(`^!copies (\d+) (.*)\n$`)

// tree returns the row's specs.
func (r *row) tree() fstest.MapFS {
	tree := fstest.MapFS{}
	all := maps.Clone(r.base)
	maps.Copy(all, r.own)
	for path, text := range all {
		mode := modes[strings.TrimSpace(text)]
		m := copies.FindStringSubmatch(text)
		switch {
		case path == sampleName:
		case mode != 0:
			tree[path] = &fstest.MapFile{Mode: mode}
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			start, end, _ := strings.Cut(written(m[2]+"\n"), "#")
			for i := range n {
				name := fmt.Sprintf("%s-%05d.yaml", strings.TrimSuffix(path, ".yaml"), i)
				tree[name] = &fstest.MapFile{Data: []byte(start + strconv.Itoa(i) + end)}
			}
		default:
			tree[path] = &fstest.MapFile{Data: []byte(written(text))}
		}
	}
	return tree
}

var (
	repeated  = regexp.MustCompile(`%\{(\d+)\*([^}]*)\}%`)
	hexBytes  = regexp.MustCompile(`%\{x:([0-9a-f]+)\}%`)
	shorthand = regexp.MustCompile(`^([A-Z][A-Za-z]+) ([^ ]+): (.*)$`)
)

// written returns a file as it stands on disk: its macros and short objects
// written out, each object in the lines that it had.
func written(text string) string {
	text = repeated.ReplaceAllStringFunc(text, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
	text = hexBytes.ReplaceAllStringFunc(text, func(s string) string {
		b, _ := hex.DecodeString(hexBytes.FindStringSubmatch(s)[1])
		return string(b)
	})
	lines := strings.Split(text, "\n")
	open := -1 // the line that an object ends in, as far as is known
	for i, line := range lines {
		if open >= 0 && !strings.HasPrefix(line, " ") {
			lines[open], open = closed(lines[open]), -1
		}
		if m := shorthand.FindStringSubmatch(line); m != nil {
			lines[i], open = opened(m[1], m[2])+m[3], i
		} else if open >= 0 {
			open = i
		}
	}
	return strings.Join(lines, "\n")
}

// opened returns an object up to its spec.
func opened(kind, path string) string {
	var metadata string
	parts := strings.Split(path, "/")
	for i, key := range []string{"tenant: ", "vpc: "} {
		if i < len(parts)-1 {
			metadata += ", " + key + parts[i]
		}
	}
	return fmt.Sprintf("--- {apiVersion: daoli.net/v1, kind: %s, metadata: {name: %s%s}, spec: ", kind, parts[len(parts)-1], metadata)
}

// closed returns an object's last line with the bracket that opened opened.
func closed(line string) string {
	if i := strings.Index(line, " #"); i >= 0 {
		return line[:i] + "}" + line[i:]
	}
	return line + "}"
}

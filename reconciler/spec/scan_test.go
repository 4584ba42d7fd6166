package spec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// built is what yaml.v3 builds from a text, to compare with what scan counted.
type built struct {
	nodes, nesting, entries int
}

func (b *built) add(n *yaml.Node, depth int) {
	b.nodes++
	entries := len(n.Content)
	switch n.Kind {
	case yaml.DocumentNode:
		depth--
	case yaml.MappingNode:
		entries /= 2
		fallthrough
	case yaml.SequenceNode:
		b.nesting = max(b.nesting, depth)
		b.entries = max(b.entries, entries)
	}
	for _, c := range n.Content {
		b.add(c, depth+1)
	}
}

// build returns what yaml.v3 makes of src, or an error if that is no YAML.
func build(src []byte) (b built, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	for {
		doc, err := nextDocument(dec)
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		b.add(doc, 1)
	}
}

// scanTexts are texts in which tokens are not what they seem, beside plain ones.
var scanTexts = []struct {
	name, text       string
	nesting, entries int
}{
	{"nothing", "", 0, 0},
	{"a scalar", "a", 0, 0},
	{"block mapping", "a: 1\nb: 2\nc: 3\n", 1, 3},
	{"block sequence", "- a\n- b\n", 1, 2},
	{"a sequence in its key's column", "a:\n- 1\n- 2\n- 3\nb: 2\n", 2, 3},
	{"an indented sequence", "a:\n  - 1\n  - 2\nb:\n  - 1\n  - 2\n  - 3\n", 2, 3},
	{"mappings in a sequence", "- a: 1\n  b: 2\n- a: 1\n", 2, 2},
	{"sequences in a line", "- - - a\n    - b\n  - c\n- d\n", 3, 2},
	{"flow in flow", "{a: [1, 2, {b: c}], d: []}", 3, 3},
	{"a comma at the end", "[a, b, ]", 1, 2},
	{"flow over lines", "a: [1,\n2,\n  3]\nb: c\n", 2, 3},
	{"brackets in a plain scalar", "a: b [[[[ {{{{ c\n", 1, 1},
	{"brackets in a scalar of several lines", "a: b\n  [[[[ c\n  - d\ne: f\n", 1, 2},
	{"brackets in quotes", "a: \"[[[ \\\" {{{\"\nb: '[[[ '' {{{'\n", 1, 2},
	{"brackets in a comment", "a: b # [[[[ - - -\n# {{{{\nc: d\n", 1, 2},
	{"a hash in a word", "a: b#[[[\n", 1, 1},
	{"brackets in a literal scalar", "a: |\n  [[[[\n    - - - -\n\n  {{{{\nb: c\n", 1, 2},
	{"brackets in a folded scalar with header", "a: >2-  # [[\n   [[[[\n   {{{{\nb: c\n", 1, 2},
	{"a literal scalar in a sequence", "- |\n [[[\n- b\n", 1, 2},
	{"a literal scalar whose first lines are blank", "a: |\n\n   \n   [[\n   [[\nb: c\n", 1, 2},
	{"a literal scalar that is empty", "a: |\nb: [c]\n", 2, 2},
	{"a colon in a word", "a: b:c:[d\n", 1, 1},
	{"a dash in a word", "a: -b\n-c: d\n", 1, 2},
	{"explicit keys", "? a\n: b\n? [c, d]\n: e\n", 2, 4}, // counted twice
	{"a flow collection as key", "[a, b]: c\n{d: e}: f\n", 2, 2},
	{"several documents", "---\na: [b]\n...\n---\n- c\n- d\n", 2, 2},
	{"a directive", "%YAML 1.1\n---\na: b\n", 1, 1},
	{"CRLF", "a:\r\n- b\r\n- c\r\nd: e\r\n", 2, 2},
	{"CR", "a:\r- b\r- c\rd: e\r", 2, 2},
	{"an alias", "a: &x [b]\nc: *x\n", 2, 2},
}

func TestScanCountsWhatIsBuilt(t *testing.T) {
	for _, test := range scanTexts {
		t.Run(test.name, func(t *testing.T) {
			got, b := checkScan(t, []byte(test.text))
			if got.nesting != test.nesting || got.entries != test.entries {
				t.Errorf("scan(%q) = nesting %d, entries %d; want %d, %d",
					test.text, got.nesting, got.entries, test.nesting, test.entries)
			}
			if b.nesting != got.nesting {
				t.Errorf("yaml.v3 builds nesting %d of %q; scan counts %d", b.nesting, test.text, got.nesting)
			}
			if got.suspect != 0 {
				t.Errorf("scan(%q) suspects line %d; want none", test.text, got.suspect)
			}
		})
	}
}

// checkScan fails if yaml.v3 builds more of src than scan counts: more entries,
// or more than about twice the nesting or nodes. scan doesn't see that a pair in
// a flow sequence is a mapping, nor that a collection lies in one as its key.
func checkScan(t *testing.T, src []byte) (usage, built) {
	t.Helper()
	got := scan(src)
	b, err := build(src)
	if err != nil || got.excess != "" {
		return got, b
	}
	if b.nesting > 2*got.nesting+1 || b.entries > got.entries || b.nodes > 2*got.tokens+2 {
		t.Errorf("yaml.v3 builds %+v of %q; scan counts %+v", b, src, got)
	}
	return got, b
}

func TestScanSuspectsTheLineThatDoesNotFit(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       int
	}{
		{"a key indented more than its neighbours", "a: 1\nb: 2\n", 0},
		{"a key indented more, after quotes", "a: \"1\"\n  b: 2\n", 2},
		{"a key indented more, after a list", "a:\n    - 1\n  b: 2\n", 3},
		{"a key in a list's column", "- a\nb: 1\n", 2},
		{"an entry after a value", "a: \"1\"\n- b\n", 2},
		{"an entry indented more", "- \"a\"\n  - b\n", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := scan([]byte(test.text)).suspect; got != test.want {
				t.Errorf("scan(%q) suspects line %d; want %d", test.text, got, test.want)
			}
		})
	}
}

func TestScanFindsTheLimits(t *testing.T) {
	entries := func(n int) string { return strings.TrimSuffix(strings.Repeat("a,", n), ",") }
	lines := func(line string, n int) string { return strings.Repeat(line, n) }
	for _, test := range []struct {
		name      string
		good, bad string
		line      int
	}{
		{"flow nesting", strings.Repeat("[", 32), strings.Repeat("[", 33), 1},
		{"flow mappings", strings.Repeat("{a: ", 32), strings.Repeat("{a: ", 33), 1},
		{"block nesting", strings.Repeat("- ", 32) + "a", strings.Repeat("- ", 33) + "a", 1},
		{"both", strings.Repeat("- ", 31) + "[a]", strings.Repeat("- ", 31) + "[\n[", 2},
		{"flow entries", "[" + entries(10_000) + "]", "[" + entries(10_001) + "]", 1},
		{"flow pairs", "{" + entries(10_000) + "}", "{" + entries(10_001) + "}", 1},
		{"block entries", lines("- a\n", 10_000), lines("- a\n", 10_001), 10_001},
		{"block keys", lines("a: b\n", 10_000), lines("a: b\n", 10_001), 10_001},
		{"entries of several lists", lines("- a\n", 9_999) + "- [a]", lines("- a\n", 10_000) + "- [a]", 10_001},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := scan([]byte(test.good)); got.excess != "" {
				t.Errorf("within the limit, scan finds %q in line %d", got.excess, got.excessLine)
			}
			if got := scan([]byte(test.bad)); got.excess == "" || got.excessLine != test.line {
				t.Errorf("beyond the limit, scan finds %q in line %d; want some in line %d", got.excess, got.excessLine, test.line)
			}
		})
	}
}

// FuzzScan looks for a text of which yaml.v3 builds more than scan counts.
func FuzzScan(f *testing.F) {
	for _, test := range scanTexts {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if line, _ := badCharacter(src); line > 0 || !utf8.Valid(src) || len(src) > 1<<14 {
			return
		}
		checkScan(t, src)
	})
}

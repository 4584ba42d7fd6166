package spec_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// elsewhere are the twins whose bad value is not, or not only, what they
// replace, with what must be named instead.
var elsewhere = map[string]string{
	"null as a tilde":           `"hosts" is null`,
	"nesting":                   "deeper than 32",
	"a long name":               "aaa",
	"a vip needs no listen":     "tcp/80",
	"listen of all hosts":       `"q"`,
	"ranges of listen together": "sctp/2-9",
}

// word is what of a value must be found in the text about it.
var word = regexp.MustCompile(`[A-Za-z0-9_./*-]+`)

func TestEachProblemNamesTheBadValueAndAWayOut(t *testing.T) {
	for _, test := range slices.Concat(allTwins()...) {
		t.Run(test.name, func(t *testing.T) {
			bad := strings.ReplaceAll(test.file, "@", test.bad)
			_, problems := spec.Load(tree("base.yaml", base, "x.yaml", bad))
			if !slices.ContainsFunc(problems, func(p spec.Problem) bool { return names(p.Text, test) }) {
				t.Errorf("with %q, Load says:\n%swant it to name that", test.bad, lines(problems))
			}
			withWayOut(t, problems)
		})
	}
}

// names reports whether a text names a word of what is bad in a twin and not in
// the good one, or the characters that are no word. Where what is bad is that
// something is missing, each text does. The way out, which comes last, doesn't
// count.
func names(text string, test twin) bool {
	text = text[:max(0, strings.LastIndex(text, "; "))]
	if want, found := elsewhere[test.name]; found {
		return strings.Contains(text, want)
	}
	if test.bad == "" {
		return true
	}
	good := word.FindAllString(test.good, -1)
	shown := slices.DeleteFunc(word.FindAllString(test.bad, -1), func(w string) bool { return slices.Contains(good, w) })
	if len(shown) == 0 {
		quoted := strconv.Quote(strings.Trim(test.bad, `"`))
		shown = []string{test.bad, quoted[1 : len(quoted)-1], fmt.Sprintf("0x%x", test.bad)}
		for _, r := range test.bad {
			shown = append(shown, fmt.Sprintf("U+%04X", r))
		}
	}
	return slices.ContainsFunc(shown, func(w string) bool { return strings.Contains(text, w) })
}

// withWayOut reports problems that don't say what to do, after a semicolon.
func withWayOut(t *testing.T, problems []spec.Problem) {
	t.Helper()
	for _, p := range problems {
		if _, wayOut, _ := strings.Cut(p.Text, "; "); wayOut == "" {
			t.Errorf("Load says %q; want what to do about it, after a semicolon", p)
		}
	}
}

func TestAProblemShowsAListOrMappingInOneLine(t *testing.T) {
	for _, test := range []struct{ name, hosts, want string }{
		{"entries", `[[a, 10.0.0.0/8]]`, `hosts is [a, 10.0.0.0/8], not a string`},
		{"keys", `[{a: b, c: [d]}]`, `hosts is {a: b, c: [d]}, not a string`},
		{"over several lines", "\n  - - a\n    - b: c", `hosts is [a, {b: c}], not a string`},
		{"an empty value", `[[""]]`, `hosts is [""], not a string`},
		{"odd characters", `[["a b", "c\"", "d\\n"]]`, `hosts is ["a b", "c\"", "d\\n"], not a string`},
		{"as much as may be", `[[` + strings.Repeat("a", 78) + `]]`, `hosts is [` + strings.Repeat("a", 78) + `], not a string`},
		{"a byte more", `[[` + strings.Repeat("a", 79) + `]]`, `hosts is [` + strings.Repeat("a", 79) + `..., not a string`},
		{"characters of two bytes", `[[` + strings.Repeat("é", 79) + `]]`, `hosts is ["` + strings.Repeat("é", 39) + `..., not a string`},
		{"a long list", `[[` + strings.Repeat("a, ", 5000) + `a]]`, `hosts is [` + strings.Repeat("a, ", 26) + `a..., not a string`},
		{"deep", `[` + strings.Repeat("[", 25) + strings.Repeat("]", 25) + `]`, `hosts is ` + strings.Repeat("[", 25) + strings.Repeat("]", 25) + `, not a string`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := spec.Load(tree("x.yaml", tenant("\n  hosts: "+test.hosts)))
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Text, test.want) {
				t.Errorf("Load says:\n%swant %q", lines(problems), test.want)
			}
		})
	}
}

package spec

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlobsIntersect(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"edge-1", "edge-1", true},
		{"edge-1", "edge-2", false},
		{"edge-1", "edge-11", false},
		{"*", "*", true},
		{"*", "edge-1", true},
		{"edge-*", "*-1", true},
		{"edge-*", "edge-", true},
		{"edge-*", "edge", false},
		{"a*b", "b*a", false},
		{"a*b*c", "*b", false},
		{"a*", "?", true},
		{"a*", "??", true},
		{"a?", "?", false},
		{"[ab]", "[bc]", true},
		{"[ab]", "[cd]", false},
		{"[^ab]", "[a-b]", false},
		{"[^ab]", "[a-c]", true},
		{"[^ab]", "[^cd]", true},
		{"[b-a]", "*", false},
		{"[b-a]*", "?", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`[\]a]`, "]", true},
		{"é", "?", true},
		{"[é-ë]", "ê", true},
		{"x*y*z", "*xyz*z", true},
		{"a**b", "a*b", true},
		{"*a", "*b", false},
		{"*a*", "*b*", true},
	} {
		a, b := parseGlob(test.a), parseGlob(test.b)
		if got := a.mayEndAs(&b) && a.intersects(&b); got != test.want {
			t.Errorf("%q and %q have a name in common: %t; want %t", test.a, test.b, got, test.want)
		}
		if got := b.mayEndAs(&a) && b.intersects(&a); got != test.want {
			t.Errorf("%q and %q have a name in common: %t; want %t", test.b, test.a, got, test.want)
		}
	}
}

// names are all names of up to n of the characters.
func names(characters string, n int) []string {
	all := []string{""}
	for last := all; n > 0; n-- {
		var longer []string
		for _, s := range last {
			for _, c := range characters {
				longer = append(longer, s+string(c))
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

// TestGlobsIntersectAsPathMatchSays compares with path.Match of all short names:
// patterns of up to 4 elements have no common name that is longer and none that
// is short, but for stars, which need no more than the other's elements.
func TestGlobsIntersectAsPathMatchSays(t *testing.T) {
	elements := []string{"a", "b", "*", "?", "[ab]", "[^a]", "[b-c]", `\a`, "[c-a]"}
	all := names("abc", 8)
	random := rand.New(rand.NewPCG(1, 2))
	pattern := func() string {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteString(elements[random.IntN(len(elements))])
		}
		return b.String()
	}
	matched := make(map[string][]bool)
	of := func(pattern string) []bool {
		if matched[pattern] == nil {
			for _, name := range all {
				ok, err := path.Match(pattern, name)
				if err != nil {
					t.Fatal(err)
				}
				matched[pattern] = append(matched[pattern], ok)
			}
		}
		return matched[pattern]
	}
	patterns := make([]string, 150)
	for i := range patterns {
		patterns[i] = pattern()
	}
	for _, p := range patterns {
		for _, q := range patterns {
			want, a, b := false, of(p), of(q)
			for i := range a {
				want = want || a[i] && b[i]
			}
			g, h := parseGlob(p), parseGlob(q)
			if got := g.intersects(&h); got != want {
				t.Fatalf("%q and %q have a name in common: %t; path.Match says %t", p, q, got, want)
			}
			if want && !g.mayEndAs(&h) {
				t.Fatalf("%q and %q have a name in common, but their ends, %q and %q, don't allow it", p, q, g.suffix, h.suffix)
			}
		}
	}
}

// FuzzGlob looks for a name that two patterns match, but that they don't have in
// common.
func FuzzGlob(f *testing.F) {
	f.Add("edge-*", "*-1", "edge-1")
	f.Add(`[^\]a-c]?`, "*", "dé")
	f.Add("[b-a]", "a", "b")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if len(a)+len(b) > 2*maxGlob || !isGlob(a) || !isGlob(b) || strings.Contains(name, "/") || !utf8.ValidString(a+b+name) {
			return
		}
		okA, _ := path.Match(a, name)
		okB, _ := path.Match(b, name)
		g, h := parseGlob(a), parseGlob(b)
		if okA && okB && !(g.mayEndAs(&h) && g.intersects(&h)) {
			t.Errorf("%q and %q both match %q, but have no name in common", a, b, name)
		}
		if okA && !strings.HasPrefix(name, g.prefix) || okA && !strings.HasSuffix(name, g.suffix) {
			t.Errorf("%q matches %q, which has not its start %q or end %q", a, name, g.prefix, g.suffix)
		}
		if g.literal && okA != (name == g.prefix) {
			t.Errorf("%q is taken to match %q alone, but matches %q: %t", a, g.prefix, name, okA)
		}
	})
}

func TestSpansKeepTheirOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s spans
	var owner [maxPort + 1]int32 // 0: nobody
	for i := int32(1); i <= 5000; i++ {
		lo := uint16(random.IntN(maxPort - 20))
		hi := lo + uint16(random.IntN(20))
		want := int32(0)
		for p := lo; p <= hi && want == 0; p++ {
			want = owner[p]
		}
		sp, found := s.overlapping(lo, hi)
		got := sp.owner
		if found != (want != 0) || found && got != want {
			t.Fatalf("overlapping(%d, %d) = %d, %t; want %d", lo, hi, got, found, want)
		}
		if found {
			continue
		}
		s.add(span{lo, hi, i})
		for p := lo; p <= hi; p++ {
			owner[p] = i
		}
	}
	for p := range owner {
		if got, found := s.overlapping(uint16(p), uint16(p)); found != (owner[p] != 0) || found && got.owner != owner[p] {
			t.Fatalf("port %d is %d's, %t; want %d", p, got, found, owner[p])
		}
	}
}

func TestPortBits(t *testing.T) {
	for _, test := range []struct {
		set, asked Port
		want       bool
	}{
		{Port{"tcp", 64, 127}, Port{"tcp", 0, 63}, false},
		{Port{"tcp", 64, 127}, Port{"tcp", 128, 65535}, false},
		{Port{"tcp", 64, 127}, Port{"tcp", 127, 127}, true},
		{Port{"tcp", 64, 127}, Port{"tcp", 0, 64}, true},
		{Port{"tcp", 0, 65535}, Port{"tcp", 65535, 65535}, true},
		{Port{"tcp", 65535, 65535}, Port{"tcp", 0, 65534}, false},
		{Port{"tcp", 70, 80}, Port{"tcp", 81, 90}, false},
		{Port{"tcp", 70, 80}, Port{"tcp", 60, 69}, false},
	} {
		var b portBits
		b.add(test.set)
		if got := b.hasAny(test.asked); got != test.want {
			t.Errorf("%s has any of %s: %t; want %t", test.set, test.asked, got, test.want)
		}
	}
}

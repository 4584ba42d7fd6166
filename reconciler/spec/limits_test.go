package spec_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// copies returns a tree of n files that all hold data.
func copies(n int, data string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := range n {
		fsys[fmt.Sprintf("%05d.yaml", i)] = &fstest.MapFile{Data: []byte(data)}
	}
	return fsys
}

// together returns a tree with the files of both.
func together(a, b fstest.MapFS) fstest.MapFS {
	for name, f := range b {
		a[name] = f
	}
	return a
}

func TestLoadHoldsTheLimits(t *testing.T) {
	// What is refused for another reason is refused soon.
	refused := strings.Repeat("\x00", spec.MaxFileBytes)
	rules := rule(strings.Repeat("{},", 10_000)) // the same group in each file
	comments := strings.Repeat("#\n", 500_000)   // a token each
	for _, test := range []struct {
		name      string
		good, bad fstest.MapFS
		want      string
	}{
		{"files", copies(10_000, "\x00"), copies(10_001, "\x00"),
			"10000.yaml:1: the tree has more than 10000 files; put more objects into a file"},
		{"bytes of a file", copies(1, refused), copies(1, refused+"\x00"),
			"00000.yaml:1: the file is larger than 1048576 bytes; split it"},
		{"bytes of the tree", copies(64, refused), together(copies(64, refused), tree("00063x.yaml", "a")),
			"00063x.yaml:1: the tree holds more than 67108864 bytes; remove what it doesn't need"},
		{"tokens of the tree", copies(10, comments), copies(11, comments),
			"00010.yaml:1: the tree holds more than 5000000 tokens; remove what it doesn't need"},
		{"rules of the tree", copies(20, rules), copies(21, rules),
			"00020.yaml:4: the tree has more than 200000 rules; remove some, or let one rule have several peers and ports"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, problems := spec.Load(test.good); contains(problems, test.want) || containsLimit(problems) {
				t.Errorf("within the limit, Load says %q", test.want)
			}
			if _, problems := spec.Load(test.bad); !contains(problems, test.want) {
				t.Errorf("beyond the limit, Load says %d things, but not %q", len(problems), test.want)
			}
		})
	}
}

func contains(problems []spec.Problem, line string) bool {
	for _, p := range problems {
		if p.String() == line {
			return true
		}
	}
	return false
}

func containsLimit(problems []spec.Problem) bool {
	for _, p := range problems {
		if strings.Contains(p.Text, "more than") || strings.Contains(p.Text, "larger than") {
			return true
		}
	}
	return false
}

func TestLoadShowsSoManyProblemsOnly(t *testing.T) {
	nulls := func(n int) string { return "- [" + strings.Repeat("{a: },", n) + "]\n" }
	for _, test := range []struct {
		mistakes, shown int
		want            string // the last problem
	}{
		{10_000, 10_000, `"a" is null; write [] for empty or leave the key out`},
		{10_003, 10_001, `3 more problems are not shown; mend the ones above first`},
	} {
		// The list itself, in line 1, is a mistake too.
		_, problems := spec.Load(tree("x.yaml", nulls(5_000)+nulls(test.mistakes-5_001)))
		if got := problems[len(problems)-1].Text; len(problems) != test.shown || got != test.want {
			t.Errorf("of %d mistakes, %d things are said, the last %q; want %d, %q",
				test.mistakes, len(problems), got, test.shown, test.want)
		}
	}
}

func TestLoadHidesNoErrorBehindWarnings(t *testing.T) {
	warnings := rule("{from: [" + strings.Repeat("{vpc: globex/x},", 9_999) + "]}, {from: [{vpc: globex/x}, {vpc: globex/x}]}")
	_, problems := spec.Load(tree("base.yaml", base, "a.yaml", warnings, "b.yaml", peering("{vpcs: [acme/prod, acme/dev]}")))
	if len(problems) != 10_002 || problems[10_000].Warning || problems[10_001].Text != "1 more problems are not shown; mend the ones above first" {
		t.Errorf("of 10001 warnings and an error, %d things are said, the last %v; want 10000, the error and how many are left",
			len(problems), problems[max(0, len(problems)-2):])
	}
}

func TestLoadCutsLongValues(t *testing.T) {
	long := strings.Repeat("é", 1000)
	_, problems := spec.Load(tree("base.yaml", base, "x.yaml", tenant(`{hosts: `+long+`}`)))
	if len(problems) != 1 || len(problems[0].Text) > 200 || !strings.Contains(problems[0].Text, `éé..."`) {
		t.Errorf("Load says:\n%swant the value cut", lines(problems))
	}
}

func TestSelect(t *testing.T) {
	for _, test := range []struct {
		name    string
		members spec.Members
		want    bool
	}{
		{"all", spec.Members{All: true}, true},
		{"its subnet", spec.Members{Subnets: []string{"db", "web"}}, true},
		{"another subnet", spec.Members{Subnets: []string{"db"}}, false},
		{"its name", spec.Members{Endpoints: []string{"web1"}}, true},
		{"another name", spec.Members{Endpoints: []string{"web2"}}, false},
		{"its label", spec.Members{Labels: map[string]string{"role": "web"}}, true},
		{"another label's value", spec.Members{Labels: map[string]string{"role": "db"}}, false},
		{"a label more", spec.Members{Labels: map[string]string{"role": "web", "tier": ""}}, false},
		{"its subnet and another label", spec.Members{Subnets: []string{"web"}, Labels: map[string]string{"role": "db"}}, false},
	} {
		if got := test.members.Select("web1", "web", map[string]string{"role": "web"}); got != test.want {
			t.Errorf("%s: Select = %t; want %t", test.name, got, test.want)
		}
	}
}

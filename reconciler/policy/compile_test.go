package policy_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
)

// tree is a tree of policies: file names and texts by turns.
func tree(files ...string) fs.FS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

// deciding is an admission policy whose decision is value.
func deciding(value string) fs.FS {
	return tree(admissionFile, "package daoli.admission\n\ndecision := "+value+"\n")
}

const allowAll = `{"verdict": "allow", "reason": "mine", "rule": "me", "at": "mine.rego:3", "log": true, "ends": []}`

func TestCompileChoosesTheSystem(t *testing.T) {
	lib := "package daoli.lib.net\n\nmine := 1\n"
	broken := "package x\n\nbroken {"
	tests := []struct {
		name   string
		tree   fs.FS
		reason policy.Reason
	}{
		{"nil: the embedded system", nil, "isolation"},
		{"an empty tree: the embedded system", tree(), "isolation"},
		{"lib alone: the embedded system", tree("lib/net.rego", lib), "isolation"},
		{"system: the tree's own", deciding(allowAll), "mine"},
		{"system and lib", tree(
			admissionFile, "package daoli.admission\n\nimport data.daoli.lib.net\n\ndecision := "+allowAll+" if net.mine == 1\n",
			"lib/net.rego", lib), "mine"},
		{"tests are left out", tree(
			admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"system/admission_test.rego", broken, "lib/x_test.rego", broken, "tenants/a/p_test.rego", broken), "mine"},
		{"other files and hidden ones are left out", tree(
			admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"system/README.md", broken, "system/.swap.rego", broken, "system/.git/x.rego", broken, "other/x.rego", broken), "mine"},
		{"a file below system is of it", tree("system/a/b.rego", "package daoli.admission\n\ndecision := "+allowAll+"\n"), "mine"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := policy.Compile("r1", table().network, test.tree)
			if err != nil {
				t.Fatal(err)
			}
			q := query(endpoint("acme/prod/web"), endpoint("globex/prod/web"), "tcp/1")
			if d := p.Decide(now, q); d.Reason != test.reason {
				t.Errorf("Decide = %+v, want reason %q", d, test.reason)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	body := func(lines string) fs.FS {
		return tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+" if {\n"+lines+"\n}\n")
	}
	tests := []struct {
		name string
		tree fs.FS
		want string // each line is in the error
	}{
		{"a syntax error", tree(admissionFile, "package daoli.admission\n\ndecision := {\n"), "system/admission.rego:4: "},
		{"an unsafe variable", body("\tx == 1"), "system/admission.rego:4: var x is unsafe"},
		{"an unused variable", body("\tx := 1"), "system/admission.rego:4: assigned var x unused"},
		{"errors of two files", tree(admissionFile, "package\n", "lib/a.rego", "package\n"), "lib/a.rego:2: \nsystem/admission.rego:2: "},
		{"the network", body(`	http.send({"method": "get", "url": "http://127.0.0.1"}).status_code == 200`), "system/admission.rego:4: undefined function http.send"},
		{"names of the network", body(`	net.lookup_ip_addr("localhost")`), "system/admission.rego:4: undefined function net.lookup_ip_addr"},
		{"the clock", body("\ttime.now_ns() > 1"), "system/admission.rego:4: undefined function time.now_ns"},
		{"random numbers", body(`	rand.intn("x", 5) > 1`), "system/admission.rego:4: undefined function rand.intn"},
		{"the environment", body(`	opa.runtime().env.HOME`), "system/admission.rego:4: undefined function opa.runtime"},
		{"what makes much of little", body("\tcount(numbers.range(1, 1000000000)) > 1"), "system/admission.rego:4: undefined function numbers.range"},
		{"a rule in the index", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"lib/index.rego", "package daoli.index\n\npeers := {}\n"), "lib/index.rego:3: conflicting rule for data path daoli/index/peers"},
		{"a rule in the place of the index", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"lib/index.rego", "package daoli\n\nindex := {}\n"), "lib/index.rego:3: conflicting rule for data path daoli/index"},
		{"a rule deep in the index", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"lib/index.rego", "package daoli\n\nindex[x].y := 1 if some x in [1]\n"), "lib/index.rego:3: conflicting rule for data path daoli/index"},
		{"nobody decides", tree("system/x.rego", "package daoli.x\n\ny := 1\n"), "no rule data.daoli.admission.decision"},
		{"more Rego than compiles soon", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n",
			"lib/a.rego", "package daoli.lib.a\n\n#"+strings.Repeat("x", 1<<19), "lib/b.rego", "package daoli.lib.b\n\n#"+strings.Repeat("x", 1<<19)),
			"lib/b.rego:1: the policies have more than 1048576 bytes of Rego: remove what they don't need"},
		{"Rego of no tenant", tree("tenants/policy.rego", "package tenants.acme.policy\n"), "tenants/policy.rego:1: Rego below tenants/ stands in its tenant's directory"},
		{"a file without end", tree(admissionFile, strings.Repeat("#", 1<<20+1)), "system/admission.rego:1: the policies have more than 1048576 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := policy.Compile("r1", table().network, test.tree)
			if err == nil {
				t.Fatal("Compile = nil, want an error")
			}
			for want := range strings.Lines(test.want) {
				if !strings.Contains(err.Error(), strings.TrimSuffix(want, "\n")) {
					t.Errorf("Compile = %v\nwant %q in it", err, want)
				}
			}
		})
	}
}

// TestRecompileTakesTheModulesAsTheyAre takes one tree of policies through edits,
// and compares what Recompile makes of each with what Compile makes of it.
func TestRecompileTakesTheModulesAsTheyAre(t *testing.T) {
	const byLib = "package daoli.admission\n\nimport data.daoli.lib.net\n\ndecision := " + allowAll + " if net.mine == 1\n"
	mine := func(n string) string { return "package daoli.lib.net\n\nmine := " + n + "\n" }
	edits := []struct {
		name string
		tree fs.FS
	}{
		{"the tree", tree(admissionFile, byLib, "lib/net.rego", mine("1"))},
		{"nothing", tree(admissionFile, byLib, "lib/net.rego", mine("1"))},
		{"a lib, to another of its size", tree(admissionFile, byLib, "lib/net.rego", mine("2"))},
		{"the lib's name", tree(admissionFile, byLib, "lib/other.rego", mine("2"))},
		{"the system's name", tree("system/other.rego", byLib, "lib/other.rego", mine("2"))},
		{"a line above", tree(admissionFile, "\n"+byLib, "lib/other.rego", mine("2"))},
		{"a test", tree(admissionFile, "\n"+byLib, "lib/other.rego", mine("2"), "lib/x_test.rego", "no Rego")},
		{"a lib gone", tree(admissionFile, byLib)},
		{"a syntax error", tree(admissionFile, byLib+"{", "lib/net.rego", mine("1"))},
		{"Rego of no tenant", tree(admissionFile, byLib, "lib/other.rego", mine("2"), "tenants/p.rego", "package p\n")},
		{"a system's module more", tree(admissionFile, byLib, "system/more.rego", "package daoli.more\n", "lib/net.rego", mine("1"))},
		{"two modules with each other's text", tree(admissionFile, "package daoli.more\n", "system/more.rego", byLib, "lib/net.rego", mine("2"))},
		{"the embedded system", nil},
		{"the embedded system and a lib", tree("lib/net.rego", mine("1"))},
		{"and back", tree(admissionFile, byLib, "lib/net.rego", mine("1"))},
	}
	network := table().network
	q := query(endpoint("acme/prod/web"), endpoint("globex/prod/web"), "tcp/1")
	before, err := policy.Compile("r0", network, nil)
	if err != nil {
		t.Fatal(err)
	}
	decisions := map[policy.Decision]bool{}
	refused := 0
	for _, e := range edits {
		want, wantErr := policy.Compile("r1", network, e.tree)
		got, err := before.Recompile("r1", network, e.tree)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("after an edit of %s: Recompile = %v, Compile = %v", e.name, err, wantErr)
		}
		if err != nil || wantErr != nil {
			refused++
			continue
		}
		before = got
		d := got.Decide(now, q)
		if want := want.Decide(now, q); d != want {
			t.Errorf("after an edit of %s: Decide = %+v, compiled anew %+v", e.name, d, want)
		}
		decisions[d] = true
	}
	if len(decisions) != 6 || refused != 2 {
		t.Errorf("%d different decisions and %d refused trees; want 6 and 2, or the edits change nothing", len(decisions), refused)
	}
}

// TestDecideFailsClosed has policies that answer what cannot be understood.
func TestDecideFailsClosed(t *testing.T) {
	with := func(old, new string) fs.FS { return deciding(strings.Replace(allowAll, old, new, 1)) }
	tests := []struct {
		name   string
		tree   fs.FS
		reason policy.Reason
		line   int
	}{
		{"undefined", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+" if input.nothing\n"), "policy-error", 3},
		{"two answers", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+"\n\ndecision := 1 if input.src\n"), "policy-error", 5},
		{"a set", tree(admissionFile, "package daoli.admission\n\ndecision contains "+allowAll+"\n"), "policy-error", 3},
		{"a string", deciding(`"allow"`), "policy-error", 3},
		{"true", deciding("true"), "policy-error", 3},
		{"another verdict", with(`"allow"`, `"accept"`), "policy-error", 3},
		{"a verdict of another type", with(`"allow"`, `true`), "policy-error", 3},
		{"no verdict", with(`"verdict": "allow", `, ``), "policy-error", 3},
		{"no reason", with(`"reason": "mine", `, ``), "policy-error", 3},
		{"an empty reason", with(`"mine"`, `""`), "policy-error", 3},
		{"no rule", with(`"rule": "me", `, ``), "policy-error", 3},
		{"no at", with(`"at": "mine.rego:3", `, ``), "policy-error", 3},
		{"an at without line", with(`"mine.rego:3"`, `"mine.rego"`), "policy-error", 3},
		{"an at with line 0", with(`"mine.rego:3"`, `"mine.rego:0"`), "policy-error", 3},
		{"no log", with(`"log": true, `, ``), "policy-error", 3},
		{"a log of another type", with(`"log": true`, `"log": 1`), "policy-error", 3},
		{"no ends", with(`, "ends": []`, ``), "policy-error", 3},
		{"ends of another type", with(`[]`, `"never"`), "policy-error", 3},
		{"an end of another type", with(`[]`, `["never"]`), "policy-error", 3},
		{"an end with a fraction", with(`[]`, `[1.5]`), "policy-error", 3},
		{"an end that is no rule's", with(`[]`, `[1780322400]`), "policy-error", 3},
		{"a built-in's error", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+" if {\n\tnot to_number(input.proto) > 5\n}\n"), "policy-error", 4},
		{"a loop", tree(admissionFile, "package daoli.admission\n\ndecision := "+allowAll+" if {\n\tl := [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"+
			"\tcount([1 | some a in l; some b in l; some c in l; some d in l; some e in l; some f in l; some g in l; some h in l; a + b + c + d + e + f + g + h > 0]) > 0\n}\n"), "policy-timeout", 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := policy.Compile("r1", table().network, test.tree)
			if err != nil {
				t.Fatal(err)
			}
			q := query(endpoint("acme/prod/web"), endpoint("acme/prod/web"), "tcp/1")
			begin := time.Now()
			d := p.Decide(now, q)
			took := time.Since(begin)
			if d.Verdict != policy.Drop || d.Reason != test.reason || d.Revision != "r1" {
				t.Errorf("Decide = %+v, want drop %s", d, test.reason)
			}
			if d.Rule != "data.daoli.admission.decision" || d.At.File != admissionFile || d.At.Line != test.line {
				t.Errorf("Decide stands at %q %v, want the module's line %d", d.Rule, d.At, test.line)
			}
			p.Decide(now, q)
			want := policy.Stats{Hits: 1, Misses: 1, Errors: 1}
			if test.reason == policy.ReasonPolicyTimeout {
				want = policy.Stats{Misses: 2, Timeouts: 2}
				t.Logf("the evaluation took %v", took)
			}
			if got := p.Stats(); got != want {
				t.Errorf("Stats = %+v, want %+v", got, want)
			}
		})
	}
}

package sandbox_test

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/sandbox"
)

// patience bounds what a hostile module may take until it is refused or killed; 3 s,
// and some for a machine that is busy.
const patience = 9 * time.Second

// TestBombsAreKilledWhileOthersAreAnswered takes each bomb as the Rego of a tenant,
// and asks it, while another tenant asks all the time.
func TestBombsAreKilledWhileOthersAreAnswered(t *testing.T) {
	killed := atomic.Int64{}
	for _, name := range slices.Sorted(maps.Keys(bombs)) {
		t.Run(name, func(t *testing.T) {
			s := running(t, sandbox.Options{Preflight: time.Second})
			files := rego("acme", bombs[name])
			maps.Copy(files, rego("globex", "deny if input.port == 23\n"))
			if name == "a test without end" {
				files["tenants/acme/policy_test.rego"] = endlessTest
			}
			began := time.Now()
			use, problems := s.Take(modules(t, files))
			if use["acme"].Hash == "" { // killed before anybody asked
				if took := time.Since(began); took > patience {
					t.Errorf("it took %s until it was killed", took)
				}
				if len(problems) != 2 || !strings.Contains(problems[1], "tenant acme") || !strings.Contains(problems[1], "killed") {
					t.Errorf("problems = %q; want that acme's was killed", problems)
				} else {
					killed.Add(1)
				}
			}
			s.Took(use)
			others := othersAsk(s, use["globex"])
			if use["acme"].Hash != "" {
				a := s.Ask(query(use["acme"], 80))
				if took := time.Since(began); took > patience {
					t.Errorf("it took %s until it was killed", took)
				}
				_, problems = s.Take(modules(t, files))
				if a.Failed == policy.ReasonPolicyTimeout && len(problems) == 2 && strings.Contains(problems[1], "tenant acme") {
					killed.Add(1)
				} else {
					t.Errorf("the module answers %+v, problems %q; want it to be killed", a, problems)
				}
			}
			if wrong := others(); wrong != 0 {
				t.Errorf("%d questions of another tenant were not answered", wrong)
			}
		})
	}
	if n := killed.Load(); n < 15 {
		t.Errorf("%d bombs were killed in a child; want 15 and more", n)
	}
}

// othersAsk asks a good module until the function that it returns is called, which
// says how many answers were wrong.
func othersAsk(s *sandbox.Sandbox, m *policy.HookModule) (stop func() int) {
	done, wrong := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for port := uint16(1000); ; port++ {
			select {
			case <-done:
				wrong <- n
				return
			default:
			}
			if a := s.Ask(query(m, port)); a.Failed != "" || a.Deny.Rule != "" {
				n++
			}
		}
	}()
	return func() int {
		close(done)
		return <-wrong
	}
}

// TestVettingRefuses has modules that nobody compiles: each is refused with the line.
func TestVettingRefuses(t *testing.T) {
	s := running(t, sandbox.Options{})
	for name, rules := range refused {
		t.Run(name, func(t *testing.T) {
			text := rules
			if !strings.HasPrefix(text, "package") {
				text = "package tenants.acme.policy\n\n" + rules
			}
			began := time.Now()
			use, problems := s.Take(modules(t, map[string]string{"tenants/acme/policy.rego": text}))
			if took := time.Since(began); took > patience {
				t.Errorf("it took %s", took)
			}
			if use["acme"].Hash != "" || len(problems) < 2 {
				t.Fatal("it is taken")
			}
			if !strings.Contains(problems[0], "tenant acme") || !strings.HasPrefix(problems[1], "tenants/acme/policy.rego:") {
				t.Errorf("problems = %q; want the tenant, and file and line", problems)
			}
			if strings.Contains(problems[1], "killed") {
				t.Errorf("problems = %q; want it to be refused", problems)
			}
		})
	}
	if len(refused)+len(bombs) < 60 {
		t.Errorf("the corpus has %d modules; want 60", len(refused)+len(bombs))
	}
}

// refused does not pass vetting.
var refused = map[string]string{
	"network":                    "deny if http.send({\"method\": \"get\", \"url\": \"http://169.254.169.254\"}).status_code == 200\n",
	"name lookup":                "deny if net.lookup_ip_addr(\"acme.example\") != set()\n",
	"clock":                      "deny if time.now_ns() > 0\n",
	"random":                     "deny if rand.intn(\"x\", 2) == 1\n",
	"uuid":                       "deny if uuid.rfc4122(\"x\") != \"\"\n",
	"environment":                "deny if opa.runtime().env.HOME\n",
	"walk":                       "deny if {\n\twalk(input, [p, v])\n\tv == 1\n}\n",
	"numbers.range":              "deny if count(numbers.range(1, 1000000000)) > 0\n",
	"cidr expand":                "deny if count(net.cidr_expand(\"10.0.0.0/8\")) > 0\n",
	"bits":                       "deny if bits.lsh(1, 8000000000) > 0\n",
	"graph":                      "deny if graph.reachable({}, [])\n",
	"reachable paths":            "deny if graph.reachable_paths({}, [])\n",
	"json.marshal":               "deny if json.marshal(input) == \"\"\n",
	"json.unmarshal":             "deny if json.unmarshal(\"{}\") == {}\n",
	"yaml":                       "deny if yaml.unmarshal(\"a: b\")\n",
	"jwt":                        "deny if io.jwt.decode(\"x\")\n",
	"crypto":                     "deny if crypto.sha256(\"x\") == \"\"\n",
	"regex.replace":              "deny if regex.replace(\"a\", \"b\", \"c\") == \"\"\n",
	"glob and trace":             "deny if trace(\"x\")\n",
	"rego.parse_module":          "deny if rego.parse_module(\"x\", \"package x\")\n",
	"another tenant's rule":      "deny if data.tenants.globex.policy.deny\n",
	"another tenant by index":    "deny if data.tenants[\"globex\"].policy.deny\n",
	"another tenant by input":    "deny if data.tenants[input.dst.tenant].policy.deny\n",
	"all tenants":                "deny if data.tenants[_].policy.deny\n",
	"all tenants, counted":       "deny if count(data.tenants) > 1\n",
	"some in all tenants":        "deny if {\n\tsome t, x in data.tenants\n\tt != \"acme\"\n}\n",
	"every tenant":               "deny if {\n\tevery t in data.tenants {\n\t\tt.policy\n\t}\n}\n",
	"the index":                  "deny if data.daoli.index.peers\n",
	"the admission policy":       "deny if data.daoli.admission.decision.verdict == \"allow\"\n",
	"the operator's":             "deny if data.daoli.operator.deny\n",
	"data whole":                 "deny if count(data) > 0\n",
	"data whole, by a variable":  "deny if {\n\td := data\n\td.tenants.globex\n}\n",
	"data at a variable":         "deny if {\n\tsome x\n\tdata[x].globex\n}\n",
	"data at a string":           "deny if data[\"tenants\"][\"globex\"]\n",
	"data as an argument":        "f(x) := x.tenants\n\ndeny if f(data).globex\n",
	"data in an array":           "deny if [data][0].tenants.globex\n",
	"data in a comprehension":    "deny if count([x | x := data.tenants.globex]) > 0\n",
	"data in a text":             "deny if sprintf(\"%v\", [data]) == \"\"\n",
	"data as an index":           "deny if input[data.tenants.globex.x]\n",
	"object.get of data":         "deny if object.get(data, [\"tenants\", \"globex\"], false)\n",
	"import of data":             "package tenants.acme.policy\n\nimport data.tenants.globex.policy as other\n\ndeny if other.deny\n",
	"import of all tenants":      "package tenants.acme.policy\n\nimport data.tenants as t\n\ndeny if t.globex\n",
	"import of daoli":            "package tenants.acme.policy\n\nimport data.daoli as d\n\ndeny if d.index\n",
	"with data":                  "deny if input.port == 1 with data.tenants.globex as {}\n",
	"with input":                 "deny if deny2 with input as {\"port\": 1}\n\ndeny2 if input.port == 1\n",
	"with a function":            "deny if count([1]) == 2 with count as 2\n",
	"with the index":             "allow_ingress if true with data.daoli.index.peers as {}\n",
	"another tenant's package":   "package tenants.globex.policy\n\ndeny if true\n",
	"the admission's package":    "package daoli.admission\n\ndecision := {\"verdict\": \"allow\"}\n",
	"the library's package":      "package daoli.lib\n\nnet := 1\n",
	"the operator's package":     "package daoli.operator\n\ndeny := false\n",
	"the tenants' package":       "package tenants\n\nglobex.policy.deny := false\n",
	"a package below":            "package tenants.acme.policy.sub\n\ndeny := true\n",
	"a package by a quoted name": "package tenants[\"globex\"].policy\n\ndeny := true\n",
	"a rule that hides data":     "data := {}\n\ndeny if input.port == 1\n",
	"a rule that hides input":    "input := {}\n\ndeny if input.port == 1\n",
	"no hook":                    "denied if input.port == 1\n",
	"no syntax":                  "deny if {{{\n",
	"an old syntax":              "deny { input.port == 1 }\n",
	"recursion":                  "deny if allow_ingress\n\nallow_ingress if deny\n",
	"recursive function":         "f(x) := f(x + 1)\n\ndeny if f(1)\n",
	"unsafe variable":            "deny if x > 1\n",
	"brackets without end":       "deny if input.port == " + strings.Repeat("[", 30000) + "\n",
	"rules without end":          strings.Repeat("deny if input.port == 1\n", 501),
	"a text without end":         "deny if input.port == 1\n\n# " + strings.Repeat("x", policy.MaxTenantRego),
	"arity":                      "deny if count(1, 2)\n",
	"unused variable":            "deny if {\n\tx := 1\n\tinput.port == 2\n}\n",
}

package hook_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/hook"
	"github.com/daolinet/daolinet/reconciler/policy"
)

const (
	own  = "package tenants.acme.policy\n\n"
	only = ": a tenant reads its own package and data.daoli.lib only"
)

// TestVet has what package sandbox's corpus tries in children, and what is allowed.
func TestVet(t *testing.T) {
	lib := policy.HookFile{Name: "lib/net.rego", Text: "package daoli.lib\n\ntelnet(p) if p == 23\n"}
	for _, test := range []struct {
		name, text string
		want       string // the first problem; "": it is taken
	}{
		{"a deny", own + "deny if input.port == 23\n", ""},
		{"its own rules, by data", own + "deny if data.tenants.acme.policy.closed\n\nclosed if input.port == 23\n", ""},
		{"the library", own + "import data.daoli.lib\n\ndeny if lib.telnet(input.port)\n", ""},
		{"a default", own + "default deny := false\n\ndeny if input.port == 23\n", ""},
		{"a set", own + "deny contains \"telnet\" if input.port == 23\n", ""},
		{"a rule below deny", own + "deny.telnet if input.port == 23\n", ""},
		{"brackets as deep as may be", own + "deny if input.x == " + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "\n", ""},

		{"brackets deeper", own + "deny if input.x == " + strings.Repeat("[", 33) + strings.Repeat("]", 33) + "\n", "p.rego:3: brackets stand more than 32 deep"},
		{"another tenant's data", own + "deny if data.tenants.globex.policy.deny\n", "p.rego:3: data.tenants.globex.policy.deny" + only},
		{"all tenants'", own + "deny if data.tenants[input.dst.tenant].policy.deny\n", "p.rego:3: data.tenants[input.dst.tenant].policy.deny" + only},
		{"all data", own + "deny if count(data) > 0\n", "p.rego:3: data" + only},
		{"data in the default of a rule", own + "default deny := [data.daoli.index]\n", "p.rego:3: illegal default rule (value cannot contain ref)"},
		{"data in the key of a rule", own + "deny contains data.daoli.index.peers if true\n", "p.rego:3: data.daoli.index.peers" + only},
		{"data in an else", own + "deny := 1 if input.port == 1\nelse := 2 if data.daoli.index\n", "p.rego:4: data.daoli.index" + only},
		{"data by an import", own + "import data.tenants.globex.policy as p\n\ndeny if p.deny\n", "p.rego:3: import of data.tenants.globex.policy: a tenant reads its own package and data.daoli.lib only"},
		{"data in a template", own + "deny if $\"{data.daoli.index}\" == \"\"\n", "p.rego:3: data.daoli.index" + only},
		{"another tenant's package", "package tenants.globex.policy\n\ndeny if true\n", "p.rego:1: package tenants.globex.policy is not this tenant's: write package tenants.acme.policy"},
		{"a name that looks the same", "package tenants.\"аcme\".policy\n", "p.rego:1: "},
		{"a package below its own", "package tenants.acme.policy.deny\n\nx := 1\n", "p.rego:1: package tenants.acme.policy.deny is not this tenant's: write package tenants.acme.policy"},
		{"a rule in the place of data", own + "data.daoli.index := {}\n\ndeny if true\n", "p.rego:3: "},
		{"with, in no test", own + "deny if x with input as {}\n\nx if input.port == 1\n", "p.rego:3: with input: only tests may replace something, and only input"},
		{"with, of a built-in", own + "deny if count([1]) == 2 with count as 2\n", "p.rego:3: with count: only tests may replace something, and only input"},
		{"the network", own + "deny if http.send({})\n", "p.rego:3: undefined function http.send"},
		{"no rule that decides", own + "denied if true\n", "p.rego:1: it decides nothing: tenants.acme.policy has no rule deny, allow_ingress or allow_egress"},
		{"an old number", own + "deny if input.port == 0x17\n", "p.rego:3: "},
		{"a number without end", own + "deny if input.port < 1e999999999\n", "p.rego:3: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := hook.Compile(&policy.HookModule{
				Tenant: "acme", Files: []policy.HookFile{{Name: "p.rego", Text: test.text}}, Lib: []policy.HookFile{lib},
			}, false)
			got := strings.Join(problems[:min(1, len(problems))], "")
			if strings.HasSuffix(test.want, ": ") && strings.HasPrefix(got, test.want) {
				return // by OPA's own words
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems %q (-want +got):\n%s", problems, diff)
			}
		})
	}
}

// TestNamesOfTenants has those that Rego writes in its own way.
func TestNamesOfTenants(t *testing.T) {
	for _, tenant := range []string{"acme", "a-b", "7up", "default", "if", "in", "null", "data", "input", "not"} {
		m, problems := hook.Compile(&policy.HookModule{Tenant: tenant, Files: []policy.HookFile{
			{Name: "p.rego", Text: "package tenants[\"" + tenant + "\"].policy\n\ndeny if input.port == 23\n"},
		}}, false)
		if len(problems) > 0 {
			t.Errorf("tenant %s: %q", tenant, problems)
			continue
		}
		if a := m.Ask(&policy.HookQuery{Tenant: tenant, Proto: "tcp", Port: 23}); a.Deny.Rule == "" {
			t.Errorf("tenant %s: %+v; want a deny", tenant, a)
		}
	}
}

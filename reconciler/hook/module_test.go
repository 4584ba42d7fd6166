package hook_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/hook"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// BenchmarkAsk is a question without a child, beside package sandbox's BenchmarkAsk.
func BenchmarkAsk(b *testing.B) {
	text := "package tenants.acme.policy\n\ndeny if input.port == 23\n\nallow_ingress if \"web\" in input.src.groups\n"
	m, problems := hook.Compile(&policy.HookModule{Tenant: "acme", Files: []policy.HookFile{{Name: "p.rego", Text: text}}}, false)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	end := policy.HookEnd{Tenant: "acme", VPC: "acme/prod", Subnet: "web", Groups: []string{"web"}}
	q := policy.HookQuery{Tenant: "acme", Src: end, Dst: end, Proto: "tcp", Port: 80}
	for b.Loop() {
		if a := m.Ask(&q); a.AllowIngress.Rule == "" {
			b.Fatal(a)
		}
	}
}

package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/sandbox"
	"github.com/daolinet/daolinet/reconciler/spec"
)

const asChild = "sandbox-child"

// TestMain makes the test's program its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asChild {
		if err := sandbox.Confine(); err != nil {
			panic(err)
		}
		if err := sandbox.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// running returns a sandbox that runs until the test ends.
func running(t testing.TB, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	if o.Child == nil {
		o.Child = []string{os.Args[0], asChild}
	}
	s := sandbox.New(o)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

// modules reads a tree of policies.
func modules(t testing.TB, files map[string]string) map[string]*policy.HookModule {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	m, err := policy.TenantModules(tree)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rego(tenant, rules string) map[string]string {
	return map[string]string{"tenants/" + tenant + "/policy.rego": "package tenants." + tenant + ".policy\n\n" + rules}
}

func query(m *policy.HookModule, port uint16) policy.HookQuery {
	end := policy.HookEnd{Tenant: m.Tenant, VPC: m.Tenant + "/prod", Subnet: "web", Groups: []string{"web"}}
	return policy.HookQuery{Tenant: m.Tenant, Hash: m.Hash, Src: end, Dst: end, Proto: "tcp", Port: port}
}

func TestModuleDeniesAPortThroughTheChild(t *testing.T) {
	s := running(t, sandbox.Options{})
	use, problems := s.Take(modules(t, rego("acme", `deny if input.port == 23

allow_ingress if input.src.groups[_] == "web"
`)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s.Took(use)
	at := func(line int) spec.Pos { return spec.Pos{File: "tenants/acme/policy.rego", Line: line} }
	allow := policy.HookHit{Rule: "tenants.acme.policy.allow_ingress", At: at(5)}
	for port, want := range map[uint16]policy.HookAnswer{
		80: {AllowIngress: allow},
		23: {AllowIngress: allow, Deny: policy.HookHit{Rule: "tenants.acme.policy.deny", At: at(3)}},
	} {
		if diff := cmp.Diff(want, s.Ask(query(use["acme"], port))); diff != "" {
			t.Errorf("port %d: %s", port, diff)
		}
	}
}

func TestFailingTestRefusesTheModule(t *testing.T) {
	s := running(t, sandbox.Options{})
	files := rego("acme", "deny if input.port == 23\n")
	files["tenants/acme/policy_test.rego"] = `package tenants.acme.policy_test

import data.tenants.acme.policy

test_telnet if policy.deny with input as {"port": 23}

test_ssh if policy.deny with input as {"port": 22}
`
	use, problems := s.Take(modules(t, files))
	if got := strings.Join(problems, "\n"); !strings.Contains(got, "tenants/acme/policy_test.rego:7: test test_ssh fails") || strings.Contains(got, "test_telnet") {
		t.Errorf("problems: %s", got)
	}
	if use["acme"] == nil || use["acme"].Hash != "" {
		t.Errorf("use = %+v; want a module that is not asked", use["acme"])
	}
}

// TestLastGoodModuleStays takes a good module, refused ones after it, and one that
// comes into quarantine.
func TestLastGoodModuleStays(t *testing.T) {
	s := running(t, sandbox.Options{Quick: 100 * time.Millisecond, Slow: 200 * time.Millisecond})
	good, _ := s.Take(modules(t, rego("acme", "deny if input.port == 23\n")))
	s.Took(good)
	for _, bad := range []string{"deny if http.send({})\n", "deny if data.tenants.globex.policy.deny\n", "deny if {}}\n"} {
		use, problems := s.Take(modules(t, rego("acme", bad)))
		if use["acme"] != good["acme"] || len(problems) < 2 || !strings.HasPrefix(problems[1], "tenants/acme/policy.rego:3: ") {
			t.Errorf("%q: use %v, problems %q; want the last good one", bad, use["acme"], problems)
		}
	}
	looping := modules(t, rego("acme", bombs["loop"]))
	use, problems := s.Take(looping)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s.Took(use)
	if a := s.Ask(query(use["acme"], 23)); a.Failed != policy.ReasonPolicyTimeout {
		t.Errorf("a loop answers %+v", a)
	}
	<-s.Changed()
	use, problems = s.Take(looping)
	if use["acme"].Hash != good["acme"].Hash || len(problems) < 2 || !strings.Contains(problems[1], "quarantine") {
		t.Errorf("after quarantine: use %v, problems %q; want the last good one", use["acme"], problems)
	}
	s.Took(use)
	if a := s.Ask(query(use["acme"], 23)); a.Deny.Rule == "" {
		t.Errorf("the last good module says %+v; want a deny", a)
	}
}

// BenchmarkAsk is what one question costs, from one asker and from many.
func BenchmarkAsk(b *testing.B) {
	s := running(b, sandbox.Options{})
	use, problems := s.Take(modules(b, rego("acme", "deny if input.port == 23\n\nallow_ingress if \"web\" in input.src.groups\n")))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	s.Took(use)
	b.Run("one asker", func(b *testing.B) {
		for i := range b.N {
			s.Ask(query(use["acme"], uint16(1000+i%1000)))
		}
	})
	b.Run("64 askers", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				s.Ask(query(use["acme"], 80))
			}
		})
	})
}

// BenchmarkEdit is the edit of one tenant's Rego among 1,000 tenants'.
func BenchmarkEdit(b *testing.B) {
	s := running(b, sandbox.Options{})
	files := map[string]string{}
	for i := range 1000 {
		for name, text := range rego(fmt.Sprintf("t%d", i), fmt.Sprintf("deny if input.port == %d\n", i)) {
			files[name] = text
		}
	}
	use, _ := s.Take(modules(b, files))
	s.Took(use)
	for i := 0; b.Loop(); i++ {
		files["tenants/t7/policy.rego"] = fmt.Sprintf("package tenants.t7.policy\n\ndeny if input.port == %d\n", i)
		use, problems := s.Take(modules(b, files))
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		s.Took(use)
		s.Ask(query(use["t7"], 80))
	}
}

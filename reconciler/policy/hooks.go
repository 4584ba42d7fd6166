package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// MaxTenantRego bounds the Rego of one tenant, in bytes. What exceeds it is
// refused with the tenant's name, and nobody else notices.
const MaxTenantRego = 128 << 10

// HookModule is the Rego of one tenant: its files, its tests, and the operator's
// library, as text. Nothing here says that it is any good.
type HookModule struct {
	Tenant string
	Hash   string // of all that follows: equal text has an equal Hash
	Files  []HookFile
	Lib    []HookFile
}

// HookFile is one file of Rego.
type HookFile struct{ Name, Text string }

// Long reports whether a module has more text than a tenant may have.
func (m *HookModule) Long() bool {
	n := 0
	for _, f := range m.Files {
		n += len(f.Text)
	}
	return n > MaxTenantRego
}

// HookEnd is an identity as a tenant's module sees it. Of another tenant's it has
// no Subnet and no Labels.
type HookEnd struct {
	Outside             bool
	Tenant, VPC, Subnet string
	Groups              []string
	Labels              map[string]string
}

// HookQuery asks the module of a tenant about one pair.
type HookQuery struct {
	Tenant, Hash string
	Src, Dst     HookEnd
	Proto        string
	Port         uint16
}

// HookHit is a rule of a module that holds; the zero HookHit is none.
type HookHit struct {
	Rule string // tenants.acme.policy.deny
	At   spec.Pos
}

// HookAnswer is what a tenant's module says of a query.
type HookAnswer struct {
	Deny, AllowIngress, AllowEgress HookHit

	// Failed is set if the module said nothing: ReasonPolicyError or
	// ReasonPolicyTimeout, and then the tenant's traffic is denied.
	Failed Reason
	Module string   // that failed: tenants.acme.policy
	At     spec.Pos // where
}

// Hooks asks tenants' modules. It is safe for concurrent use.
type Hooks interface {
	// Ask waits for the answer, which comes within a deadline.
	Ask(HookQuery) HookAnswer
}

// tenantHooks are the modules that a policy asks. The zero tenantHooks asks nobody
// and costs nothing.
type tenantHooks struct {
	hooks   Hooks // nil: nobody answers, so that what has a module is denied
	modules map[string]*HookModule
	answers *answers
}

// hookAnswers are the answers of src's tenant and of dst's; nil: it has no module,
// or is the same.
type hookAnswers struct{ src, dst *HookAnswer }

// nothing is the answer of a module that has nothing to say.
var nothing = HookAnswer{}

// maxAnswers bounds the answers that are kept.
const maxAnswers = 1 << 17

// answers are what modules answered. Unlike a cache it forgets nothing before it is full:
// a session whose answer is gone when everything is judged again would be cut.
type answers struct {
	mu    sync.RWMutex
	known map[decisionKey]*hookAnswers
}

func (a *answers) get(k decisionKey) *hookAnswers {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.known[k]
}

func (a *answers) put(k decisionKey, v *hookAnswers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxAnswers {
		for other := range a.known {
			delete(a.known, other)
			break
		}
	}
	a.known[k] = v
}

// UseHooks has p ask hooks about the tenants that have a module among modules; an
// empty Hash is a tenant whose Rego is not to be used, and whose traffic is denied.
// It must be called before the first decision: without it, all tenants that have
// Rego in the tree are denied.
func (p *Policy) UseHooks(hooks Hooks, modules map[string]*HookModule) {
	p.tenants = newTenantHooks(modules)
	p.tenants.hooks = hooks
}

func newTenantHooks(modules map[string]*HookModule) tenantHooks {
	if len(modules) == 0 {
		return tenantHooks{}
	}
	return tenantHooks{modules: modules, answers: &answers{known: map[decisionKey]*hookAnswers{}}}
}

// Hooked reports whether any tenant has Rego.
func (p *Policy) Hooked() bool { return len(p.tenants.modules) > 0 }

// hookHash is the hash of a tenant's module; "": it has none that is asked.
func (p *Policy) hookHash(tenant string) string {
	if m := p.tenants.modules[tenant]; m != nil {
		return m.Hash
	}
	return ""
}

// guarded reports whether the operator has Rego that stands above tenants'.
func (p *Policy) guarded() bool { return p.evaluator.guard.query != nil }

// HookModules returns the Rego of each tenant that has any, by its name.
func (p *Policy) HookModules() map[string]*HookModule { return p.tenants.modules }

// Unanswered reports whether Decide cannot answer q because a tenant's module has not
// been asked yet: Ask can.
func (p *Policy) Unanswered(q Query) bool {
	if !p.asked(q) {
		return false
	}
	key := q.key()
	return p.tenants.answers.get(key) == nil
}

// asked reports whether a tenant's module has a say about q.
func (p *Policy) asked(q Query) bool {
	t := p.tenants.modules
	return len(t) > 0 && (t[q.Src.Tenant] != nil || t[q.Dst.Tenant] != nil) && p.acquainted(q)
}

// acquainted reports whether isolation lets the two ends know of each other at all:
// what it does not is nobody's module's business.
func (p *Policy) acquainted(q Query) bool {
	if q.Src.Outside || q.Dst.Outside || q.Src.VPC == q.Dst.VPC {
		return true
	}
	return p.network.Peered(q.Src.VPC, q.Dst.VPC)
}

// answersTo returns what the modules of both ends say. If wait is nil, one that has not
// been asked fails with policy-timeout, which is not kept.
func (p *Policy) answersTo(q Query, wait Hooks) (a hookAnswers) {
	key := q.key()
	if known := p.tenants.answers.get(key); known != nil {
		return *known
	}
	ask := func(of *inventory.Identity) *HookAnswer {
		m := p.tenants.modules[of.Tenant]
		switch {
		case m == nil || of.Outside:
			return nil
		case m.Hash == "" || p.tenants.hooks == nil:
			return m.Failing(ReasonPolicyError)
		case wait == nil:
			return m.Failing(ReasonPolicyTimeout)
		}
		if answer := wait.Ask(p.hookQuery(m, q)); answer != (HookAnswer{}) {
			return &answer
		}
		return &nothing // most say
	}
	a.src = ask(q.Src)
	if a.dst = a.src; q.Dst.Tenant != q.Src.Tenant {
		a.dst = ask(q.Dst)
	}
	late := func(h *HookAnswer) bool { return h != nil && h.Failed == ReasonPolicyTimeout }
	if late(a.src) || late(a.dst) {
		return a
	}
	if key.src != 0 && key.dst != 0 {
		p.tenants.answers.put(key, &a)
	}
	return a
}

// Failing is the answer of a module that has none.
func (m *HookModule) Failing(why Reason) *HookAnswer {
	a := &HookAnswer{Failed: why, Module: "tenants." + m.Tenant + ".policy"}
	if len(m.Files) > 0 {
		a.At = spec.Pos{File: m.Files[0].Name, Line: 1}
	}
	return a
}

func (p *Policy) hookQuery(m *HookModule, q Query) HookQuery {
	return HookQuery{
		Tenant: m.Tenant, Hash: m.Hash, Src: hookEnd(m.Tenant, q.Src), Dst: hookEnd(m.Tenant, q.Dst),
		Proto: q.Proto.String(), Port: q.Port,
	}
}

// hookEnd is an identity as a tenant sees it.
func hookEnd(tenant string, id *inventory.Identity) HookEnd {
	switch {
	case id.Outside:
		return HookEnd{Outside: true}
	case id.Tenant != tenant:
		return HookEnd{Tenant: id.Tenant, VPC: string(id.VPC), Groups: id.Groups}
	}
	return HookEnd{Tenant: id.Tenant, VPC: string(id.VPC), Subnet: id.Subnet, Groups: id.Groups, Labels: id.Labels}
}

// hooksInput returns input.exceptions.hooks, of which input is the rest of the
// document; nil: nobody has anything to say. Only between two endpoints a module may
// open a side: towards the outside, and from there, only YAML does.
func (p *Policy) hooksInput(input *ast.Term, q Query, wait Hooks) *ast.Term {
	operator, failed := p.operatorInput(input)
	var a hookAnswers
	if p.asked(q) {
		a = p.answersTo(q, wait)
	}
	var deny []*ast.Term
	for i, h := range [...]*HookAnswer{a.dst, a.src} { // dst's is named first
		if h == nil || i == 1 && h == a.dst {
			continue
		}
		if h.Deny.Rule != "" {
			deny = append(deny, hitTerm(h.Deny))
		}
		if h.Failed != "" {
			failed = append(failed, failedTerm(h))
		}
	}
	items := a.allowing(q)
	if len(operator)+len(deny)+len(failed)+len(items) == 0 {
		return nil
	}
	items = append(items, pair("operator", ast.ArrayTerm(operator...)), pair("deny", ast.ArrayTerm(deny...)), pair("failed", ast.ArrayTerm(failed...)))
	return ast.ObjectTerm(items...)
}

// allowing returns the sides that modules open.
func (a hookAnswers) allowing(q Query) (items [][2]*ast.Term) {
	if q.Src.Outside || q.Dst.Outside {
		return nil
	}
	if a.dst != nil && a.dst.AllowIngress.Rule != "" {
		items = append(items, pair("allow_ingress", hitTerm(a.dst.AllowIngress)))
	}
	if a.src != nil && a.src.AllowEgress.Rule != "" {
		items = append(items, pair("allow_egress", hitTerm(a.src.AllowEgress)))
	}
	return items
}

func failedTerm(h *HookAnswer) *ast.Term {
	return ast.ObjectTerm(pair("reason", ast.StringTerm(string(h.Failed))),
		pair("rule", ast.StringTerm(h.Module)), pair("at", ast.StringTerm(h.At.String())))
}

func hitTerm(h HookHit) *ast.Term {
	return ast.ObjectTerm(pair("rule", ast.StringTerm(h.Rule)), pair("at", ast.StringTerm(h.At.String())), pair("log", ast.InternedTerm(false)))
}

// TenantModules returns the Rego of each tenant in a tree of policies: what stands
// below tenants/NAME/, tests included.
func TenantModules(tree fs.FS) (map[string]*HookModule, error) {
	if tree == nil || !hasDir(tree, "tenants") {
		return nil, nil
	}
	modules := map[string]*HookModule{}
	err := walkRego(tree, "tenants", func(name string) error {
		tenant, _, below := strings.Cut(strings.TrimPrefix(name, "tenants/"), "/")
		if !below {
			return fmt.Errorf("%s:1: Rego below tenants/ stands in its tenant's directory: tenants/NAME/%s", name, path.Base(name))
		}
		text, err := readTenantFile(tree, name)
		if err != nil {
			return err
		}
		m := modules[tenant]
		if m == nil {
			m = &HookModule{Tenant: tenant}
			modules[tenant] = m
		}
		m.Files = append(m.Files, HookFile{name, text})
		return nil
	})
	if err != nil || len(modules) == 0 {
		return nil, err
	}
	var lib []HookFile
	err = walkModules(tree, "lib", func(name string) error {
		text, err := readModule(tree, name, maxModules)
		lib = append(lib, HookFile{name, text})
		return err
	})
	for _, m := range modules {
		m.Lib = lib
		m.Hash = m.digest()
	}
	return modules, err
}

// readTenantFile reads one byte more than a tenant may have, so that Long tells.
func readTenantFile(tree fs.FS, name string) (string, error) {
	f, err := tree.Open(name)
	if err != nil {
		return "", fmt.Errorf("read policies: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxTenantRego+1))
	if err != nil {
		return "", fmt.Errorf("read policies: %s: %w", name, err)
	}
	return string(text), nil
}

func (m *HookModule) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d\n", m.Tenant, len(m.Files))
	for _, files := range [][]HookFile{m.Files, m.Lib} {
		for _, f := range files {
			fmt.Fprintf(h, "%q %d\n", f.Name, len(f.Text))
			io.WriteString(h, f.Text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

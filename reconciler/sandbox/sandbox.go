package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
)

// Options says how children are run.
type Options struct {
	// Child is the command that runs Serve under Confine.
	Child []string
	// Quick and Slow bound one answer in the two children. Defaults 50 ms, 250 ms.
	Quick, Slow time.Duration
	// Preflight bounds vetting, compiling and testing one module. Default 2 s.
	Preflight time.Duration
}

// Sandbox asks tenants' modules. It is safe for concurrent use; Run runs it.
type Sandbox struct {
	opts        Options
	quick, slow *lane
	changed     chan struct{} // capacity 1

	mu       sync.Mutex                    // guards the fields below
	taken    map[string]*policy.HookModule // by tenant: what is asked
	good     map[string]*policy.HookModule // by hash: passed preflight
	bad      map[string][]string           // by hash: why it is not used
	fallback map[string]*policy.HookModule // by tenant: the last that was good before the one that is taken
	slowly   map[string]bool               // hashes that overran once, or lag
}

// New returns a sandbox. No child is started before there is something to ask.
func New(o Options) *Sandbox {
	o.Quick = cmp.Or(o.Quick, 50*time.Millisecond)
	o.Slow = cmp.Or(o.Slow, 250*time.Millisecond)
	o.Preflight = cmp.Or(o.Preflight, 2*time.Second)
	s := &Sandbox{
		opts: o, changed: make(chan struct{}, 1),
		taken: map[string]*policy.HookModule{}, good: map[string]*policy.HookModule{},
		bad: map[string][]string{}, fallback: map[string]*policy.HookModule{}, slowly: map[string]bool{},
	}
	s.quick = &lane{
		command: o.Child, deadline: o.Quick, load: o.Slow, queue: make(chan question, maxQueued), waiting: turns{of: map[string][]question{}},
		failed: s.overranOnce, divert: s.divertSlow, lag: o.Quick / 50, lags: s.lags,
	}
	s.slow = &lane{
		command: o.Child, deadline: o.Slow, load: o.Preflight, queue: make(chan question, maxQueued), waiting: turns{of: map[string][]question{}},
		failed: s.overranAgain, divert: s.divertBad, fair: true,
	}
	return s
}

// Run serves Ask until ctx ends, and then ends the children.
func (s *Sandbox) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.quick.run(ctx) })
	wg.Go(func() { s.slow.run(ctx) })
	wg.Wait()
}

// Changed says when a module that Take returned has come into quarantine: Take
// returns another in its place.
func (s *Sandbox) Changed() <-chan struct{} { return s.changed }

// Take looks at the modules of a revision, by tenant, and returns for each the one
// that is to be asked: it, or the tenant's last good one, or one without a Hash,
// which is nobody. problems says of each that is not used why not, FILE:LINE: TEXT.
// Took says that the revision is in force.
func (s *Sandbox) Take(modules map[string]*policy.HookModule) (use map[string]*policy.HookModule, problems []string) {
	names := slices.Sorted(maps.Keys(modules))
	s.preflight(names, modules)
	s.mu.Lock()
	defer s.mu.Unlock()
	use = make(map[string]*policy.HookModule, len(modules))
	for _, tenant := range names {
		m := modules[tenant]
		why, refused := s.bad[m.Hash]
		if !refused {
			if s.good[m.Hash] == nil { // forgotten meanwhile, by a revision that came into force
				s.good[m.Hash] = m
			}
			use[tenant] = s.good[m.Hash]
			continue
		}
		last, stays := s.lastGood(tenant), "its last good Rego stays"
		if last == nil {
			last, stays = &policy.HookModule{Tenant: tenant, Files: m.Files}, "it has none that is good, so all of its traffic is denied"
		}
		use[tenant] = last
		problems = append(problems, fmt.Sprintf("%s:1: the Rego of tenant %s is not used; %s", m.Files[0].Name, tenant, stays))
		problems = append(problems, why...)
	}
	return use, problems
}

// lastGood returns the last module of a tenant that was in force and is not in
// quarantine; nil: there is none.
func (s *Sandbox) lastGood(tenant string) *policy.HookModule {
	for _, m := range []*policy.HookModule{s.taken[tenant], s.fallback[tenant]} {
		if m != nil && s.bad[m.Hash] == nil {
			return m
		}
	}
	return nil
}

// Took takes note that what Take returned is in force.
func (s *Sandbox) Took(use map[string]*policy.HookModule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := map[string]bool{}
	taken, fallback := map[string]*policy.HookModule{}, map[string]*policy.HookModule{}
	for tenant, m := range use {
		last := s.taken[tenant]
		if last == nil || last.Hash == m.Hash || s.bad[last.Hash] != nil {
			last = s.fallback[tenant]
		}
		if last != nil {
			fallback[tenant], keep[last.Hash] = last, true
		}
		if m.Hash != "" {
			taken[tenant], keep[m.Hash] = m, true
		}
	}
	s.taken, s.fallback = taken, fallback
	maps.DeleteFunc(s.good, func(hash string, _ *policy.HookModule) bool { return !keep[hash] })
	maps.DeleteFunc(s.slowly, func(hash string, _ bool) bool { return !keep[hash] })
	if len(s.bad) > maxBad {
		clear(s.bad) // they will be found bad again
	}
}

// maxBad is how many refused modules are known, so that they aren't tried again.
const maxBad = 10_000

// preflight tries what is not known yet, one module after the other in one child
// while that survives.
func (s *Sandbox) preflight(names []string, modules map[string]*policy.HookModule) {
	var child *process
	defer func() {
		if child != nil {
			child.kill()
		}
	}()
	for _, tenant := range names {
		m := modules[tenant]
		if s.known(m.Hash) {
			continue
		}
		var why []string
		if child == nil {
			var err error
			if child, err = start(s.opts.Child); err != nil {
				s.note(m, []string{fmt.Sprintf("%s:1: %v", m.Files[0].Name, err)})
				continue
			}
		}
		r, err := try(child, m, s.opts.Preflight)
		if why = r.Problems; err != nil {
			child.kill()
			child = nil
			why = []string{fmt.Sprintf("%s:1: the Rego of tenant %s %s", m.Files[0].Name, tenant, ended(err, s.opts.Preflight))}
		}
		s.note(m, why)
	}
}

// try has a child look at a module.
func try(p *process, m *policy.HookModule, within time.Duration) (reply, error) {
	if err := p.send(&request{Load: m, Test: true}); err != nil {
		return reply{}, err
	}
	if err := p.flush(); err != nil {
		return reply{}, err
	}
	return p.receive(within)
}

// ended says in words how a child ended.
func ended(err error, within time.Duration) string {
	if overran(err) {
		return fmt.Sprintf("was killed after %s: it takes too long", within)
	}
	return "took more memory than it may have, and was killed"
}

func (s *Sandbox) known(hash string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, bad := s.bad[hash]
	return bad || s.good[hash] != nil
}

// note notes what came of a module; why is nil if it is good.
func (s *Sandbox) note(m *policy.HookModule, why []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(why) > 0 {
		s.bad[m.Hash] = why
		return
	}
	s.good[m.Hash] = m
}

// Ask returns what a tenant's module says; policy-timeout if that takes too long or it
// is in quarantine.
func (s *Sandbox) Ask(q policy.HookQuery) policy.HookAnswer {
	s.mu.Lock()
	m, slowly, bad := s.good[q.Hash], s.slowly[q.Hash], s.bad[q.Hash] != nil
	s.mu.Unlock()
	if m == nil || bad {
		unknown := policy.HookModule{Tenant: q.Tenant}
		if m != nil {
			unknown = *m
		}
		return *unknown.Failing(policy.ReasonPolicyTimeout)
	}
	l := s.quick
	if slowly {
		l = s.slow
	}
	one := question{q: &q, module: m, answer: make(chan policy.HookAnswer, 1), since: time.Now()}
	if !l.add(one) {
		return *m.Failing(policy.ReasonPolicyTimeout)
	}
	select {
	case a := <-one.answer:
		return a
	case <-time.After(maxWait):
		return *m.Failing(policy.ReasonPolicyTimeout)
	}
}

// Slow reports whether the module with this hash is asked in the child for slow ones,
// where an answer may take long to come.
func (s *Sandbox) Slow(hash string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slowly[hash]
}

// lags has a module asked in the slow child from now on.
func (s *Sandbox) lags(m *policy.HookModule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowly[m.Hash] = true
}

// maxWait bounds an Ask, whatever waits before it.
const maxWait = 3 * time.Second

// add queues a question, and reports whether there was room.
func (l *lane) add(q question) bool {
	select {
	case l.queue <- q:
		return true
	default:
		return false
	}
}

// overranOnce gives a module that overran in the quick child its second chance.
func (s *Sandbox) overranOnce(q question, _ error) {
	s.mu.Lock()
	s.slowly[q.module.Hash] = true
	s.mu.Unlock()
	if !s.slow.add(q) {
		q.late()
	}
}

// divertSlow takes a question out of the quick child's queue whose module overran
// meanwhile. It is late, and not moved: who asked it waits in a row with others, and
// comes again.
func (s *Sandbox) divertSlow(q question) bool {
	slowly := s.Slow(q.module.Hash)
	if slowly {
		q.late()
	}
	return slowly
}

// divertBad answers a question whose module came into quarantine meanwhile.
func (s *Sandbox) divertBad(q question) bool {
	s.mu.Lock()
	bad := s.bad[q.module.Hash] != nil
	s.mu.Unlock()
	if bad {
		q.late()
	}
	return bad
}

// overranAgain puts a module into quarantine.
func (s *Sandbox) overranAgain(q question, err error) {
	s.mu.Lock()
	s.bad[q.module.Hash] = []string{fmt.Sprintf("%s:1: in quarantine: a question to the Rego of tenant %s %s",
		q.module.Files[0].Name, q.module.Tenant, ended(err, s.opts.Slow))}
	s.mu.Unlock()
	q.late()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

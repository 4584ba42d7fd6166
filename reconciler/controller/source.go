package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/revisions"
	"github.com/daolinet/daolinet/reconciler/sandbox"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// watch takes each new revision of the source: all of it, or none of it and the
// last good one stays, also over a restart.
func (c *Controller) watch(ctx context.Context) error {
	updates, err := c.updates(ctx)
	if err != nil {
		return err
	}
	loader := Loader{Sandbox: c.sandbox}
	for {
		var u gitsource.Update
		var more bool
		select {
		case u, more = <-updates:
		case <-c.sandbox.Changed():
			c.noticed = time.Now()
			c.retake(ctx, &loader)
			continue
		}
		if !more {
			return ctx.Err()
		}
		c.noticed = time.Now()
		if u.Err != nil {
			c.refuse(ctx, nil, []string{u.Err.Error()})
		} else if errs := c.take(ctx, &loader, u.Revision); len(errs) > 0 {
			c.refuse(ctx, &u.Revision, errs)
		} else {
			continue
		}
		c.fallBack(ctx, &loader)
	}
}

// retake makes the revision active again that is so, with what is to be asked now that
// a tenant's module has come into quarantine.
func (c *Controller) retake(ctx context.Context, loader *Loader) {
	if c.taken == nil {
		return
	}
	if errs := c.take(ctx, loader, *c.taken); len(errs) > 0 {
		c.log.LogAttrs(ctx, slog.LevelError, "revision can't be taken up again without a tenant's Rego", slog.Any("err", errors.New(strings.Join(errs, "\n"))))
	}
}

// updates follows the source.
func (c *Controller) updates(ctx context.Context) (<-chan gitsource.Update, error) {
	if c.cfg.Git == nil {
		return gitsource.Watch(ctx, c.cfg.Specs, c.cfg.Policies, gitsource.Options{})
	}
	o := *c.cfg.Git
	o.InForce = c.history.inForce
	return gitsource.WatchGit(ctx, o), nil
}

// take makes a revision the active one, or says why not.
func (c *Controller) take(ctx context.Context, loader *Loader, r gitsource.Revision) []string {
	loaded, errs := loader.Load(time.Now(), r, func(n *spec.Network) []*inventory.Identity { return c.observed(ctx, n) })
	if len(errs) > 0 {
		return errs
	}
	c.taken = &r
	c.activate(ctx, loaded, r)
	return nil
}

// fallBack makes the revision active that was so before this controller started, if
// there is none yet: the source is broken, and what was good last stays in force.
func (c *Controller) fallBack(ctx context.Context, loader *Loader) {
	none := false
	if c.ask(ctx, func() { none = c.revision.ID == "" }) != nil || !none {
		return
	}
	r, err := c.history.latest()
	if errors.Is(err, revisions.ErrUnknown) {
		return // it never had any
	}
	if err == nil {
		if errs := c.take(ctx, loader, r); len(errs) > 0 {
			err = errors.New(strings.Join(errs, "\n"))
		}
	}
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelError, "last good revision can't be taken up again", slog.Any("err", err))
	}
}

// Loaded is a revision that may become active, and what is odd about it.
type Loaded struct {
	Policy   *policy.Policy // nil: the revision is refused
	Warnings []spec.Problem
	// Tenants says which tenants' Rego is not used, and why, each FILE:LINE: TEXT.
	Tenants []string

	trial *trial // over once the policy is in force; nil: it asks nobody
}

// Load validates and compiles a revision and checks its Assertions at the time
// now, over the identities that observed returns for its network as well; nil is
// none. What is wrong comes as lines of FILE:LINE: TEXT, and then Loaded has the
// warnings that were found until then and no Policy.
func Load(now time.Time, r gitsource.Revision, observed func(*spec.Network) []*inventory.Identity) (*Loaded, []string) {
	return try(now, r, nil, observed)
}

// Loader is Load for one revision after another: what an edit doesn't touch is
// taken from the last one that was good. The zero Loader is ready. It is not
// safe for concurrent use.
type Loader struct {
	// Sandbox asks tenants' Rego; nil: the traffic of tenants that have any is denied.
	Sandbox *sandbox.Sandbox

	specs spec.Loader
	last  *policy.Policy
}

// Load is as the function Load.
func (l *Loader) Load(now time.Time, r gitsource.Revision, observed func(*spec.Network) []*inventory.Identity) (*Loaded, []string) {
	network, found := l.specs.Load(r.Specs)
	h := hooked{sandbox: l.Sandbox}
	loaded, errs := finish(now, network, found, observed, func() (*policy.Policy, error) {
		compile := policy.Compile
		if l.last != nil {
			compile = l.last.Recompile
		}
		return h.compile(compile, network, r)
	})
	loaded.trial = h.trial
	if loaded.Tenants = h.unused; len(errs) == 0 {
		l.last = loaded.Policy
		if l.Sandbox != nil {
			l.Sandbox.Took(h.use)
		}
	}
	return loaded, errs
}

// try is Load of a revision that is only asked about, with tenants' Rego in s, unless
// that is nil.
func try(now time.Time, r gitsource.Revision, s *sandbox.Sandbox, observed func(*spec.Network) []*inventory.Identity) (*Loaded, []string) {
	network, found := spec.Load(r.Specs)
	h := hooked{sandbox: s}
	return finish(now, network, found, observed, func() (*policy.Policy, error) { return h.compile(policy.Compile, network, r) })
}

// hooked compiles policies that ask a sandbox, unless it is nil, about tenants' Rego.
type hooked struct {
	sandbox *sandbox.Sandbox
	use     map[string]*policy.HookModule
	unused  []string
	trial   *trial
}

func (h *hooked) compile(
	compile func(string, *spec.Network, fs.FS) (*policy.Policy, error), network *spec.Network, r gitsource.Revision,
) (*policy.Policy, error) {
	p, err := compile(r.ID, network, r.Policies)
	if err == nil && h.sandbox != nil && p.Hooked() {
		h.use, h.unused = h.sandbox.Take(p.HookModules())
		h.trial = newTrial(h.sandbox)
		p.UseHooks(h.trial, h.use)
	}
	return p, err
}

// finish makes a loaded network a revision.
func finish(
	now time.Time, network *spec.Network, found []spec.Problem,
	observed func(*spec.Network) []*inventory.Identity, compile func() (*policy.Policy, error),
) (*Loaded, []string) {
	errs, warnings := split(found)
	if len(errs) > 0 {
		return &Loaded{Warnings: warnings}, errs
	}
	pol, err := compile()
	if err != nil {
		return &Loaded{Warnings: warnings}, strings.Split(err.Error(), "\n")
	}
	var seen []*inventory.Identity
	if observed != nil {
		seen = observed(network)
	}
	broken, more := split(pol.CheckAssertions(now, seen))
	warnings = append(warnings, more...)
	if len(broken) > 0 {
		return &Loaded{Warnings: warnings}, broken
	}
	return &Loaded{Policy: pol, Warnings: warnings}, nil
}

// split parts errors, as lines, from warnings.
func split(problems []spec.Problem) (errs []string, warnings []spec.Problem) {
	for _, p := range problems {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p.String())
		}
	}
	return errs, warnings
}

// trial is the network as it would be seen under another desired state, with
// identities of in; nil: the engine's own. Hosts may report while it is made, so
// it is only good for what may be a little old.
func (c *Controller) trial(ctx context.Context, in *inventory.Interner, n *spec.Network) (*inventory.Snapshot, error) {
	var reports []inventory.HostReport
	err := c.ask(ctx, func() {
		reports = c.engine.Reports()
		if in == nil {
			in = c.engine.Interner()
		}
	})
	if err != nil {
		return nil, err
	}
	snap, _ := inventory.Build(in, n, reports)
	return snap, nil
}

// observed returns the identities of the endpoints seen now, each once, as they
// would be in a network; none when the controller ends. They have no numbers:
// a revision that is refused must leave nothing behind.
func (c *Controller) observed(ctx context.Context, n *spec.Network) []*inventory.Identity {
	snap, err := c.trial(ctx, inventory.NewInterner(), n)
	if err != nil {
		return nil
	}
	return snap.Identities()
}

// activate makes a compiled revision the active one. Its cache gets the answers
// for the live sessions first, asked as the identities that their ends will have
// under it, so that the swap itself is short.
func (c *Controller) activate(ctx context.Context, l *Loaded, r gitsource.Revision) {
	pol := l.Policy
	if !c.warmUp(ctx, pol) {
		return
	}
	if l.trial != nil {
		l.trial.over.Store(true)
	}
	now := time.Now()
	active := api.RevisionStatus{
		ID: pol.Revision(), Commit: commitOf(&r), Since: now, Files: countFiles(r.Specs), Warnings: lines(l.Warnings), Tenants: l.Tenants,
	}
	c.history.activated(r, active)
	seen := c.noticed
	c.do(func() {
		active.Refused = c.refusedOther(&r)
		c.revision = active
		c.step(engine.RevisionLoaded{Policy: pol, Seen: seen})
		c.networksChanged()
		c.log.LogAttrs(ctx, slog.LevelInfo, "revision activated", slog.String("revision", pol.Revision()), slog.Int("files", active.Files))
		if len(active.Tenants) > 0 {
			c.log.LogAttrs(ctx, slog.LevelWarn, "tenants' rego is not used", slog.String("revision", pol.Revision()),
				slog.Any("err", errors.New(strings.Join(active.Tenants, "\n"))))
		}
		if len(active.Warnings) > 0 {
			c.log.LogAttrs(ctx, slog.LevelWarn, "revision has warnings", slog.String("revision", pol.Revision()),
				slog.Any("err", errors.New(strings.Join(active.Warnings, "\n"))))
		}
	})
}

// refusedOther returns what was refused, if that is what a revision is taken up again
// for: the last good one, while the source is broken at a start.
func (c *Controller) refusedOther(r *gitsource.Revision) *api.RefusedRevision {
	if c.revision.ID == "" && c.revision.Refused != nil && c.revision.Refused.ID != r.ID {
		return c.revision.Refused
	}
	return nil
}

// maxWarnings is how many warnings of a revision are kept as lines.
const maxWarnings = 100

func lines(warnings []spec.Problem) []string {
	var out []string
	for i, w := range warnings {
		if i == maxWarnings {
			return append(out, fmt.Sprintf("and %d more; see them with daoli-reconcile validate", len(warnings)-i))
		}
		out = append(out, w.String())
	}
	return out
}

// maxWarmings bounds how often a policy is asked about sessions that opened while it was
// asked about those before.
const maxWarmings = 4

// warmUp asks pol about the live sessions, and reports whether the controller still
// runs. Where tenants' modules must answer, a session that pol knows nothing of would be
// cut by the swap; so those that open meanwhile have their turn too.
func (c *Controller) warmUp(ctx context.Context, pol *policy.Policy) bool {
	known := map[session.Key]bool{}
	for range maxWarmings {
		var keys []session.Key
		if err := c.ask(ctx, func() { keys = c.engine.Sessions().Keys() }); err != nil {
			return false
		}
		keys = slices.DeleteFunc(keys, func(k session.Key) bool { return known[k] })
		if len(keys) == 0 && len(known) > 0 {
			return true
		}
		snap, err := c.trial(ctx, nil, pol.Network())
		if err != nil {
			return false
		}
		warm(snap, pol, time.Now(), keys)
		if !pol.Hooked() || len(keys) == 0 {
			return true
		}
		for _, k := range keys {
			known[k] = true
		}
	}
	return true
}

// warm asks a policy what live sessions will ask of it.
func warm(snap *inventory.Snapshot, pol *policy.Policy, now time.Time, keys []session.Key) {
	for _, k := range keys {
		client := snap.EndpointByAddr(k.Client.VPC, k.Client.IP)
		server := snap.EndpointByAddr(k.Server.VPC, k.Server.IP)
		if client != nil && server != nil {
			admission.Between(asking{pol}, now, client, server, k.Proto, k.Port)
		}
	}
}

// refuse notes why what the source holds is not active; r is nil if it could not be
// read.
func (c *Controller) refuse(ctx context.Context, r *gitsource.Revision, lines []string) {
	refused := api.RefusedRevision{At: time.Now(), Problems: lines}
	if r != nil {
		refused.ID, refused.Commit = r.ID, commitOf(r)
		c.history.refused(refused)
	}
	c.do(func() {
		c.revision.Refused = &refused
		c.log.LogAttrs(ctx, slog.LevelError, "revision refused, the last good one stays",
			slog.String("revision", c.revision.ID), slog.Any("err", errors.New(strings.Join(lines, "\n"))))
	})
}

// commitOf is what is told of a revision's commit; nil: it has none.
func commitOf(r *gitsource.Revision) *api.Commit {
	if r.Commit == nil {
		return nil
	}
	c := api.Commit(*r.Commit)
	return &c
}

func countFiles(fsys fs.FS) int {
	n := 0
	err := fs.WalkDir(fsys, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("walk a tree in memory: %v", err))
	}
	return n
}

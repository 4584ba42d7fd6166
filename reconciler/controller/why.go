package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Why says what a revision decides about a pair, as admission does for a packet.
func (b *backend) Why(ctx context.Context, q api.Pair) (api.Why, error) {
	c := (*Controller)(b)
	proto, err := protoOf(q.Proto)
	if err != nil {
		return api.Why{}, err
	}
	var w question
	if q.Revision == "" {
		w, err = c.askingNow(ctx)
	} else {
		w, err = c.askingRevision(ctx, q.Revision)
	}
	if err != nil {
		return api.Why{}, err
	}
	var from, to whyEnd
	if from, err = endFor(w.snap, q.From); err != nil {
		return api.Why{}, err
	}
	if to, err = endFor(w.snap, q.To); err != nil {
		return api.Why{}, err
	}
	if from.endpoint == nil && to.endpoint == nil {
		return api.Why{}, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("%s and %s are both addresses", q.From, q.To), Hint: "name a container at one end"}
	}
	now := time.Now()
	out := api.Why{Proto: q.Proto, Port: q.Port, Commit: w.commit}
	out.Decision, out.Lines, to = w.ask(now, from, to, proto, uint16(q.Port))
	out.From, out.To = from.shown(), to.shown()
	if q.Revision == "" && from.endpoint != nil && to.endpoint != nil {
		err = c.ask(ctx, func() { out.Session = c.liveSession(from.endpoint, to.endpoint, proto, uint16(q.Port)) })
	}
	return out, err
}

// liveSession shows the session of a pair, if it lives.
func (c *Controller) liveSession(client, server *inventory.Endpoint, proto packet.Proto, port uint16) *api.Session {
	s := c.engine.Sessions().Find(session.Key{
		Client: inventory.AddrKey{VPC: client.VPC, IP: client.IP}, Server: inventory.AddrKey{VPC: server.VPC, IP: server.IP},
		Proto: proto, Port: port,
	})
	if s == nil {
		return nil
	}
	live := c.session(s)
	return &live
}

// question is a revision that is asked why, and the network seen now as it is under
// that. It is a policy that remembers the last query.
type question struct {
	*policy.Policy
	snap   *inventory.Snapshot
	commit *api.Commit
	query  *policy.Query
}

// Decide is the policy's.
func (w *question) Decide(now time.Time, q policy.Query) policy.Decision {
	w.query = &q
	return w.Ask(now, q)
}

// askingNow asks the active revision.
func (c *Controller) askingNow(ctx context.Context) (w question, err error) {
	err = c.ask(ctx, func() {
		w.snap, w.commit = c.engine.Snapshot(), c.revision.Commit
		w.Policy, _ = c.engine.Policy().(*policy.Policy)
	})
	if err == nil && w.Policy == nil {
		err = &api.Error{Code: api.CodeNotFound, Message: "no revision is active", Hint: "daolictl status says what is wrong with the newest"}
	}
	return w, err
}

// askingRevision asks one that was in force.
func (c *Controller) askingRevision(ctx context.Context, name string) (w question, err error) {
	id, err := c.history.find(name)
	if err != nil {
		return w, err
	}
	r, err := c.history.load(id)
	if err != nil {
		return w, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("revision %s is no longer stored", id), Hint: fmt.Sprintf("the last %d are kept", keptRevisions)}
	}
	network, found := spec.Load(r.Specs)
	if errs, _ := split(found); len(errs) > 0 {
		return w, fmt.Errorf("load revision %s: %w", id, errors.New(strings.Join(errs, "\n")))
	}
	h := hooked{sandbox: c.sandbox}
	if w.Policy, err = h.compile(policy.Compile, network, r); err != nil {
		return w, fmt.Errorf("compile revision %s: %w", id, err)
	}
	w.commit = commitOf(&r)
	w.snap, err = c.trial(ctx, inventory.NewInterner(), network)
	return w, err
}

// find returns the id of the revision that was in force and whose id, digest or
// commit begins with name.
func (h *history) find(name string) (string, error) {
	var ids []string
	seen := map[string]bool{}
	for _, r := range h.list() {
		if r.Begins(name) && r.State != api.RevisionRefused && !seen[r.ID] {
			seen[r.ID] = true
			ids = append(ids, r.ID)
		}
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no revision %q was in force", name), Hint: "daolictl get revisions lists them"}
	}
	return "", &api.Error{Code: api.CodeAmbiguous, Message: fmt.Sprintf("%q begins several revisions", name), Hint: "say which: " + strings.Join(ids, ", ")}
}

// whyEnd is an end of a question: an endpoint, or an address.
type whyEnd struct {
	endpoint *inventory.Endpoint
	addr     netip.Addr
}

func endFor(snap *inventory.Snapshot, text string) (whyEnd, error) {
	e, err := find(snap, text)
	if err == nil {
		return whyEnd{endpoint: e}, nil
	}
	if addr, perr := netip.ParseAddr(text); perr == nil && addr.Is4() {
		return whyEnd{addr: addr}, nil
	}
	return whyEnd{}, err
}

func (e whyEnd) shown() api.End {
	if e.endpoint != nil {
		return endOf(e.endpoint)
	}
	return api.End{Name: "outside", IP: e.addr.String()}
}

// ask decides, says why, and returns whom the destination is to its sender.
func (w *question) ask(now time.Time, from, to whyEnd, proto packet.Proto, port uint16) (api.Decision, []string, whyEnd) {
	var d policy.Decision
	outside := to.addr
	switch {
	case from.endpoint == nil:
		outside = from.addr
		d = admission.FromAddress(w.snap, w, now, from.addr, to.endpoint, proto, port)
	case to.endpoint == nil:
		d, to.endpoint = admission.ToAddress(w.snap, w, now, from.endpoint, to.addr, proto, port)
	default:
		d = admission.Between(w, now, from.endpoint, to.endpoint, proto, port)
	}
	if w.query == nil {
		return decisionOf(d), []string{matrix.ExplainAddress(d, outside)}, to
	}
	return decisionOf(d), w.Explain(now, *w.query), to
}

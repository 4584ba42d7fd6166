package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/session"
)

// Receipts lists what was cut lately.
func (b *backend) Receipts(ctx context.Context) ([]api.Receipt, error) {
	c := (*Controller)(b)
	var kept []engine.Receipt
	if err := c.ask(ctx, func() { kept = c.engine.Receipts() }); err != nil {
		return nil, err
	}
	commits := c.history.commits()
	out := make([]api.Receipt, 0, len(kept))
	for i := range kept {
		out = append(out, receiptOf(&kept[i], commits))
	}
	return out, nil
}

// KillSession ends a live session.
func (b *backend) KillSession(ctx context.Context, id uint64) (api.Receipt, error) {
	c := (*Controller)(b)
	var kept []engine.Receipt
	found := false
	err := c.ask(ctx, func() {
		s := c.engine.Sessions().Get(id)
		if found = s != nil; !found {
			return
		}
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "session killed", sessionAttrs(s)...)
		c.step(engine.SessionKilled{ID: id})
		kept = c.engine.Receipts()
	})
	switch {
	case err != nil:
		return api.Receipt{}, err
	case !found:
		return api.Receipt{}, &api.Error{
			Code: api.CodeNotFound, Message: fmt.Sprintf("no session %#x lives", id), Hint: "daolictl sessions -o json shows the IDs of those that do",
		}
	case len(kept) == 0 || kept[0].Cause != engine.CauseKill:
		return api.Receipt{}, fmt.Errorf("session %#x was killed without a receipt", id)
	}
	return receiptOf(&kept[0], c.history.commits()), nil
}

// commits returns the commits of the revisions that the history knows, by ID.
func (h *history) commits() map[string]*api.Commit {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]*api.Commit, len(h.records))
	for _, r := range h.records {
		if r.Commit != nil {
			out[r.ID] = r.Commit
		}
	}
	return out
}

func receiptOf(r *engine.Receipt, commits map[string]*api.Commit) api.Receipt {
	out := api.Receipt{
		ID: r.ID, Cause: string(r.Cause), Host: r.Host, Revision: r.Revision, Commit: commits[r.Revision],
		Seen: r.Seen, Cut: r.At, Done: r.Done(), Count: r.Count,
	}
	if last := r.Last(); !last.IsZero() {
		out.TookSeconds = last.Sub(r.Seen).Seconds()
	}
	for _, s := range r.Cuts {
		cut := api.CutSession{
			ID: fmt.Sprintf("%#x", s.ID), From: cutEnd(s.From), To: cutEnd(s.To), Proto: protoName(s.Proto), Port: int(s.Port),
			Opened: s.Opened, Why: string(s.Why),
		}
		if s.Why == session.EndPolicy {
			d := decisionOf(s.Now)
			cut.Decision = &d
		}
		out.Sessions = append(out.Sessions, cut)
	}
	for _, h := range r.Hosts {
		one := api.ReceiptHost{
			Name: h.Name, DPID: fmt.Sprintf("%016x", h.DPID), Sessions: h.Sessions, State: string(h.State), Since: h.Since, Err: h.Err,
		}
		if h.State == engine.CutConfirmed {
			took := h.Since.Sub(r.Seen).Seconds()
			one.TookSeconds = &took
		}
		out.Hosts = append(out.Hosts, one)
	}
	return out
}

func cutEnd(e engine.CutEnd) api.End {
	return api.End{Name: string(e.Endpoint.VPC) + "/" + e.Endpoint.Name, IP: e.IP.String(), Host: e.Host}
}

// logReceipt tells that all hosts of a receipt have confirmed.
func (c *Controller) logReceipt(r *engine.Receipt) {
	c.log.LogAttrs(c.ctx, slog.LevelInfo, "sessions cut", slog.Uint64("receipt", r.ID), slog.String("cause", string(r.Cause)),
		slog.Int("count", r.Count), slog.Int("hosts", len(r.Hosts)), slog.Duration("took", time.Since(r.Seen)), slog.String("revision", r.Revision))
}

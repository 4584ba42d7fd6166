package controller

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/revisions"
)

const (
	keptRevisions = 100 // that were in force, with their files, over restarts
	keptRefusals  = 100 // since the start
)

// history is what was in force and what was refused. Storing is done by a goroutine
// of its own: an edit is in force before it is on disk.
type history struct {
	mu      sync.Mutex // guards the fields below
	store   *revisions.Store
	commit  string // the last that became active; "": it had none
	records []api.Revision
	toStore []stored
	wake    chan struct{} // capacity 1
}

type stored struct {
	revision gitsource.Revision
	status   api.RevisionStatus
}

func openHistory(dir string) (*history, error) {
	s, err := revisions.Open(filepath.Join(dir, "revisions"), keptRevisions)
	if err != nil {
		return nil, err
	}
	h := &history{store: s, wake: make(chan struct{}, 1)}
	for _, r := range s.Records() {
		one := api.Revision{ID: r.ID, At: r.Since, State: api.RevisionActive}
		if h.commit = ""; r.Commit != nil {
			c := api.Commit(*r.Commit)
			one.Commit, h.commit = &c, c.Hash
		}
		h.records = append(h.records, one)
	}
	return h, nil
}

// inForce returns the commit that became active last, "" if there is none.
func (h *history) inForce() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.commit
}

// latest returns the revision that was active last, as stored.
func (h *history) latest() (gitsource.Revision, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store.Latest()
}

// activated notes that a revision became active.
func (h *history) activated(r gitsource.Revision, st api.RevisionStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commit = ""; st.Commit != nil {
		h.commit = st.Commit.Hash
	}
	h.note(api.Revision{ID: st.ID, Commit: st.Commit, At: st.Since, State: api.RevisionActive})
	h.toStore = append(h.toStore, stored{r, st})
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// refused notes that a revision did not become active.
func (h *history) refused(r api.RefusedRevision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(api.Revision{ID: r.ID, Commit: r.Commit, At: r.At, State: api.RevisionRefused, Problems: r.Problems})
}

// note appends a record, unless it says again what the last one says.
func (h *history) note(r api.Revision) {
	if n := len(h.records); n > 0 && h.records[n-1].ID == r.ID && h.records[n-1].State == r.State {
		return
	}
	h.records = append(h.records, r)
	if len(h.records) > keptRevisions+keptRefusals {
		h.records = slices.Delete(h.records, 0, 1)
	}
}

// list returns all records, the newest first; of those that were active only the
// last is.
func (h *history) list() []api.Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(h.records)
	slices.Reverse(out)
	active := true
	for i := range out {
		if out[i].State == api.RevisionActive {
			if !active {
				out[i].State = api.RevisionPast
			}
			active = false
		}
	}
	return out
}

// run stores what became active until ctx ends, and then what is left.
func (h *history) run(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			h.save(log)
			return
		case <-h.wake:
			h.save(log)
		}
	}
}

// save stores what waits. Of several only the last is kept whole: what was active for
// so short a time decided nothing that anybody asks for.
func (h *history) save(log *slog.Logger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.toStore); n > 0 {
		last := h.toStore[n-1]
		h.toStore = nil
		if err := h.store.Save(last.revision, last.status.Since); err != nil {
			log.LogAttrs(context.Background(), slog.LevelError, "revision was not stored", slog.String("revision", last.status.ID), slog.Any("err", err))
		}
	}
}

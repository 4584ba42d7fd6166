package sandbox

import "time"

// turns are questions that wait, which come out in turn over the tenants: one that
// asks much waits for itself.
type turns struct {
	of    map[string][]question // by tenant
	order []string              // tenants that have any, the next first
	n     int
}

func (w *turns) add(q question) {
	t := q.q.Tenant
	if len(w.of[t]) == 0 {
		w.order = append(w.order, t)
	}
	w.of[t] = append(w.of[t], q)
	w.n++
}

// next takes the next one; there must be one.
func (w *turns) next() question {
	t := w.order[0]
	w.order = w.order[1:]
	q := w.of[t][0]
	if w.of[t] = w.of[t][1:]; len(w.of[t]) > 0 {
		w.order = append(w.order, t)
	} else {
		delete(w.of, t)
	}
	w.n--
	return q
}

// pace is what a module's answers take on the whole.
type pace map[string]time.Duration // by hash

// took notes one more, and returns what they take: a mean of the last sixteen or so,
// which one that was stopped in between doesn't change much.
func (p pace) took(hash string, d time.Duration) time.Duration {
	p[hash] += (d - p[hash]) / 16
	return p[hash]
}

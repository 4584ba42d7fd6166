package names

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// askWait bounds a question to the controller.
const askWait = time.Second

// awayFor is how long after a question that no controller answered those about
// names with an old answer don't wait for one.
const awayFor = time.Second

// errAway says that nobody could say what a name means.
var errAway = errors.New("no controller says what the name means")

// meanings knows what names mean: from the controller, or as long as none answers
// from what one said last.
type meanings struct {
	ask   func(ctx context.Context, vpc, name string) (Answer, error)
	cache cache

	mu      sync.Mutex // guards the following fields
	flights map[key]*flight
	away    time.Time // until then nobody is waited for
	settles time.Time // until then "no such name" ends no name that was there
}

// flight is a question under way that several may wait for.
type flight struct {
	done   chan struct{}
	answer Answer
	err    error
}

// known returns what a name means if it need not be asked.
func (m *meanings) known(now time.Time, k key) (Answer, bool) {
	if !hostpb.ValidDNSName(k.name) {
		return Answer{}, true // we have no such names
	}
	a, fresh, _ := m.cache.get(now, k)
	return a, fresh
}

// of returns what a name means, or errAway.
func (m *meanings) of(ctx context.Context, k key) (Answer, error) {
	now := time.Now()
	if a, ok := m.known(now, k); ok {
		return a, nil
	}
	old, _, found := m.cache.get(now, k)
	if !found || !m.isAway(now) {
		f := m.fly(k)
		select {
		case <-f.done:
			if f.err == nil {
				return f.answer, nil
			}
		case <-ctx.Done():
		}
	}
	switch {
	case found:
		return old, nil
	case elsewhere(k) && !m.cache.inZone(k):
		return Answer{}, nil
	}
	return Answer{}, errAway
}

// unsettle says that the controller has just come.
func (m *meanings) unsettle(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settles, m.away = now.Add(unsettledFor), time.Time{}
}

func (m *meanings) isAway(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.away)
}

// fly asks for a name, unless somebody does already, or has since the caller looked.
func (m *meanings) fly(k key) *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[k]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if a, fresh := m.known(time.Now(), k); fresh {
		f.answer = a
		close(f.done)
		return f
	}
	if m.flights == nil {
		m.flights = map[key]*flight{}
	}
	m.flights[k] = f
	go m.land(k, f)
	return f
}

func (m *meanings) land(k key, f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), askWait)
	defer cancel()
	f.answer, f.err = m.ask(ctx, k.vpc, k.name)
	now := time.Now()
	m.mu.Lock()
	unsettled := now.Before(m.settles)
	m.mu.Unlock()
	if old, _, found := m.cache.get(now, k); f.err == nil && found && unsettled && old.exists() && !f.answer.exists() {
		f.answer = old
	} else if f.err == nil {
		m.cache.put(now, k, f.answer)
	}
	m.mu.Lock()
	delete(m.flights, k)
	if f.err != nil {
		m.away = now.Add(awayFor)
	}
	m.mu.Unlock()
	close(f.done)
}

// elsewhere reports whether a name that nobody can tell anything of is handed on:
// one in the public DNS that does not end as those of the asker's VPC do. Ours are
// not, since "no such name" would be believed, and kept.
func elsewhere(k key) bool {
	if !strings.Contains(k.name, ".") {
		return false
	}
	top := k.name[strings.LastIndexByte(k.name, '.')+1:]
	tenant, vpc, _ := strings.Cut(k.vpc, "/")
	_, public := publicsuffix.PublicSuffix(top)
	return public && top != "arpa" && top != tenant && top != vpc
}

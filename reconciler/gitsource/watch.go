package gitsource

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Update is the source's next revision, or why there is none.
type Update struct {
	Revision Revision
	Err      error // the source can't be read; Revision is zero
}

// Options of Watch. The zero value takes the defaults.
type Options struct {
	// Quiet is how long nothing must have changed before a change is read.
	// Default 100 ms.
	Quiet time.Duration
	// Latest is how long a change may wait for quiet. Default 1 s.
	Latest time.Duration
	// Poll is how often the files are looked at without an event, which some
	// file systems don't give. Default 30 s; where the kernel gives no watch for
	// a directory, as often as Latest says.
	Poll time.Duration
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value   *time.Duration
		instead time.Duration
	}{{&o.Quiet, 100 * time.Millisecond}, {&o.Latest, time.Second}, {&o.Poll, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.instead
		}
	}
	return o
}

// eventBuffer is how many events wait in the process while files are read.
const eventBuffer = 4096

// Watch reads the directories as ReadDir does, now and after each change, and
// sends what it read until ctx ends; then it closes the channel. Content that
// is the same as in the Update before is not sent again, nor is the same error
// twice; the first good reading after an error is. Who receives late gets the
// last reading and none of those before. It is an error if the kernel gives no
// means to watch; a directory that isn't there yet is an Update's error.
func Watch(ctx context.Context, specsDir, policiesDir string, opts Options) (<-chan Update, error) {
	w := &watcher{opts: opts.withDefaults(), updates: make(chan Update)}
	for _, dir := range []struct {
		from string
		to   *string
	}{{specsDir, &w.specs}, {policiesDir, &w.policies}} {
		if dir.from == "" {
			continue
		}
		abs, err := filepath.Abs(dir.from)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", dir.from, err)
		}
		*dir.to = abs
	}
	if err := w.renew(); err != nil {
		return nil, fmt.Errorf("watch %s: %w", specsDir, err)
	}
	go w.run(ctx)
	return w.updates, nil
}

// watcher is one Watch. Its goroutine owns it.
type watcher struct {
	source  // its paths are absolute
	opts    Options
	notify  *fsnotify.Watcher
	updates chan Update

	dirs    map[string]bool // directories whose entries matter
	anchors map[string]bool // single entries of other directories that matter
	blind   bool            // a directory has no watch

	last    reading   // zero after an error
	since   time.Time // of the first event that is not read yet, or zero
	sent    Update    // the last one that was received
	first   bool      // whether one was received
	pending *Update   // to send
}

// run is the goroutine of Watch.
func (w *watcher) run(ctx context.Context) {
	defer close(w.updates)
	defer func() { w.notify.Close() }()
	due := time.NewTimer(0)
	defer due.Stop()
	poll := time.NewTicker(w.opts.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case w.ready() <- w.next():
			w.received()
		case e := <-w.notify.Events:
			if w.matters(e) {
				due.Reset(w.touch(time.Now()))
			}
		case <-w.notify.Errors: // events are lost
			due.Reset(w.touch(time.Now()))
		case <-poll.C:
			if !w.unchangedSince(w.last.stamps) || w.last.revision.Specs == nil {
				due.Reset(w.touch(time.Now()))
			}
		case <-due.C:
			w.since = time.Time{}
			if !w.scan() {
				due.Reset(w.touch(time.Now()))
			}
			poll.Reset(w.interval())
		}
	}
}

// ready returns the channel if there is something to send, else nil.
func (w *watcher) ready() chan<- Update {
	if w.pending == nil {
		return nil
	}
	return w.updates
}

// next returns what is to send; it is only sent if there is something.
func (w *watcher) next() Update {
	if w.pending == nil {
		return Update{}
	}
	return *w.pending
}

// received notes that what was to send is.
func (w *watcher) received() {
	w.sent, w.first, w.pending = *w.pending, true, nil
}

// offer makes u the next to send, unless it says what was sent last.
func (w *watcher) offer(u Update) {
	w.pending = &u
	if w.first && same(w.sent, u) {
		w.pending = nil
	}
}

// same reports whether two updates say the same.
func same(a, b Update) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil && a.Err.Error() == b.Err.Error()
	}
	return a.Revision.digest == b.Revision.digest
}

// touch notes a change at now, and returns when to read.
func (w *watcher) touch(now time.Time) time.Duration {
	if w.since.IsZero() {
		w.since = now
	}
	return max(0, min(w.opts.Quiet, w.opts.Latest-now.Sub(w.since)))
}

// interval returns how often to look without an event.
func (w *watcher) interval() time.Duration {
	if w.blind {
		return min(w.opts.Latest, w.opts.Poll)
	}
	return w.opts.Poll
}

// scan watches all directories and reads all files. It returns false if they
// changed meanwhile, so that they must be read again.
func (w *watcher) scan() bool {
	w.dirs, w.anchors = make(map[string]bool), make(map[string]bool)
	w.blind = w.renew() != nil
	w.anchor(w.specs)
	if w.policies != "" {
		w.anchor(w.policies)
	}
	r, err := w.read(w.visit)
	w.last = r
	if err != nil {
		w.offer(Update{Err: err})
		return !errors.Is(err, errUnsettled)
	}
	w.offer(Update{Revision: r.revision})
	return true
}

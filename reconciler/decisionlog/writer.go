package decisionlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// queued is how many decisions may wait for the writer.
const queued = 16384

// Config says where decisions are written.
type Config struct {
	Path  string // a file, or "-": Stdout
	Size  int64  // bytes after which a file is rotated; at least one line is in each
	Files int    // that are kept, the current one included; at least 1
	// Stdout is where "-" writes.
	Stdout io.Writer
	Logger *slog.Logger
}

// Writer writes decisions. Add is for one goroutine, which also calls Close.
type Writer struct {
	cfg     Config
	queue   chan Entry
	leftOut atomic.Uint64

	// Run's own.
	file *os.File
	out  *bufio.Writer
	size int64
	told uint64    // of leftOut, in the log itself
	held uint64    // lines since the last flush
	last time.Time // of a flush
	warn time.Time // when the logger was last told of a failure
	full time.Time // and of what is left out
}

// warnEvery is how often the logger is told that decisions are left out.
const warnEvery = 10 * time.Second

// Open opens the log, to go on at its end.
func Open(cfg Config) (*Writer, error) {
	w := &Writer{cfg: cfg, queue: make(chan Entry, queued)}
	if cfg.Path == "-" {
		w.out = bufio.NewWriter(cfg.Stdout)
		return w, nil
	}
	return w, w.open()
}

func (w *Writer) open() error {
	f, err := os.OpenFile(w.cfg.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open decision log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open decision log: %w", err), f.Close())
	}
	w.file, w.out, w.size = f, bufio.NewWriterSize(f, 1<<16), info.Size()
	return nil
}

// Add queues a decision, or counts it as left out. It never waits. A nil Writer
// takes none.
func (w *Writer) Add(e Entry) {
	if w == nil {
		return
	}
	select {
	case w.queue <- e:
	default:
		w.leftOut.Add(1)
	}
}

// LeftOut returns how many decisions the log lacks since it was opened. It may be
// called at any time.
func (w *Writer) LeftOut() uint64 { return w.leftOut.Load() }

// Close lets Run write what is queued and end. Nothing may be added afterwards.
func (w *Writer) Close() {
	if w != nil {
		close(w.queue)
	}
}

// Run writes until Close.
func (w *Writer) Run() {
	if w == nil {
		return
	}
	for e := range w.queue {
		if !w.write(e.record()) {
			w.leftOut.Add(1)
		}
		if len(w.queue) == 0 || e.Time.Sub(w.last) >= time.Second {
			w.last = e.Time
			w.flush(e.Time)
		}
	}
	w.flush(time.Now())
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			w.cfg.Logger.Error("decision log not closed", "err", err)
		}
	}
}

// flush writes what is buffered, after a line about what was left out so far.
func (w *Writer) flush(now time.Time) {
	if n := w.leftOut.Load(); n > w.told {
		w.warnOf(n)
		if w.write(Record{Time: now, LeftOut: n - w.told}) {
			w.told = n
		}
	}
	if w.out == nil {
		return
	}
	if err := w.out.Flush(); err != nil {
		w.failed(err)
		return
	}
	w.held = 0
}

// warnOf tells the logger, at times, how many decisions the log lacks.
func (w *Writer) warnOf(n uint64) {
	if now := time.Now(); now.Sub(w.full) >= warnEvery {
		w.full = now
		w.cfg.Logger.Warn("decision log lacks decisions", "left_out", n)
	}
}

// write reports whether r is in the buffer of the file.
func (w *Writer) write(r Record) bool {
	line, err := json.Marshal(r)
	if err == nil {
		err = w.room(int64(len(line) + 1))
	}
	if err == nil {
		_, err = w.out.Write(append(line, '\n'))
	}
	if err != nil {
		w.failed(err)
		return false
	}
	w.size += int64(len(line) + 1)
	w.held++
	return true
}

// room rotates the file if n more bytes are too many for it, and opens it again
// after a failure.
func (w *Writer) room(n int64) error {
	if w.cfg.Path == "-" {
		return nil
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.size == 0 || w.size+n <= w.cfg.Size {
		return nil
	}
	err := errors.Join(w.out.Flush(), w.file.Close())
	w.file, w.out = nil, nil
	if err == nil {
		err = w.rotate()
	}
	if err != nil {
		return err
	}
	return w.open()
}

// rotate makes PATH.1 of PATH, PATH.2 of that, and forgets the oldest.
func (w *Writer) rotate() error {
	name := func(i int) string {
		if i == 0 {
			return w.cfg.Path
		}
		return fmt.Sprintf("%s.%d", w.cfg.Path, i)
	}
	last := w.cfg.Files - 1
	if last == 0 {
		return os.Remove(w.cfg.Path)
	}
	for i := last; i > 0; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate decision log: %w", err)
		}
	}
	return nil
}

// failed gives the file up, to be opened again by the next record. What was
// written since the last flush counts as left out. The logger is told once a second at most.
func (w *Writer) failed(err error) {
	w.leftOut.Add(w.held)
	w.held = 0
	if w.file != nil {
		_ = w.file.Close() // it has failed already
		w.file, w.out = nil, nil
	}
	if w.cfg.Path == "-" {
		w.out = bufio.NewWriter(w.cfg.Stdout)
	}
	if now := time.Now(); now.Sub(w.warn) >= time.Second {
		w.warn = now
		w.cfg.Logger.Error("decision log not written", "left_out", w.leftOut.Load(), "err", err)
	}
}

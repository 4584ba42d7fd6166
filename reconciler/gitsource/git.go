package gitsource

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/confine"
	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// GitOptions says which branch of which repository is followed, and how.
type GitOptions struct {
	// Request is what is fetched. WatchGit sets Last and Known.
	Request gitrepo.Request
	// InForce returns the commit that must not be left behind, "" for none; nil: it is
	// the last one that was read. A commit that was read and then refused for what it
	// says may be replaced.
	InForce func() string
	// Child is the command that runs gitrepo.Serve under gitrepo.Confine: what a
	// remote does to it, it does to no more than that process.
	Child []string
	// Poll is how long after one look at the remote the next is taken. Default 10 s.
	Poll time.Duration
	// Timeout bounds one look. Default 2 min: the first brings the whole history.
	Timeout time.Duration
	// Hurry asks for a look at once; nil: nobody does.
	Hurry <-chan struct{}
}

func (o GitOptions) withDefaults() GitOptions {
	if o.Poll <= 0 {
		o.Poll = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	return o
}

// WatchGit reads the head of a branch, now and whenever it has moved, and sends what
// it read until ctx ends; then it closes the channel. Each Revision is a commit's
// tree. What is sent when is as with Watch. A commit that doesn't descend from the
// one before is an error, unless the request allows it.
func WatchGit(ctx context.Context, opts GitOptions) <-chan Update {
	updates := make(chan Update)
	go (&gitWatcher{opts: opts.withDefaults()}).run(ctx, updates)
	return updates
}

// gitWatcher is one WatchGit. Its goroutine owns it.
type gitWatcher struct {
	opts GitOptions
	last *Revision // what the remote had; nil: it could not be read yet
	sent Update
}

func (w *gitWatcher) run(ctx context.Context, updates chan<- Update) {
	defer close(updates)
	next := time.NewTimer(0)
	defer next.Stop()
	var pending *Update
	for {
		var ready chan<- Update
		var u Update
		if pending != nil {
			ready, u = updates, *pending
		}
		select {
		case <-ctx.Done():
			return
		case ready <- u:
			w.sent, pending = u, nil
			continue
		case <-next.C:
		case <-w.opts.Hurry:
		}
		u = w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if pending = &u; sameCommit(w.sent, u) {
			pending = nil
		}
		next.Reset(w.opts.Poll)
	}
}

// sameCommit reports whether two updates say the same; the zero Update says nothing.
func sameCommit(a, b Update) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil && a.Err.Error() == b.Err.Error()
	}
	return a.Revision.Commit != nil && *a.Revision.Commit == *b.Revision.Commit
}

// look asks the remote once.
func (w *gitWatcher) look(ctx context.Context) Update {
	q := w.opts.Request
	if w.last != nil {
		q.Known, q.Last = w.last.Commit.Hash, w.last.Commit.Hash
	}
	if w.opts.InForce != nil {
		q.Last = w.opts.InForce()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.opts.Timeout, fmt.Errorf("no answer within %s", w.opts.Timeout))
	defer cancel()
	r, err := fetch(ctx, w.opts.Child, &q)
	switch {
	case err != nil:
		return Update{Err: fmt.Errorf("git %s: %w", q.URL, err)}
	case r != nil:
		w.last = r
	}
	return Update{Revision: *w.last}
}

const (
	// maxArchive bounds what is read of the child: both trees and their headers.
	maxArchive = 2*(spec.MaxTreeBytes+spec.MaxFileBytes) + 4*spec.MaxFiles*1024
	maxSaid    = 8 << 10 // bytes that are kept of its complaints
	maxCommit  = 8 << 10 // bytes of a commit's description
)

// fetch runs the child and returns the revision that it reads; nil: it is the one
// that is known.
func fetch(ctx context.Context, child []string, q *gitrepo.Request) (*Revision, error) {
	request, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, child[0], child[1:]...)
	cmd.Stdin = bytes.NewReader(request)
	said := &head{most: maxSaid}
	cmd.Stderr = said
	// It may have children of its own, as for ssh or a repository in a directory.
	confine.Child(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that fetches: %w", err)
	}
	r, readErr := readArchive(out, q)
	if readErr != nil {
		_ = cmd.Cancel() // it may go on writing
	}
	err = cmd.Wait()
	_ = confine.Kill(cmd) // what it left behind
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && said.Len() > 0:
		return nil, errors.New(complaint(said.String()))
	case readErr != nil:
		return nil, readErr
	case err != nil:
		return nil, fmt.Errorf("the process that fetches ended: %w", err)
	}
	return r, nil
}

// complaint is what a process said of why it ended, in a line.
func complaint(said string) string {
	if strings.Contains(said, "cannot allocate memory") || strings.Contains(said, "out of memory") {
		return "what it sends takes more memory than a fetch may have"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return line
}

// head keeps the first bytes written to it.
type head struct {
	bytes.Buffer
	most int
}

func (h *head) Write(b []byte) (int, error) {
	h.Buffer.Write(b[:min(len(b), max(0, h.most-h.Len()))])
	return len(b), nil
}

// readArchive reads what gitrepo.Serve writes. It trusts nothing of it.
func readArchive(in io.Reader, q *gitrepo.Request) (*Revision, error) {
	archive := tar.NewReader(io.LimitReader(in, maxArchive))
	first, err := archive.Next()
	if err != nil {
		return nil, fmt.Errorf("read what was fetched: %w", err)
	}
	if first.Name == gitrepo.UnchangedEntry && q.Known != "" {
		return nil, nil
	}
	var c gitrepo.Commit
	if err := json.NewDecoder(io.LimitReader(archive, maxCommit)).Decode(&c); err != nil || first.Name != gitrepo.CommitEntry || len(c.Hash) < idDigits {
		return nil, fmt.Errorf("read what was fetched: it begins with %.40q, which describes no commit", first.Name)
	}
	trees := gitTrees{specs: newGitTree(q.Specs), policies: newGitTree(q.Policies), at: c.When}
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = trees.add(h, archive)
		}
		if err != nil {
			return nil, fmt.Errorf("read what was fetched: %w", err)
		}
	}
	var policies *memFS
	if p := &trees.policies; p.there {
		if len(p.files) > spec.MaxFiles || p.bytes > spec.MaxTreeBytes || p.long {
			return nil, fmt.Errorf("read policies %s: more than %d files, %d bytes a file or %d bytes in all",
				q.Policies, spec.MaxFiles, spec.MaxFileBytes, spec.MaxTreeBytes)
		}
		policies = newMemFS(p.files)
	}
	r := newRevision(newMemFS(trees.specs.files), policies, time.Now())
	r.ID, r.Commit = c.Hash[:idDigits], &c
	return &r, nil
}

// gitTrees are the directories of a commit as they are read.
type gitTrees struct {
	specs, policies gitTree
	at              time.Time
}

type gitTree struct {
	root  string
	there bool
	files []*memFile
	has   map[string]bool // by path
	bytes int
	long  bool // a file is longer than a file may be
}

func newGitTree(root string) gitTree { return gitTree{root: root, has: make(map[string]bool)} }

// add takes one entry of the archive.
func (g *gitTrees) add(h *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	t, below := &g.specs, ""
	for _, one := range []*gitTree{&g.specs, &g.policies} {
		if b, found := under(one.root, name); found && (b == "." || strings.HasSuffix(b, suffixOf(one == &g.policies))) {
			t, below = one, b
			break
		}
	}
	switch {
	case below == "" || !fs.ValidPath(below) || len(t.files) > spec.MaxFiles+1:
		return fmt.Errorf("%.200q is no file that was asked for", h.Name)
	case t.has[below]:
		return fmt.Errorf("%.200q is there twice", h.Name)
	case h.Typeflag == tar.TypeDir:
		t.there = true
		return nil
	}
	f := &memFile{path: below, mode: 0o444, modTime: g.at}
	if h.Typeflag != tar.TypeReg {
		f.mode |= fs.ModeSymlink
	} else {
		var err error
		if f.data, err = io.ReadAll(io.LimitReader(content, spec.MaxFileBytes+1)); err != nil {
			return err
		}
	}
	t.files, t.has[below] = append(t.files, f), true
	t.bytes += len(f.data)
	t.long = t.long || len(f.data) > spec.MaxFileBytes
	return nil
}

func suffixOf(policies bool) string {
	if policies {
		return policiesSuffix
	}
	return specsSuffix
}

// under returns a path as seen from root.
func under(root, name string) (string, bool) {
	root, name = path.Clean(root), path.Clean(name)
	if root == "." {
		return name, true
	}
	if name == root {
		return ".", true
	}
	return strings.CutPrefix(name, root+"/")
}

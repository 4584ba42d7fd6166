package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// gitTree says where in a commit a revision stands.
type gitTree struct{ specs, policies string }

// maxListing bounds what git lists of a tree, in bytes.
const maxListing = 64 << 20

// read reads a commit of the repository here, by any name that git has for it. It
// asks git, which knows where a server keeps what is pushed until the hooks have
// agreed, and reads blobs, so that no attribute of the tree hides a file.
func (g gitTree) read(ctx context.Context, name string) (gitsource.Revision, error) {
	var none gitsource.Revision
	hash, err := gitOutput(ctx, nil, 1<<10, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return none, fmt.Errorf("%q is no directory, and no commit of a git repository here", name)
	}
	commit := strings.TrimSpace(string(hash))
	listing, err := gitOutput(ctx, nil, maxListing, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return none, err
	}
	var wanted []treeFile
	var refused problems
	for entry := range strings.SplitSeq(string(listing), "\x00") {
		file, wants := g.entry(entry)
		switch {
		case !wants:
		case !file.regular:
			refused = append(refused, fmt.Sprintf("%s:1: it is a symbolic link or submodule; put a regular file there", file.path))
		default:
			wanted = append(wanted, file)
		}
	}
	if len(refused) > 0 {
		return none, refused
	}
	if len(wanted) > 2*spec.MaxFiles {
		return none, fmt.Errorf("commit %.12s has more than %d files", commit, 2*spec.MaxFiles)
	}
	specs, policies, err := readBlobs(ctx, wanted)
	if err != nil {
		return none, err
	}
	r := gitsource.Restore(commit[:12], &gitrepo.Commit{Hash: commit}, specs, policies, time.Time{})
	if policies == nil {
		r.Policies = nil
	}
	return r, nil
}

// treeFile is a file of a commit that a revision is made of.
type treeFile struct {
	hash, path string // below specs or policies
	regular    bool
	policy     bool
}

// entry reads "MODE TYPE HASH\tPATH".
func (g gitTree) entry(line string) (f treeFile, wanted bool) {
	head, whole, found := strings.Cut(line, "\t")
	words := strings.Fields(head)
	if !found || len(words) != 3 {
		return f, false
	}
	f.regular, f.hash = strings.HasPrefix(words[0], "100"), words[2]
	for _, d := range []struct {
		dir, suffix string
		policy      bool
	}{{g.specs, ".yaml", false}, {g.policies, ".rego", true}} {
		below, inside := whole, true
		if d.dir != "." {
			below, inside = strings.CutPrefix(whole, path.Clean(d.dir)+"/")
		}
		if inside && strings.HasSuffix(below, d.suffix) && !hidden(below) {
			f.path, f.policy = below, d.policy
			return f, true
		}
	}
	return f, false
}

func hidden(p string) bool { return strings.HasPrefix(p, ".") || strings.Contains(p, "/.") }

// readBlobs reads the contents of files. Of one that is too large no more is kept
// than lets package spec refuse it.
func readBlobs(ctx context.Context, files []treeFile) (specs, policies gitsource.Files, err error) {
	specs = gitsource.Files{}
	var ask strings.Builder
	for _, f := range files {
		ask.WriteString(f.hash + "\n")
	}
	out, err := gitOutput(ctx, strings.NewReader(ask.String()), 2*spec.MaxTreeBytes, "cat-file", "--batch")
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReader(bytes.NewReader(out))
	for _, f := range files {
		head, err := in.ReadString('\n')
		words := strings.Fields(head)
		if err != nil || len(words) != 3 {
			return nil, nil, fmt.Errorf("%s: git can't read it: %q", f.path, strings.TrimSpace(head))
		}
		size, err := strconv.Atoi(words[2])
		if err != nil || size < 0 || size > len(out) {
			return nil, nil, fmt.Errorf("%s: git says it has %s bytes", f.path, words[2])
		}
		data := make([]byte, size+1) // git ends each with a newline
		if _, err := io.ReadFull(in, data); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.path, err)
		}
		if f.policy {
			if policies == nil {
				policies = gitsource.Files{}
			}
			policies[f.path] = data[:size]
		} else {
			specs[f.path] = data[:size]
		}
	}
	return specs, policies, nil
}

// gitOutput runs git here, and returns what it says if that is within most bytes.
func gitOutput(ctx context.Context, in io.Reader, most int64, args ...string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &said
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("run git %s: %w", args[0], err)
	}
	out, err := io.ReadAll(io.LimitReader(pipe, most+1))
	if int64(len(out)) > most {
		cancel()
		_ = cmd.Wait() // it was ended
		return nil, fmt.Errorf("git %s says more than %d bytes: the tree is too large", args[0], most)
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

// receive is a git server's pre-receive hook.
func (f *planFlags) receive(ctx context.Context, sys system, in io.Reader) error {
	guarded := f.ref
	if !strings.HasPrefix(guarded, "refs/") {
		guarded = "refs/heads/" + guarded
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 {
			return usageError{fmt.Errorf("%q on standard input: git's hooks get OLD NEW REF", lines.Text())}
		}
		if words[2] != guarded {
			continue
		}
		if err := f.received(ctx, sys, words[0], words[1]); err != nil {
			return err
		}
	}
	return lines.Err()
}

// received refuses a push or shows its plan.
func (f *planFlags) received(ctx context.Context, sys system, before, after string) error {
	if none(after) {
		return fmt.Errorf("%s is what the network follows: it can't be deleted", f.ref)
	}
	r, err := f.tree.read(ctx, after)
	if err != nil {
		return err
	}
	one := *f
	one.detailed = false // a hook that doesn't exit with 0 refuses
	if f.against != runningName {
		return one.plan(ctx, sys, r)
	}
	now, err := f.moment(sys)
	if err != nil {
		return err
	}
	judged, err := f.judge(sys, now, r)
	if err != nil {
		return err
	}
	earlier := gitsource.Restore("nothing", nil, gitsource.Files{}, nil, now)
	earlier.Policies = nil
	if !none(before) {
		if earlier, err = f.tree.read(ctx, before); err != nil {
			return err
		}
	}
	if err := one.compare(sys, earlier, judged, reportsOf(judged.sample), nil); err != nil {
		// What was there before is no reason to refuse its repair.
		fmt.Fprintln(sys.err, err)
	}
	return nil
}

// none reports whether a hash is that of nothing.
func none(hash string) bool { return strings.Trim(hash, "0") == "" }

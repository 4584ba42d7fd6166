package gitsource_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// asFetcher makes the test's own program the process that fetches.
const asFetcher = "DAOLI_TEST_FETCHER"

func TestMain(m *testing.M) {
	if os.Getenv(asFetcher) != "" {
		err := gitrepo.Confine()
		if err == nil {
			err = gitrepo.Serve(context.Background(), os.Stdin, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// remote is a repository with a work tree, which stands for a server's.
type remote struct {
	t   *testing.T
	dir string
}

func newRemote(t *testing.T) *remote {
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Setenv("GIT_CONFIG_SYSTEM", "/dev/null")
	r := &remote{t, filepath.Join(t.TempDir(), "repo")}
	must(t, os.Mkdir(r.dir, 0o755))
	r.git("init", "-q", "-b", "main")
	r.git("config", "user.name", "Ada")
	r.git("config", "user.email", "ada@acme.example")
	return r
}

func (r *remote) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files and returns the commit's hash.
func (r *remote) commit(subject string, files map[string]string) string {
	r.t.Helper()
	write(r.t, r.dir, files)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", subject)
	return r.git("rev-parse", "HEAD")
}

// follower is a WatchGit under test.
type follower struct {
	t       *testing.T
	updates <-chan gitsource.Update
	hurry   chan struct{}
}

func follow(t *testing.T, url string, bend func(*gitsource.GitOptions)) *follower {
	t.Helper()
	t.Setenv(asFetcher, "1")
	f := &follower{t: t, hurry: make(chan struct{})}
	o := gitsource.GitOptions{
		Request: gitrepo.Request{URL: url, Ref: "main", Dir: filepath.Join(t.TempDir(), "objects"), Specs: "specs", Policies: "policies"},
		Child:   []string{os.Args[0]}, Poll: time.Hour, Hurry: f.hurry,
	}
	if bend != nil {
		bend(&o)
	}
	f.updates = gitsource.WatchGit(t.Context(), o)
	return f
}

// next returns the next update.
func (f *follower) next() gitsource.Update {
	f.t.Helper()
	select {
	case u, open := <-f.updates:
		if !open {
			f.t.Fatal("updates ended")
		}
		return u
	case <-time.After(time.Minute):
		f.t.Fatal("no update in a minute")
	}
	return gitsource.Update{}
}

// good returns the next update, which must be of a commit.
func (f *follower) good(hash string) gitsource.Revision {
	f.t.Helper()
	u := f.next()
	if u.Err != nil {
		f.t.Fatalf("update: %v", u.Err)
	}
	if u.Revision.Commit.Hash != hash {
		f.t.Fatalf("update is of %s; want %s", u.Revision.Commit.Hash, hash)
	}
	return u.Revision
}

// bad returns the next update, which must be an error with text in it.
func (f *follower) bad(text string) {
	f.t.Helper()
	u := f.next()
	if u.Err == nil || !strings.Contains(u.Err.Error(), text) {
		f.t.Fatalf("update = %+v; want an error with %q", u, text)
	}
	if strings.Contains(u.Err.Error(), "\n") {
		f.t.Errorf("error is more than a line: %v", u.Err)
	}
}

// again has the remote looked at, and returns when that is begun.
func (f *follower) again() {
	f.t.Helper()
	select {
	case f.hurry <- struct{}{}:
	case <-time.After(30 * time.Second):
		f.t.Fatal("nobody hurries")
	}
}

func TestEachCommitIsARevision(t *testing.T) {
	r := newRemote(t)
	first := r.commit("one VPC\n\nbody", map[string]string{"specs/a.yaml": "a", "specs/sub/b.yaml": "b", "specs/.hidden.yaml": "h", "README.md": "r"})
	f := follow(t, r.dir, nil)
	rev := f.good(first)
	if rev.ID != first[:12] {
		t.Errorf("ID = %s; want the first 12 digits of %s", rev.ID, first)
	}
	if c := rev.Commit; c.Author != "Ada" || c.Email != "ada@acme.example" || c.Subject != "one VPC" || c.When.IsZero() {
		t.Errorf("commit = %+v", c)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "a", "sub/b.yaml": "b"}, content(t, rev.Specs)); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
	if rev.Policies != nil {
		t.Error("policies are there though the tree has none")
	}
	second := r.commit("policies", map[string]string{"policies/system/admission.rego": "p"})
	f.again()
	rev = f.good(second)
	if diff := cmp.Diff(map[string]string{"system/admission.rego": "p"}, content(t, rev.Policies)); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	f.again() // nothing new: nothing comes
	f.again()
	third := r.commit("the last", map[string]string{"specs/a.yaml": "c"})
	f.again()
	f.good(third)
}

func TestRewindIsRefusedUnlessAllowed(t *testing.T) {
	for _, allow := range []bool{false, true} {
		t.Run(fmt.Sprintf("allowed=%v", allow), func(t *testing.T) {
			r := newRemote(t)
			base := r.commit("base", map[string]string{"specs/a.yaml": "1"})
			top := r.commit("top", map[string]string{"specs/a.yaml": "2"})
			f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.Request.AllowRewind = allow })
			f.good(top)
			r.git("reset", "-q", "--hard", base)
			other := r.commit("instead of top", map[string]string{"specs/a.yaml": "3"})
			f.again()
			if allow {
				f.good(other)
				return
			}
			f.bad("not descend from " + top[:12])
			r.git("reset", "-q", "--hard", top)
			f.again()
			f.good(top) // it is in force still, and said again after the error
			next := r.commit("what follows", map[string]string{"specs/a.yaml": "4"})
			f.again()
			f.good(next)
		})
	}
}

func TestRewindIsRefusedAfterARestartToo(t *testing.T) {
	r := newRemote(t)
	base := r.commit("base", map[string]string{"specs/a.yaml": "1"})
	top := r.commit("top", map[string]string{"specs/a.yaml": "2"})
	r.git("reset", "-q", "--hard", base)
	f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.InForce = func() string { return top } })
	f.bad("not descend from " + top[:12])
}

func TestCommitThatWasRefusedMayBeReplaced(t *testing.T) {
	r := newRemote(t)
	base := r.commit("base", map[string]string{"specs/a.yaml": "1"})
	f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.InForce = func() string { return base } })
	f.good(base)
	bad := r.commit("a mistake", map[string]string{"specs/a.yaml": "2"})
	f.again()
	f.good(bad)
	r.git("reset", "-q", "--hard", base)
	mended := r.commit("mended", map[string]string{"specs/a.yaml": "3"})
	f.again()
	f.good(mended)
}

func TestBranchThatIsMissingIsNamed(t *testing.T) {
	r := newRemote(t)
	r.commit("base", map[string]string{"specs/a.yaml": "1"})
	r.git("branch", "next")
	f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.Request.Ref = "production" })
	f.bad("has no production; its branches: main, next")
}

func TestTreeWithoutSpecsIsRefused(t *testing.T) {
	r := newRemote(t)
	r.commit("base", map[string]string{"README.md": "1"})
	f := follow(t, r.dir, nil)
	f.bad("no directory specs")
}

func TestRepositoryThatGoesAndComesBack(t *testing.T) {
	r := newRemote(t)
	top := r.commit("base", map[string]string{"specs/a.yaml": "1"})
	f := follow(t, r.dir, nil)
	f.good(top)
	must(t, os.Rename(r.dir, r.dir+".gone"))
	f.again()
	f.bad("repository")
	must(t, os.Rename(r.dir+".gone", r.dir))
	next := r.commit("next", map[string]string{"specs/a.yaml": "2"})
	f.again()
	f.good(next)
}

func TestObjectsThatAreLostAreFetchedAnew(t *testing.T) {
	r := newRemote(t)
	top := r.commit("base", map[string]string{"specs/a.yaml": "1"})
	dir := filepath.Join(t.TempDir(), "objects")
	f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.Request.Dir = dir })
	f.good(top)
	must(t, os.RemoveAll(filepath.Join(dir, "objects")))
	must(t, os.WriteFile(filepath.Join(dir, "config"), []byte("garbage"), 0o600))
	next := r.commit("next", map[string]string{"specs/a.yaml": "2"})
	f.again()
	f.good(next)
}

func TestLinksAndSubmodulesAreNoFiles(t *testing.T) {
	r := newRemote(t)
	inner := newRemote(t)
	inner.commit("inner", map[string]string{"x.yaml": "x"})
	write(t, r.dir, map[string]string{"specs/a.yaml": "1"})
	must(t, os.Symlink("/etc/passwd", filepath.Join(r.dir, "specs", "link.yaml")))
	must(t, os.Symlink("/etc", filepath.Join(r.dir, "specs", "etc")))
	r.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.dir, "specs/sub.yaml")
	top := r.commit("hostile", nil)
	f := follow(t, r.dir, nil)
	rev := f.good(top)
	_, problems := spec.Load(rev.Specs)
	var said []string
	for _, p := range problems {
		said = append(said, p.String())
	}
	for _, name := range []string{"link.yaml", "sub.yaml"} {
		if !strings.Contains(strings.Join(said, "\n"), name) {
			t.Errorf("nothing is said of %s: %q", name, said)
		}
	}
	if strings.Contains(strings.Join(said, "\n"), "passwd") {
		t.Errorf("a link was followed: %q", said)
	}
}

func TestHugeBlobIsBounded(t *testing.T) {
	r := newRemote(t)
	top := r.commit("base", map[string]string{"specs/a.yaml": "1"})
	f := follow(t, r.dir, nil)
	f.good(top)
	must(t, os.WriteFile(filepath.Join(r.dir, "specs", "huge.yaml"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(r.dir, "specs", "huge.yaml"), 64<<20)) // a few KiB in the pack
	r.commit("huge", nil)
	f.again()
	u := f.next()
	if u.Err == nil { // it was streamed: then spec refuses the file
		if _, problems := spec.Load(u.Revision.Specs); len(problems) == 0 {
			t.Fatal("64 MiB of YAML were taken")
		}
	}
	r.git("rm", "-q", "-f", "specs/huge.yaml")
	next := r.commit("without", map[string]string{"specs/a.yaml": "2"})
	f.again()
	if u = f.next(); u.Err != nil { // the history still has it
		t.Logf("after the fix: %v", u.Err)
	} else if u.Revision.Commit.Hash != next {
		t.Fatalf("update is of %s; want %s", u.Revision.Commit.Hash, next)
	}
}

func TestManyFilesAreBounded(t *testing.T) {
	r := newRemote(t)
	dir := filepath.Join(r.dir, "specs")
	must(t, os.Mkdir(dir, 0o755))
	for i := range spec.MaxFiles + 5 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d.yaml", i)), nil, 0o644))
	}
	top := r.commit("many", nil)
	f := follow(t, r.dir, nil)
	rev := f.good(top)
	_, problems := spec.Load(rev.Specs)
	if !slices.ContainsFunc(problems, func(p spec.Problem) bool { return strings.Contains(p.String(), "more than 10000 files") }) {
		t.Errorf("none of %d problems says that there are too many files", len(problems))
	}
}

func TestRemoteThatHangsOrDiesIsLeft(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"says nothing":    func(net.Conn) {},
		"dies at once":    func(c net.Conn) { c.Close() },
		"dies in a ref":   func(c net.Conn) { c.Write([]byte("00a5deadbeef")); c.Close() },
		"talks nonsense":  func(c net.Conn) { c.Write([]byte(strings.Repeat("zzzz", 1000))); c.Close() },
		"says not enough": func(c net.Conn) { c.Write([]byte("0008")) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					t.Cleanup(func() { c.Close() })
					answer(c)
				}
			}()
			f := follow(t, "git://"+l.Addr().String()+"/x", func(o *gitsource.GitOptions) { o.Timeout = 2 * time.Second })
			if u := f.next(); u.Err == nil {
				t.Fatalf("update = %+v; want an error", u)
			}
		})
	}
}

func TestOnlyTrustedSignaturesAreTaken(t *testing.T) {
	r := newRemote(t)
	keys := t.TempDir()
	for _, name := range []string{"ada", "eve"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(keys, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	public, err := os.ReadFile(filepath.Join(keys, "ada.pub"))
	must(t, err)
	signers := filepath.Join(keys, "allowed")
	must(t, os.WriteFile(signers, []byte("# who may\nada@acme.example namespaces=\"git\" "+string(public)), 0o600))
	r.git("config", "gpg.format", "ssh")
	sign := func(name string) {
		r.git("config", "user.signingkey", filepath.Join(keys, name))
		r.git("config", "commit.gpgsign", "true")
	}
	sign("ada")
	top := r.commit("signed", map[string]string{"specs/a.yaml": "1"})
	f := follow(t, r.dir, func(o *gitsource.GitOptions) { o.Request.Verify, o.Request.AllowedSigners = true, signers })
	if rev := f.good(top); rev.Commit.Signer != "ada@acme.example" {
		t.Errorf("signer = %q", rev.Commit.Signer)
	}
	sign("eve")
	r.commit("a stranger's", map[string]string{"specs/a.yaml": "2"})
	f.again()
	f.bad("not among the allowed signers")
	r.git("config", "commit.gpgsign", "false")
	r.commit("nobody's", map[string]string{"specs/a.yaml": "3"})
	f.again()
	f.bad("no signature")
	sign("ada")
	r.git("-c", "user.name=Ada", "commit", "-q", "--allow-empty", "-m", "vouched for")
	f.again()
	f.good(r.git("rev-parse", "HEAD"))
	must(t, os.WriteFile(signers, []byte("ada@acme.example valid-before=\"20200101\" "+string(public)), 0o600))
	r.commit("too late", map[string]string{"specs/a.yaml": "4"})
	f.again()
	f.bad("valid before 20200101 only")
}

func TestWatchGitEndsWithItsContext(t *testing.T) {
	t.Setenv(asFetcher, "1")
	ctx, cancel := context.WithCancelCause(t.Context())
	updates := gitsource.WatchGit(ctx, gitsource.GitOptions{
		Request: gitrepo.Request{URL: filepath.Join(t.TempDir(), "none"), Ref: "main", Dir: filepath.Join(t.TempDir(), "o"), Specs: "specs"},
		Child:   []string{os.Args[0]},
	})
	cancel(errors.New("enough"))
	for range updates {
	}
}

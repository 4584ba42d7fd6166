package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	remoteName = "origin"
	// fetched is the local name of the branch.
	fetched = plumbing.ReferenceName("refs/daoli/fetched")

	// maxRepository is the size from which the objects that are kept are thrown
	// away and fetched anew, in bytes.
	maxRepository = 2 << 30
	// streamFrom is the size of an object, in bytes, from which it is not held in
	// memory whole.
	streamFrom = 1 << 20
)

// maxNamed is how many branches an error names.
const maxNamed = 10

// fetchCommit brings the head of the branch and all that it descends from into the
// repository, and returns it. It is nil if it is the one that is known.
func fetchCommit(ctx context.Context, repo *git.Repository, q *Request) (*object.Commit, error) {
	auth, err := authOf(q)
	if err != nil {
		return nil, err
	}
	remote, err := repo.Remote(remoteName)
	if err != nil {
		return nil, err
	}
	name, hash, err := head(ctx, remote, q.Ref, auth)
	if err != nil {
		return nil, err
	}
	if hash.String() == q.Known {
		return nil, nil
	}
	spec := config.RefSpec(fmt.Sprintf("+%s:%s", name, fetched))
	err = remote.FetchContext(ctx, &git.FetchOptions{RemoteName: remoteName, RefSpecs: []config.RefSpec{spec}, Auth: auth, Tags: git.NoTags, Force: true})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil, fmt.Errorf("fetch %s: %w", q.Ref, err)
	}
	ref, err := repo.Reference(fetched, true)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", q.Ref, err)
	}
	commit, err := commitAt(repo, ref.Hash())
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", ref.Hash(), err)
	}
	return commit, follows(repo, q, commit)
}

// open opens the repository, or makes one that fetches from the URL. What is no
// repository any more, or has grown too large, is made anew.
func open(q *Request) (*git.Repository, error) {
	if size(q.Dir) > maxRepository {
		if err := os.RemoveAll(q.Dir); err != nil {
			return nil, err
		}
	}
	for range 2 {
		repo, err := git.Open(storage(q.Dir), nil)
		if err == nil {
			if r, rerr := repo.Remote(remoteName); rerr == nil && len(r.Config().URLs) == 1 && r.Config().URLs[0] == q.URL {
				return repo, nil
			}
		}
		if err := os.RemoveAll(q.Dir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(q.Dir, 0o700); err != nil {
			return nil, err
		}
		if repo, err = git.Init(storage(q.Dir), nil); err != nil {
			return nil, fmt.Errorf("make repository %s: %w", q.Dir, err)
		}
		if _, err := repo.CreateRemote(&config.RemoteConfig{Name: remoteName, URLs: []string{q.URL}}); err != nil {
			return nil, fmt.Errorf("repository URL %q: %w", q.URL, err)
		}
	}
	return nil, fmt.Errorf("repository %s can't be opened though it was made anew", q.Dir)
}

func storage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: streamFrom})
}

// size returns how many bytes the files below dir have; errors make it less.
func size(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// head returns the full name of the branch on the remote, and where it is.
func head(ctx context.Context, remote *git.Remote, ref string, auth transport.AuthMethod) (plumbing.ReferenceName, plumbing.Hash, error) {
	refs, err := remote.ListContext(ctx, &git.ListOptions{Auth: auth})
	if err != nil {
		return "", plumbing.ZeroHash, fmt.Errorf("list refs: %w", err)
	}
	name := plumbing.ReferenceName(ref)
	if !strings.HasPrefix(ref, "refs/") {
		name = plumbing.NewBranchReferenceName(ref)
	}
	var branches []string
	for _, r := range refs {
		if r.Name() == name && r.Type() == plumbing.HashReference {
			return name, r.Hash(), nil
		}
		if r.Name().IsBranch() && len(branches) < maxNamed {
			branches = append(branches, r.Name().Short())
		}
	}
	slices.Sort(branches)
	return "", plumbing.ZeroHash, fmt.Errorf("the repository has no %s; its branches: %s", ref, strings.Join(branches, ", "))
}

// commitAt returns the commit that a hash names, itself or by an annotated tag.
func commitAt(repo *git.Repository, h plumbing.Hash) (*object.Commit, error) {
	if tag, err := repo.TagObject(h); err == nil {
		return tag.Commit()
	}
	return repo.CommitObject(h)
}

// follows reports why a commit may not follow the last one that was taken.
func follows(repo *git.Repository, q *Request, commit *object.Commit) error {
	if q.Last == "" || q.AllowRewind || q.Last == commit.Hash.String() {
		return nil
	}
	last, err := repo.CommitObject(plumbing.NewHash(q.Last))
	if err == nil {
		var below bool
		if below, err = last.IsAncestor(commit); err != nil {
			return fmt.Errorf("read the history from %s on: %w", short(q.Last), err)
		}
		if below {
			return nil
		}
	}
	return fmt.Errorf("commit %s of %s does not descend from %s, which is in force: the branch was rewound; push what follows it, or allow it with --git-allow-rewind",
		short(commit.Hash.String()), q.Ref, short(q.Last))
}

func short(hash string) string { return hash[:min(12, len(hash))] }

// authOf returns how to show who we are; nil: the URL or the agent says.
func authOf(q *Request) (transport.AuthMethod, error) {
	ep, err := transport.NewEndpoint(q.URL)
	if err != nil {
		return nil, fmt.Errorf("repository URL %q: %w", q.URL, err)
	}
	switch {
	case ep.Protocol == "ssh":
		return sshAuth(q, ep.User)
	case strings.HasPrefix(ep.Protocol, "http") && q.TokenFile != "":
		b, err := os.ReadFile(q.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		user := ep.User
		if user == "" {
			user = "git"
		}
		return &githttp.BasicAuth{Username: user, Password: strings.TrimSpace(string(b))}, nil
	}
	return nil, nil
}

func sshAuth(q *Request, user string) (transport.AuthMethod, error) {
	if user == "" {
		user = "git"
	}
	var files []string
	if q.KnownHosts != "" {
		files = []string{q.KnownHosts}
	}
	known, err := gitssh.NewKnownHostsCallback(files...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	if q.SSHKey == "" {
		auth, err := gitssh.NewSSHAgentAuth(user)
		if err != nil {
			return nil, fmt.Errorf("no SSH key is given (--git-ssh-key), and there is no agent: %w", err)
		}
		auth.HostKeyCallback = known
		return auth, nil
	}
	auth, err := gitssh.NewPublicKeysFromFile(user, q.SSHKey, "")
	if err != nil {
		return nil, fmt.Errorf("read SSH key %s: %w", q.SSHKey, err)
	}
	auth.HostKeyCallback = known
	return auth, nil
}

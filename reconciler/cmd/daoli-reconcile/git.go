package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
)

// gitFlags are the flags of a source in git.
type gitFlags struct {
	request gitrepo.Request
	poll    time.Duration
	webhook string
}

func (g *gitFlags) add(f *pflag.FlagSet) {
	f.StringVar(&g.request.URL, "git", "", "repository to follow in place of --watch: https, ssh, file, or a path")
	f.StringVar(&g.request.Ref, "ref", "main", "branch of --git, or a full name such as refs/tags/v1")
	f.StringVar(&g.request.Specs, "git-specs", "specs", "directory of YAML in the repository; . is its root")
	f.StringVar(&g.request.Policies, "git-policies", "policies", "directory of Rego in the repository; where it has none, the built-in policy holds")
	f.DurationVar(&g.poll, "git-poll", 10*time.Second, "how often the repository is asked for something new; SIGHUP and --git-webhook ask at once")
	f.StringVar(&g.webhook, "git-webhook", "", "ADDRESS:PORT where a POST, of whatever, has the repository asked at once")
	f.StringVar(&g.request.SSHKey, "git-ssh-key", "", "file of a private SSH key (default: the agent's)")
	f.StringVar(&g.request.KnownHosts, "git-known-hosts", "", "file of SSH host keys (default: the user's known_hosts)")
	f.StringVar(&g.request.TokenFile, "git-token-file", "", "file of a token for https")
	f.BoolVar(&g.request.AllowRewind, "git-allow-rewind", false, "take a branch that was rewound: a commit that does not descend from the one in force")
	f.BoolVar(&g.request.Verify, "verify-signatures", false, "take only commits with a signature of --git-allowed-signers or --git-keyring")
	f.StringVar(&g.request.AllowedSigners, "git-allowed-signers", "", "file of SSH keys that may sign, as git's gpg.ssh.allowedSignersFile")
	f.StringVar(&g.request.Keyring, "git-keyring", "", "file of OpenPGP keys that may sign, armored")
}

// check reports what is wrong with the flags together.
func (g *gitFlags) check(watch string) error {
	q := &g.request
	switch {
	case q.URL == "" && watch == "":
		return errors.New("--watch DIR or --git URL is required: where the YAML is")
	case q.URL != "" && watch != "":
		return errors.New("--watch and --git: give one of them")
	case q.URL == "":
		return nil
	case hasPassword(q.URL):
		return errors.New("--git holds a password, which everybody who lists processes would see: put it into a file for --git-token-file")
	case q.Verify && q.AllowedSigners == "" && q.Keyring == "":
		return errors.New("--verify-signatures needs --git-allowed-signers FILE or --git-keyring FILE: whom to trust")
	case !q.Verify && (q.AllowedSigners != "" || q.Keyring != ""):
		return errors.New("--git-allowed-signers and --git-keyring have a meaning with --verify-signatures only")
	case g.poll < time.Second:
		return fmt.Errorf("--git-poll %s is less than 1s", g.poll)
	case !filepath.IsLocal(q.Specs) || !filepath.IsLocal(q.Policies):
		return fmt.Errorf("--git-specs %q and --git-policies %q must be paths within the repository", q.Specs, q.Policies)
	}
	return nil
}

func hasPassword(repository string) bool {
	u, err := url.Parse(repository)
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

// options returns how the repository is followed; nil: there is none.
func (g *gitFlags) options(ctx context.Context, stateDir string) (*gitsource.GitOptions, error) {
	if g.request.URL == "" {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, which fetches in a process of its own: %w", err)
	}
	q := g.request
	if q.Dir, err = filepath.Abs(filepath.Join(stateDir, "git")); err != nil {
		return nil, err
	}
	hurry, err := hurried(ctx, g.webhook)
	if err != nil {
		return nil, err
	}
	return &gitsource.GitOptions{Request: q, Child: []string{self, fetchCommandName}, Poll: g.poll, Hurry: hurry}, nil
}

// hurried returns a channel that says when somebody wants the repository asked: by
// SIGHUP, or by a POST to the webhook.
func hurried(ctx context.Context, webhook string) (<-chan struct{}, error) {
	hurry := make(chan struct{}, 1)
	ask := func() {
		select {
		case hurry <- struct{}{}:
		default: // it will be asked anyway
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				ask()
			}
		}
	}()
	if webhook == "" {
		return hurry, nil
	}
	l, err := net.Listen("tcp", webhook)
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	srv := &http.Server{Handler: webhookHandler(ask), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	context.AfterFunc(ctx, func() { srv.Close() })
	go srv.Serve(l)
	return hurry, nil
}

// webhookHandler takes a POST for a wish to be asked. It needs no secret: all that
// anybody gains is one look at the repository, and looks don't overlap.
func webhookHandler(ask func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "POST has the repository looked at", http.StatusMethodNotAllowed)
			return
		}
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20) // so that the sender is not cut off
		ask()
		w.WriteHeader(http.StatusAccepted)
	})
}

const fetchCommandName = "git-fetch"

// fetchCommand is the process that fetches: the controller starts it.
func fetchCommand() *cobra.Command {
	return &cobra.Command{
		Use:    fetchCommandName,
		Short:  "Fetch a branch, for the controller",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := gitrepo.Confine()
			if err == nil {
				err = gitrepo.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if err != nil {
				return problems{err.Error()} // as it is: the controller says whose it is
			}
			return nil
		},
	}
}

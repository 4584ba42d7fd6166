package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/identity"
)

// joinOptions are join's own flags.
type joinOptions struct {
	token, tokenFile, caHash, name string
	enrolOnly, newKey              bool
}

// notKept are the flags of join that run does not know or must be given.
var notKept = []string{"token", "token-file", "ca-hash", "name", "enrol-only", "new-key", "state-dir", "help"}

func joinCommand(sys system) *cobra.Command {
	var o runOptions
	var j joinOptions
	cmd := &cobra.Command{
		Use:   "join ADDRESS:PORT --token ID.SECRET --ca-hash sha256:...",
		Short: "Become a host of the cluster that a controller belongs to",
		Long: `Become a host of the cluster that a controller belongs to.

The token is sent only to a controller whose cluster's CA has the hash. What run
takes is taken here too and kept for it, so that "daoli-hostd run" needs no flag
afterwards. Where systemd runs and has the unit daoli-hostd.service, it is enabled
and started; elsewhere this process goes on as "daoli-hostd run".

The token may also be in the environment, as DAOLI_TOKEN, or in a file.`,
		Example: `  daoli-hostd join 172.31.250.1:7443 --token ID.SECRET --ca-hash sha256:...
  daoli-hostd join 172.31.250.1:7443 --token-file token --ca-hash sha256:... --uplink eth1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runJoin(cmd, sys, &o, &j, args[0])
		},
	}
	f := cmd.Flags()
	o.add(f)
	f.StringVar(&j.token, "token", "", "join token, as daolictl join-token create prints it")
	f.StringVar(&j.tokenFile, "token-file", "", "file that holds the join token")
	f.StringVar(&j.caHash, "ca-hash", "", "hash of the cluster's CA, as daolictl join-token create prints it (required)")
	f.StringVar(&j.name, "name", "", "the host's name (default: its hostname)")
	f.BoolVar(&j.enrolOnly, "enrol-only", false, "only get the certificate; daoli-hostd run does the rest later")
	f.BoolVar(&j.newKey, "new-key", false, "make a new key, in place of one that was revoked")
	return cmd
}

func runJoin(cmd *cobra.Command, sys system, o *runOptions, j *joinOptions, controller string) error {
	if err := j.complete(); err != nil {
		return err
	}
	if err := o.complete(sys, cmd); err != nil {
		return err
	}
	if err := agent.CheckIdle(o.cfg.StateDir); err != nil {
		return failure{err}
	}
	id, err := identity.Join(cmd.Context(), identity.JoinConfig{
		Dir: agent.IdentityDir(o.cfg.StateDir), Controller: controller, Token: j.token, CAHash: j.caHash, Host: j.name, NewKey: j.newKey,
	})
	if err == nil {
		err = keepFlags(o.cfg.StateDir, cmd.Flags())
	}
	if err != nil {
		return failure{err}
	}
	fmt.Fprintf(sys.err, "daoli-hostd: %s is a host of cluster %s; its certificate lasts until %s and is renewed by itself\n",
		id.Host(), id.Cluster(), id.NotAfter().Local().Format(time.DateTime))
	if j.enrolOnly {
		return nil
	}
	if started, err := startUnits(cmd.Context(), o.cfg); started || err != nil {
		if err != nil {
			return failure{err}
		}
		return nil
	}
	if err := sys.exec([]string{"run", "--state-dir", o.cfg.StateDir}); err != nil {
		return failure{fmt.Errorf("go on as daoli-hostd run: %w", err)}
	}
	return nil
}

// complete checks join's own flags, and finds the token.
func (j *joinOptions) complete() error {
	if j.caHash == "" {
		return errors.New("--ca-hash is required: without it anybody could pass for the controller; daolictl join-token create prints it")
	}
	if j.token != "" && j.tokenFile != "" {
		return errors.New("both --token and --token-file are given")
	}
	if j.tokenFile != "" {
		b, err := os.ReadFile(j.tokenFile)
		if err != nil {
			return failure{fmt.Errorf("read the join token: %w", err)}
		}
		j.token = strings.TrimSpace(string(b))
	}
	if j.token == "" {
		return errors.New("--token, --token-file or DAOLI_TOKEN is required: daolictl join-token create makes a token")
	}
	if j.name != "" {
		return nil
	}
	var err error
	if j.name, err = hostName(); err != nil {
		return failure{err}
	}
	return nil
}

// flagsFile keeps what join was given for run.
const flagsFile = "flags.json"

// keepFlags keeps the flags that were given, or set by the environment.
func keepFlags(stateDir string, flags *pflag.FlagSet) error {
	given := map[string][]string{}
	flags.Visit(func(f *pflag.Flag) {
		if slices.Contains(notKept, f.Name) {
			return
		}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			given[f.Name] = s.GetSlice()
		} else {
			given[f.Name] = []string{f.Value.String()}
		}
	})
	b, err := json.MarshalIndent(given, "", "  ")
	path := filepath.Join(stateDir, flagsFile)
	if err == nil {
		err = os.WriteFile(path+".new", append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep the flags: %w", err)
	}
	return nil
}

// keptFlags returns what keepFlags kept, and where.
func keptFlags(stateDir string) (kept map[string][]string, path string, err error) {
	path = filepath.Join(stateDir, flagsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	if err != nil {
		return nil, path, fmt.Errorf("read what join was given in %s: %w: delete it to start with the defaults", path, err)
	}
	return kept, path, nil
}

// restoreFlags sets the flags that join was given and this command was not.
func restoreFlags(stateDir string, flags *pflag.FlagSet) error {
	kept, path, err := keptFlags(stateDir)
	if err != nil {
		return err
	}
	for name := range kept {
		if flags.Lookup(name) == nil {
			return fmt.Errorf("%s keeps --%s, which this daoli-hostd does not know: take it out", path, name)
		}
	}
	return restoreKnown(stateDir, flags)
}

// restoreKnown sets those of them that this command knows.
func restoreKnown(stateDir string, flags *pflag.FlagSet) error {
	kept, path, err := keptFlags(stateDir)
	if err != nil {
		return err
	}
	for name, values := range kept {
		f := flags.Lookup(name)
		if f == nil || f.Changed {
			continue
		}
		for _, v := range values { // a slice's first replaces the default, the others are added
			if err := flags.Set(name, v); err != nil {
				return fmt.Errorf("%s keeps --%s %q: %w", path, name, v, err)
			}
		}
	}
	return nil
}

// again goes on as daoli-hostd with other arguments, without the token in its
// command line or environment.
func again(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DAOLI_TOKEN") })
	return syscall.Exec(self, append([]string{os.Args[0]}, args...), env)
}

// Units that systemd starts, and how long that may take.
const (
	serviceUnit = "daoli-hostd.service"
	socketUnit  = "daoli-hostd.socket" // which Docker finds us by
	readyWait   = 60 * time.Second
	readyLook   = 200 * time.Millisecond
)

// startUnits has systemd start daoli-hostd, now and at each start of the host,
// and waits until a controller has confirmed it. It reports false where there is
// no systemd, or it does not have the unit.
func startUnits(ctx context.Context, cfg agent.Config) (started bool, err error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return false, nil
	}
	if exec.CommandContext(ctx, "systemctl", "cat", serviceUnit).Run() != nil {
		return false, nil
	}
	if out, err := exec.CommandContext(ctx, "systemctl", "enable", "--now", socketUnit, serviceUnit).CombinedOutput(); err != nil {
		return true, fmt.Errorf("start %s: %w: %s", serviceUnit, err, strings.TrimSpace(string(out)))
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	client := agent.NewClient(cfg.Socket)
	for {
		if s, err := client.Status(ctx); err == nil && s.Ready {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("%s is started but not ready after %s: journalctl -u daoli-hostd says why", serviceUnit, readyWait)
		case <-time.After(readyLook):
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/sandbox"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// revisionFlags say what is loaded, and for which moment.
type revisionFlags struct {
	policies  string
	at        string // RFC 3339; "": now
	endpoints string // file; "": none
}

func (f *revisionFlags) addPolicies(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policies, "policies", "", "directory of Rego (default: the directory policies beside DIR, if there; else the built-in policy)")
}

func (f *revisionFlags) addAt(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.at, "at", "", "moment to judge, such as 2026-12-24T18:00:00Z: rules have ended whose until it has reached (default: now)")
}

func (f *revisionFlags) addEndpoints(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.endpoints, "endpoints", "", "FILE of endpoints, outside addresses and ports (required)")
}

// moment returns the time that --at says.
func (f *revisionFlags) moment(sys system) (time.Time, error) {
	if f.at == "" {
		return sys.now(), nil
	}
	t, err := time.Parse(time.RFC3339, f.at)
	if err != nil {
		return t, usageError{fmt.Errorf("--at %q is no time of RFC 3339 with a zone; write it as 2026-12-24T18:00:00Z", f.at)}
	}
	return t, nil
}

// stateFlags say where a state of the YAML is read: a directory, or a commit.
type stateFlags struct {
	revisionFlags
	tree gitTree
}

func (f *stateFlags) addTree(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tree.specs, "git-specs", "specs", "directory of YAML in a commit; . is its root")
	cmd.Flags().StringVar(&f.tree.policies, "git-policies", "policies", "directory of Rego in a commit; where it has none, the built-in policy holds")
}

// revision reads a directory, or a commit.
func (f *stateFlags) revision(ctx context.Context, target string) (gitsource.Revision, error) {
	if _, err := os.Stat(target); err == nil {
		return f.read(target)
	}
	return f.tree.read(ctx, target)
}

// judged is a revision that holds, at one moment.
type judged struct {
	policy *policy.Policy
	sample *spec.Sample // nil unless asked for
	now    time.Time
	files  int // of YAML
}

// load reads dir, and the endpoints file where there is one, as the controller
// does. All that is wrong is one error; warnings are written to sys.err, whether
// something is wrong or not.
func (f *revisionFlags) load(sys system, dir string) (judged, error) {
	now, err := f.moment(sys)
	if err != nil {
		return judged{}, err
	}
	revision, err := f.read(dir)
	if err != nil {
		return judged{}, err
	}
	return f.judge(sys, now, revision)
}

// judge is load of a revision that was read.
func (f *revisionFlags) judge(sys system, now time.Time, revision gitsource.Revision) (judged, error) {
	var err error
	var sample sampleFile
	if f.endpoints != "" {
		if sample, err = readSample(f.endpoints); err != nil {
			return judged{}, err
		}
	}
	loaded, refused, err := loadRevision(now, revision, sample.observed)
	if err != nil {
		return judged{}, err
	}
	if !sample.judged {
		sample.judge(nil) // the tree is refused; say what is wrong with the file all the same
	}
	warn(sys, loaded.Warnings)
	warn(sys, sample.found)
	if refused = append(refused, sample.errors()...); len(refused) > 0 {
		return judged{}, problems(refused)
	}
	return judged{policy: loaded.Policy, sample: sample.sample, now: now, files: countFiles(revision.Specs)}, nil
}

// loadRevision loads a revision as the controller does. Tenants' Rego that it would
// not use is wrong here.
func loadRevision(now time.Time, r gitsource.Revision, observed func(*spec.Network) []*inventory.Identity) (*controller.Loaded, []string, error) {
	loader, err := newLoader()
	if err != nil {
		return nil, nil, err
	}
	loaded, refused := loader.Load(now, r, observed)
	return loaded, append(refused, loaded.Tenants...), nil
}

// newLoader returns a loader whose policies ask tenants' Rego. Its children are there,
// once there is something to ask, until the program ends.
func newLoader() (*controller.Loader, error) {
	child, err := sandboxChild()
	if err != nil {
		return nil, err
	}
	box := sandbox.New(sandbox.Options{Child: child})
	go box.Run(context.Background())
	return &controller.Loader{Sandbox: box}, nil
}

// read reads the directories of a revision.
func (f *revisionFlags) read(dir string) (gitsource.Revision, error) {
	policies := f.policies
	if policies == "" {
		policies = policiesBeside(dir)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return gitsource.Revision{}, fmt.Errorf("%s is not a directory; name the one that holds the YAML", dir)
	}
	revision, err := gitsource.ReadDir(dir, policies)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; name the directory that holds the YAML", err)
	}
	return revision, err
}

// policiesBeside returns the directory policies beside dir, or "".
func policiesBeside(dir string) string {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	beside := filepath.Join(filepath.Dir(whole), "policies")
	if info, err := os.Stat(beside); err != nil || !info.IsDir() || beside == whole {
		return ""
	}
	return beside
}

// sampleFile is an endpoints file while it is judged.
type sampleFile struct {
	name   string // "": there is none
	data   []byte
	judged bool
	sample *spec.Sample
	found  []spec.Problem
}

// readSample reads no more of a file than lets spec.LoadSample refuse it, and
// doesn't wait for a FIFO that nobody writes to.
func readSample(name string) (sampleFile, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return sampleFile{}, fmt.Errorf("read the endpoints file: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, spec.MaxFileBytes+1))
	if err != nil {
		return sampleFile{}, fmt.Errorf("read the endpoints file: %w", err)
	}
	return sampleFile{name: name, data: data}, nil
}

// judge reads the file against net, which may be nil.
func (f *sampleFile) judge(net *spec.Network) {
	f.judged = true
	if f.name != "" {
		f.sample, f.found = spec.LoadSample(f.name, f.data, net)
	}
}

// observed judges the file, and returns the identities of its endpoints.
func (f *sampleFile) observed(net *spec.Network) []*inventory.Identity {
	f.judge(net)
	if f.sample == nil {
		return nil
	}
	return matrix.Identities(net, f.sample)
}

func (f *sampleFile) errors() []string {
	var lines []string
	for _, p := range f.found {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return lines
}

// warn writes the warnings among problems to sys.err.
func warn(sys system, found []spec.Problem) {
	for _, p := range found {
		if p.Warning {
			fmt.Fprintln(sys.err, p)
		}
	}
}

func countFiles(tree fs.FS) int {
	n := 0
	// The tree is in memory, and walking it can't fail.
	_ = fs.WalkDir(tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// directory takes the one argument DIR.
func directory(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments given to %s, which takes one: the directory that holds the YAML", len(args), cmd.Name())
	}
	return nil
}

// choice returns a usageError unless value is one of known.
func choice(flag, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return usageError{fmt.Errorf("%s %q is unknown; write %s", flag, value, strings.Join(known, ", "))}
}

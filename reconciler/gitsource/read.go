package gitsource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/reconciler/spec"
)

const (
	// maxVisited bounds the entries of all directories that are looked at,
	// whatever they are.
	maxVisited = 200_000
	// attempts is how often a tree is read that changes meanwhile.
	attempts = 5
	// dataLink is the link by which Kubernetes swaps a mounted directory: the
	// files are in the directory that it points to.
	dataLink = "..data"

	specsSuffix    = ".yaml"
	policiesSuffix = ".rego"
)

// errUnsettled says that a tree changed whenever it was read.
var errUnsettled = errors.New("the files change while they are read")

// ReadDir reads the *.yaml files below specsDir and, unless policiesDir is "",
// the *.rego files below policiesDir. Names beginning with a dot are left out.
// If the directory has a link "..data", as one mounted by Kubernetes has, the
// tree is what that points to. No other link is followed.
//
// A tree beyond spec's limits is read just so far that spec.Load refuses it. It
// is an error if a directory is not there or a file can't be read, if the
// policies are beyond the same limits, or if a tree doesn't stay the same while
// it is read.
func ReadDir(specsDir, policiesDir string) (Revision, error) {
	r, err := source{specsDir, policiesDir}.read(nil)
	return r.revision, err
}

// reading is a revision and how the files were when it was read.
type reading struct {
	revision Revision
	stamps   []stamp
}

// source is the directories of a Revision. policies may be "".
type source struct {
	specs, policies string
}

// read reads both trees, again if they are not the same afterwards. visit, if
// not nil, is called with each directory before it is listed.
func (s source) read(visit func(dir string)) (reading, error) {
	for range attempts {
		r, err := s.tryRead(visit)
		if !errors.Is(err, errUnsettled) {
			return r, err
		}
	}
	return reading{}, fmt.Errorf("read %s: %w", s.specs, errUnsettled)
}

func (s source) tryRead(visit func(string)) (reading, error) {
	specs, err := readTree(s.specs, specsSuffix, visit)
	if err != nil {
		return reading{}, fmt.Errorf("read specs %s: %w", s.specs, err)
	}
	r := reading{stamps: specs.stamps}
	var policyFS *memFS
	if s.policies != "" {
		policies, err := readTree(s.policies, policiesSuffix, visit)
		if err == nil && policies.excess {
			err = fmt.Errorf("more than %d files, %d bytes a file or %d bytes in all",
				spec.MaxFiles, spec.MaxFileBytes, spec.MaxTreeBytes)
		}
		if err != nil {
			return reading{}, fmt.Errorf("read policies %s: %w", s.policies, err)
		}
		r.stamps = append(r.stamps, policies.stamps...)
		policyFS = newMemFS(policies.files)
	}
	if !s.unchangedSince(r.stamps) {
		return reading{}, errUnsettled
	}
	r.revision = newRevision(newMemFS(specs.files), policyFS, time.Now())
	return r, nil
}

// unchangedSince reports whether the files are as they were.
func (s source) unchangedSince(stamps []stamp) bool {
	now, err := stampsOf(s.specs, specsSuffix)
	if err == nil && s.policies != "" {
		var more []stamp
		more, err = stampsOf(s.policies, policiesSuffix)
		now = append(now, more...)
	}
	return err == nil && slices.EqualFunc(stamps, now, stamp.equal)
}

// stamp is how a file was when it was looked at. Its path is below the root.
type stamp struct {
	path string
	info fs.FileInfo
}

func (s stamp) equal(t stamp) bool {
	return s.path == t.path && s.info.Mode() == t.info.Mode() && s.info.Size() == t.info.Size() &&
		s.info.ModTime().Equal(t.info.ModTime()) && os.SameFile(s.info, t.info)
}

// tree is what was read below one root.
type tree struct {
	files  []*memFile
	stamps []stamp
	excess bool // a limit is exceeded, and files is not all
}

// readTree reads the files below dir whose names end in suffix.
func readTree(dir, suffix string, visit func(string)) (tree, error) {
	root, real, err := openTree(dir, visit)
	if err != nil {
		return tree{}, err
	}
	defer root.Close()
	w := walk{root: root, real: real, suffix: suffix, visit: visit}
	if err := w.dir("."); err != nil {
		return tree{}, err
	}
	t := tree{stamps: w.stamps, excess: w.full}
	var size int
	for _, s := range w.stamps {
		f, err := readFile(root, s)
		if err != nil {
			return tree{}, err
		}
		t.files = append(t.files, f)
		size += len(f.data)
		if len(f.data) > spec.MaxFileBytes {
			t.excess = true
		}
		if size > spec.MaxTreeBytes {
			t.excess = true
			break
		}
	}
	return t, nil
}

// stampsOf looks at the files below dir without reading them.
func stampsOf(dir, suffix string) ([]stamp, error) {
	root, real, err := openTree(dir, nil)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	w := walk{root: root, real: real, suffix: suffix}
	err = w.dir(".")
	return w.stamps, err
}

// openTree opens the directory that holds the files of dir, and returns its
// path without links.
func openTree(dir string, visit func(string)) (*os.Root, string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, "", err
	}
	if visit != nil {
		visit(real)
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, "", err
	}
	target, err := root.Readlink(dataLink)
	if err != nil {
		return root, real, nil // no link, as nearly always
	}
	defer root.Close()
	if info, err := root.Lstat(target); err != nil || !info.IsDir() || strings.ContainsRune(target, filepath.Separator) {
		return nil, "", fmt.Errorf("%s points to %q, which is no directory beside it", dataLink, target)
	}
	data, err := root.OpenRoot(target)
	return data, filepath.Join(real, target), err
}

// walk looks for the files of one tree.
type walk struct {
	root    *os.Root
	real    string // path of root
	suffix  string
	visit   func(string)
	visited int
	stamps  []stamp
	full    bool // there are more files than are looked at
}

// dir looks at the entries of a directory, in order of their names.
func (w *walk) dir(name string) error {
	if w.visit != nil {
		w.visit(filepath.Join(w.real, name))
	}
	entries, err := w.list(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if w.full {
			return nil
		}
		if err := w.entry(path.Join(name, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// list returns the entries of a directory whose names don't begin with a dot.
func (w *walk) list(name string) ([]fs.DirEntry, error) {
	f, err := w.root.Open(name)
	if err != nil {
		return nil, settled(err)
	}
	defer f.Close()
	var entries []fs.DirEntry
	for {
		some, err := f.ReadDir(1024)
		if w.visited += len(some); w.visited > maxVisited {
			return nil, fmt.Errorf("more than %d files and directories of any kind", maxVisited)
		}
		for _, e := range some {
			if !strings.HasPrefix(e.Name(), ".") {
				entries = append(entries, e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, settled(err)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// entry looks at one entry. What is named as a file but is none is kept, so that
// the reader says what it is; a directory among them is not entered.
func (w *walk) entry(name string, e fs.DirEntry) error {
	if !strings.HasSuffix(name, w.suffix) {
		if e.IsDir() {
			return w.dir(name)
		}
		return nil
	}
	if len(w.stamps) > spec.MaxFiles {
		w.full = true
		return nil
	}
	info, err := w.root.Lstat(name)
	if err != nil {
		return settled(err)
	}
	w.stamps = append(w.stamps, stamp{name, info})
	return nil
}

// settled returns errUnsettled for what is no longer there.
func settled(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errUnsettled
	}
	return err
}

// readFile reads the file that was seen as s. It never waits for a FIFO that
// has taken the file's place.
func readFile(root *os.Root, s stamp) (*memFile, error) {
	f := &memFile{path: s.path, mode: s.info.Mode(), modTime: s.info.ModTime()}
	if !s.info.Mode().IsRegular() {
		return f, nil
	}
	file, err := root.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, settled(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, s.info) {
		return nil, errUnsettled
	}
	f.data, err = io.ReadAll(io.LimitReader(file, spec.MaxFileBytes+1))
	return f, err
}

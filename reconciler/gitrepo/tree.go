package gitrepo

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// maxVisited bounds the entries of all directories that are looked at.
const maxVisited = 200_000

// maxPath is how long a path may be, in bytes (Linux, PATH_MAX).
const maxPath = 4096

// archiver writes what is read of a tree.
type archiver struct {
	out     *tar.Writer
	objects storer.EncodedObjectStorer
	visited int
}

// directory writes the files below dir whose names end in suffix, under their
// paths in the tree. Names that begin with a dot are left out; links and
// submodules are written as what they are, without content. No more is written
// than lets package spec refuse it.
func (a *archiver) directory(root *object.Tree, dir, suffix string) error {
	t := root
	if dir != "." {
		var err error
		if t, err = root.Tree(dir); err != nil {
			return err
		}
	}
	if err := a.out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o555}); err != nil {
		return err
	}
	w := treeWalk{archiver: a, suffix: suffix}
	return w.tree(dir, t)
}

// treeWalk is the reading of one directory.
type treeWalk struct {
	*archiver
	suffix string
	files  int
	bytes  int64
}

func (w *treeWalk) tree(name string, t *object.Tree) error {
	for i := range t.Entries {
		e := &t.Entries[i]
		if w.visited++; w.visited > maxVisited {
			return fmt.Errorf("%s: more than %d files and directories of any kind", name, maxVisited)
		}
		if strings.HasPrefix(e.Name, ".") || w.files > spec.MaxFiles || w.bytes > spec.MaxTreeBytes {
			continue
		}
		if err := w.entry(path.Join(name, e.Name), e); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWalk) entry(name string, e *object.TreeEntry) error {
	if strings.ContainsRune(e.Name, '/') || e.Name == "" || len(name) > maxPath {
		return fmt.Errorf("%.200s: no path of a file that can be read", name)
	}
	if !strings.HasSuffix(name, w.suffix) {
		if e.Mode != filemode.Dir {
			return nil
		}
		sub, err := object.GetTree(w.objects, e.Hash)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return w.tree(name, sub)
	}
	w.files++
	if !e.Mode.IsFile() || e.Mode == filemode.Symlink {
		return w.out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "elsewhere", Mode: 0o777})
	}
	blob, err := object.GetBlob(w.objects, e.Hash)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return w.file(name, blob)
}

func (w *treeWalk) file(name string, blob *object.Blob) error {
	n := min(blob.Size, spec.MaxFileBytes+1)
	if n < 0 {
		return fmt.Errorf("%s: a file of %d bytes", name, blob.Size)
	}
	w.bytes += n
	if err := w.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: n, Mode: 0o444}); err != nil {
		return err
	}
	r, err := blob.Reader()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	if _, err := io.CopyN(w.out, r, n); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// writeTree writes both directories of a commit.
func writeTree(out *tar.Writer, objects storer.EncodedObjectStorer, q *Request, c *object.Commit) error {
	root, err := c.Tree()
	if err != nil {
		return fmt.Errorf("read tree of %s: %w", short(c.Hash.String()), err)
	}
	a := &archiver{out: out, objects: objects}
	if err := a.directory(root, q.Specs, ".yaml"); err != nil {
		if errors.Is(err, object.ErrDirectoryNotFound) {
			return fmt.Errorf("commit %s has no directory %s", short(c.Hash.String()), q.Specs)
		}
		return err
	}
	err = a.directory(root, q.Policies, ".rego")
	if errors.Is(err, object.ErrDirectoryNotFound) {
		return nil
	}
	return err
}

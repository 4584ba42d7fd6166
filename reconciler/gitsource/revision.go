package gitsource

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
)

// idDigits is how many hex digits of the digest a revision's ID has.
const idDigits = 12

// Revision is one complete, consistent reading of the source. It is immutable.
type Revision struct {
	// ID is "sha256:" and the first 12 hex digits of a digest over all paths and
	// contents: equal content has an equal ID, wherever and whenever it was read. Of
	// a commit it is the first 12 digits of its hash.
	ID string
	// Commit is what the reading is of; nil: it is of directories.
	Commit *gitrepo.Commit
	// Specs holds the *.yaml files, at the paths they have below their root.
	// What is no regular file is an entry that says so and can't be opened.
	Specs fs.FS
	// Policies holds the *.rego files likewise. It is nil if there is no
	// policies directory: then the embedded policies hold.
	Policies fs.FS
	// Read is when the reading was done.
	Read time.Time

	digest [sha256.Size]byte
}

// Files are regular files by their paths below a root.
type Files map[string][]byte

// FilesOf returns the regular files of a tree of a Revision. Their contents are
// shared with it.
func FilesOf(tree fs.FS) (Files, error) {
	m, ours := tree.(*memFS)
	if !ours {
		return nil, fmt.Errorf("list files: %T is no tree of a revision", tree)
	}
	out := make(Files, len(m.files))
	for _, f := range m.files {
		if !f.mode.IsRegular() {
			return nil, fmt.Errorf("list files: %s: %w", f.path, errNotRegular)
		}
		out[f.path] = f.data
	}
	return out, nil
}

// Restore makes a Revision of files that were once read of one; policies may be nil.
func Restore(id string, c *gitrepo.Commit, specs, policies Files, read time.Time) Revision {
	tree := func(files Files) *memFS {
		if files == nil {
			return nil
		}
		all := make([]*memFile, 0, len(files))
		for name, data := range files {
			all = append(all, &memFile{path: name, mode: 0o444, modTime: read, data: data})
		}
		return newMemFS(all)
	}
	r := newRevision(tree(specs), tree(policies), read)
	r.ID, r.Commit = id, c
	return r
}

// Same reports whether two revisions hold the same files.
func (r *Revision) Same(o *Revision) bool { return r.digest == o.digest }

// newRevision returns the revision of two trees; policies may be nil.
func newRevision(specs, policies *memFS, read time.Time) Revision {
	h := sha256.New()
	specs.hash(h)
	r := Revision{Specs: specs, Read: read}
	if policies != nil {
		policies.hash(h)
		r.Policies = policies
	}
	h.Sum(r.digest[:0])
	r.ID = "sha256:" + hex.EncodeToString(r.digest[:])[:idDigits]
	return r
}

// hash writes the tree to h so that different trees differ in what is written.
func (m *memFS) hash(h io.Writer) {
	fmt.Fprintf(h, "tree %d\n", len(m.files))
	for _, f := range m.files {
		writeSized(h, []byte(f.path))
		writeSized(h, []byte(f.mode.Type().String()))
		writeSized(h, f.data)
	}
}

// writeSized writes the length of b, 8 bytes, and b.
func writeSized(w io.Writer, b []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(b)))
	w.Write(size[:])
	w.Write(b)
}

// Package revisions keeps the revisions that were in force: what they said, file
// by file, and who made them. So a controller that starts while its source is
// broken or away goes on with what was good last, and questions about the past have
// an answer.
//
//	DIR/index.json      the revisions, the newest last
//	DIR/blobs/HASH      a file's content, once however many revisions have it
package revisions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/private"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Record is a revision that was in force.
type Record struct {
	ID     string          `json:"id"`
	Commit *gitrepo.Commit `json:"commit,omitempty"` // nil: it was read of directories
	Since  time.Time       `json:"since"`            // when it became active

	// Contents by path; policies is null where the embedded ones held.
	Specs    map[string]string `json:"specs"`
	Policies map[string]string `json:"policies"`
}

// Store keeps the last revisions in a directory. It is not safe for concurrent use.
type Store struct {
	dir     string
	keep    int
	records []Record // the oldest first

	// What the last record has, so that the next one's unchanged files are neither
	// hashed nor written again.
	last map[string]stored
}

type stored struct {
	data []byte
	hash string
}

// Open opens or makes a store that keeps so many revisions. An index that can't be
// read is an error that says what to do.
func Open(dir string, keep int) (*Store, error) {
	s := &Store{dir: dir, keep: keep}
	if err := os.MkdirAll(s.blobs(), 0o700); err != nil {
		return nil, fmt.Errorf("make the store of revisions: %w", err)
	}
	b, err := os.ReadFile(s.index())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store of revisions: %w", err)
	}
	if err := json.Unmarshal(b, &s.records); err != nil {
		return nil, fmt.Errorf("read %s: %w; remove the file to start without a history", s.index(), err)
	}
	return s, nil
}

func (s *Store) index() string { return filepath.Join(s.dir, "index.json") }
func (s *Store) blobs() string { return filepath.Join(s.dir, "blobs") }

// Records returns the revisions, the oldest first. The caller doesn't change them.
func (s *Store) Records() []Record { return s.records }

// Save keeps a revision that became active, unless it is the last one already.
func (s *Store) Save(r gitsource.Revision, since time.Time) error {
	rec := Record{ID: r.ID, Commit: r.Commit, Since: since}
	now := make(map[string]stored)
	var err error
	if rec.Specs, err = s.saveTree("specs/", r.Specs, now); err != nil {
		return err
	}
	if r.Policies != nil {
		if rec.Policies, err = s.saveTree("policies/", r.Policies, now); err != nil {
			return err
		}
	}
	s.last = now
	if n := len(s.records); n > 0 && s.records[n-1].ID == rec.ID {
		return nil
	}
	records := append(s.records[max(0, len(s.records)+1-s.keep):len(s.records):len(s.records)], rec)
	b, err := json.Marshal(records)
	if err == nil {
		err = private.WriteFile(s.index(), b)
	}
	if err != nil {
		return fmt.Errorf("write the store of revisions: %w", err)
	}
	s.records = records
	return s.collect()
}

// saveTree writes the files of a tree that are not there yet.
func (s *Store) saveTree(prefix string, tree fs.FS, now map[string]stored) (map[string]string, error) {
	files, err := gitsource.FilesOf(tree)
	if err != nil {
		return nil, fmt.Errorf("store the revision: %w", err)
	}
	out := make(map[string]string, len(files))
	for name, data := range files {
		one, found := s.last[prefix+name]
		if !found || !bytes.Equal(one.data, data) {
			h := sha256.Sum256(data)
			one = stored{data, hex.EncodeToString(h[:])}
			if err := s.saveBlob(one); err != nil {
				return nil, fmt.Errorf("store %s of the revision: %w", name, err)
			}
		}
		now[prefix+name], out[name] = stored{data, one.hash}, one.hash
	}
	return out, nil
}

func (s *Store) saveBlob(b stored) error {
	path := filepath.Join(s.blobs(), b.hash)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return private.WriteFileUnsynced(path, b.data)
}

// collect removes the contents that no revision has.
func (s *Store) collect() error {
	used := make(map[string]bool)
	for _, r := range s.records {
		for _, of := range []map[string]string{r.Specs, r.Policies} {
			for _, hash := range of {
				used[hash] = true
			}
		}
	}
	entries, err := os.ReadDir(s.blobs())
	if err != nil {
		return fmt.Errorf("clean the store of revisions: %w", err)
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.Remove(filepath.Join(s.blobs(), e.Name())); err != nil {
				return fmt.Errorf("clean the store of revisions: %w", err)
			}
		}
	}
	return nil
}

// ErrUnknown says that a revision is not kept.
var ErrUnknown = errors.New("no such revision is kept")

// Load returns the newest revision with an ID.
func (s *Store) Load(id string) (gitsource.Revision, error) {
	for i := len(s.records) - 1; i >= 0; i-- {
		if s.records[i].ID == id {
			return s.load(&s.records[i])
		}
	}
	return gitsource.Revision{}, ErrUnknown
}

// Latest returns the newest revision whose files are whole: what was written just
// before a machine lost its power may not be.
func (s *Store) Latest() (gitsource.Revision, error) {
	err := ErrUnknown
	for i := len(s.records) - 1; i >= 0; i-- {
		r, lerr := s.load(&s.records[i])
		if lerr == nil {
			return r, nil
		}
		if errors.Is(err, ErrUnknown) {
			err = lerr // why not the newest
		}
	}
	return gitsource.Revision{}, err
}

func (s *Store) load(r *Record) (gitsource.Revision, error) {
	specs, err := s.loadTree(r.Specs)
	if err != nil {
		return gitsource.Revision{}, err
	}
	var policies gitsource.Files
	if r.Policies != nil {
		if policies, err = s.loadTree(r.Policies); err != nil {
			return gitsource.Revision{}, err
		}
	}
	return gitsource.Restore(r.ID, r.Commit, specs, policies, r.Since), nil
}

func (s *Store) loadTree(files map[string]string) (gitsource.Files, error) {
	out := make(gitsource.Files, len(files))
	for name, hash := range files {
		if !fs.ValidPath(name) || filepath.Base(hash) != hash {
			return nil, fmt.Errorf("the index of the store of revisions is damaged at %.80q", name)
		}
		b, err := os.ReadFile(filepath.Join(s.blobs(), hash))
		if err != nil {
			return nil, fmt.Errorf("read %s of the stored revision: %w", name, err)
		}
		if h := sha256.Sum256(b); hex.EncodeToString(h[:]) != hash || len(b) > spec.MaxFileBytes {
			return nil, fmt.Errorf("%s of the stored revision is damaged", name)
		}
		out[name] = b
	}
	return out, nil
}

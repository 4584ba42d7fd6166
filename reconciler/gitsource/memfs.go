package gitsource

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// errNotRegular is why an entry that is no regular file can't be opened.
var errNotRegular = errors.New("not a regular file")

// memFile is one file of a memFS, and its fs.FileInfo.
type memFile struct {
	path    string // below the root, as fs.ValidPath wants it
	mode    fs.FileMode
	modTime time.Time
	data    []byte
}

func (f *memFile) Name() string               { return path.Base(f.path) }
func (f *memFile) Size() int64                { return int64(len(f.data)) }
func (f *memFile) Mode() fs.FileMode          { return f.mode }
func (f *memFile) ModTime() time.Time         { return f.modTime }
func (f *memFile) IsDir() bool                { return f.mode.IsDir() }
func (f *memFile) Sys() any                   { return nil }
func (f *memFile) Type() fs.FileMode          { return f.mode.Type() }
func (f *memFile) Info() (fs.FileInfo, error) { return f, nil }

// memFS is an immutable fs.FS in memory. testing/fstest.MapFS is none for this:
// it looks through all files for each directory, and follows symbolic links.
type memFS struct {
	files []*memFile               // by path
	byDir map[string][]fs.DirEntry // by name
	all   map[string]*memFile      // files and directories by path
}

// newMemFS returns the file system of files and of the directories they are in.
func newMemFS(files []*memFile) *memFS {
	m := &memFS{files: files, byDir: make(map[string][]fs.DirEntry), all: make(map[string]*memFile)}
	slices.SortFunc(files, func(a, b *memFile) int { return strings.Compare(a.path, b.path) })
	m.all["."] = &memFile{path: ".", mode: fs.ModeDir | 0o555}
	for _, f := range files {
		m.enter(f)
	}
	for _, entries := range m.byDir {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	}
	return m
}

// enter adds f, and the directories above it that are not there yet.
func (m *memFS) enter(f *memFile) {
	for {
		m.all[f.path] = f
		dir := path.Dir(f.path)
		m.byDir[dir] = append(m.byDir[dir], f)
		if m.all[dir] != nil {
			return
		}
		f = &memFile{path: dir, mode: fs.ModeDir | 0o555}
	}
}

// Open implements fs.FS.
func (m *memFS) Open(name string) (fs.File, error) {
	f := m.all[name]
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case f == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case f.IsDir():
		return &openDir{openFile{memFile: f}, m.byDir[name]}, nil
	case !f.mode.IsRegular():
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	return &openFile{f, bytes.NewReader(f.data)}, nil
}

// openFile is an open regular file.
type openFile struct {
	*memFile
	reader *bytes.Reader
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.memFile, nil }
func (o *openFile) Close() error               { return nil }
func (o *openFile) Read(b []byte) (int, error) { return o.reader.Read(b) }

// openDir is an open directory with the entries that are not read yet.
type openDir struct {
	openFile
	left []fs.DirEntry
}

func (o *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.path, Err: errNotRegular}
}

// ReadDir implements fs.ReadDirFile.
func (o *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(o.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(o.left) {
		n = len(o.left)
	}
	entries := slices.Clone(o.left[:n])
	o.left = o.left[n:]
	return entries, nil
}

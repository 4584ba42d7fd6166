package gitsource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// renew begins with no watch. fsnotify knows a watch by the path under which it
// was added, so those of a directory that was moved would mislead it. If there
// can be no new watcher, the old one stays.
func (w *watcher) renew() error {
	notify, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		return err
	}
	if w.notify != nil {
		w.notify.Close()
	}
	w.notify = notify
	return nil
}

// visit watches a directory whose entries matter.
func (w *watcher) visit(dir string) {
	w.dirs[dir] = true
	w.add(dir)
}

// anchor watches what decides which directory root is: its own entry, each
// symbolic link on the way to it, and the first part of the way that isn't
// there. Files are never watched: a watch stays with a file that is replaced.
func (w *watcher) anchor(root string) {
	for _, p := range ancestors(root) {
		info, err := os.Lstat(p)
		if err == nil && p != root && info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		dir, evalErr := filepath.EvalSymlinks(filepath.Dir(p))
		if evalErr != nil {
			return
		}
		w.anchors[filepath.Join(dir, filepath.Base(p))] = true
		w.add(dir)
		if err != nil {
			return
		}
	}
}

// ancestors returns the paths on the way to an absolute path, the shortest
// first and without "/".
func ancestors(p string) []string {
	var all []string
	for ; p != filepath.Dir(p); p = filepath.Dir(p) {
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// add watches a directory. It needn't be there any more.
func (w *watcher) add(dir string) {
	if err := w.notify.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.blind = true
	}
}

// matters reports whether an event may have changed what is read.
func (w *watcher) matters(e fsnotify.Event) bool {
	if w.anchors[e.Name] || w.dirs[e.Name] {
		return true
	}
	dir, name := filepath.Split(e.Name)
	switch {
	case !w.dirs[filepath.Clean(dir)]:
		return false
	case name == dataLink:
		return true
	case strings.HasPrefix(name, "."):
		return false
	case strings.HasSuffix(name, specsSuffix), strings.HasSuffix(name, policiesSuffix):
		return true
	}
	// It may be a directory.
	return e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)
}

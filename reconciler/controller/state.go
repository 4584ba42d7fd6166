package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/private"
)

// nextEpoch counts the starts of this controller in its state directory, so
// that no cookie of an earlier run is given again.
func nextEpoch(dir string) (uint16, error) {
	path := filepath.Join(dir, "epoch")
	last := uint64(0)
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16); err != nil {
			return 0, fmt.Errorf("read %s: %w; remove the file to start at 1", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("read the epoch: %w", err)
	}
	epoch := uint16(last) + 1
	if epoch == 0 {
		epoch = 1
	}
	if err := private.WriteFile(path, []byte(strconv.Itoa(int(epoch))+"\n")); err != nil {
		return 0, fmt.Errorf("write the epoch: %w", err)
	}
	return epoch, nil
}

// leaseFile keeps the leases on disk. Only the newest state matters, so what
// could not be written yet is replaced by what follows.
type leaseFile struct {
	path string
	next chan engine.Leases // capacity 1
}

// openLeases makes the state directory and reads the leases kept in it.
func openLeases(dir string) (*leaseFile, engine.Leases, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the state directory: %w", err)
	}
	f := &leaseFile{path: filepath.Join(dir, "leases.json"), next: make(chan engine.Leases, 1)}
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the leases: %w", err)
	}
	var leases engine.Leases
	if err := json.Unmarshal(b, &leases); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w; remove the file to start without leases", f.path, err)
	}
	restNow(leases, time.Now())
	return f, leases, nil
}

// restNow has addresses rest from now on that were released in the future: the
// clock was set back since, and they would rest until it catches up.
func restNow(leases engine.Leases, now time.Time) {
	for _, of := range leases {
		for ip, l := range of {
			if l.Released.After(now) {
				l.Released = now
				of[ip] = l
			}
		}
	}
}

// save has the leases written soon. Only the loop calls it.
func (f *leaseFile) save(l engine.Leases) {
	select {
	case <-f.next:
	default:
	}
	f.next <- l
}

// run writes what save brings until ctx ends.
func (f *leaseFile) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-f.next:
			b, err := json.MarshalIndent(l, "", "  ")
			if err == nil {
				err = private.WriteFile(f.path, append(b, '\n'))
			}
			if err != nil {
				return fmt.Errorf("write the leases: %w", err)
			}
		}
	}
}

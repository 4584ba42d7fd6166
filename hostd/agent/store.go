package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/private"
)

// hostState is what a host must know of itself after a restart.
type hostState struct {
	Uplink      string             `json:"uplink"`      // device whose address is on the bridge; empty: not joined
	UplinkIndex int                `json:"uplinkIndex"` // of the device when it became the bridge's port
	Bridge      string             `json:"bridge"`
	Datapath    string             `json:"datapath"`
	Original    nic.Original       `json:"original"`      // what leave gives back
	Kept        nic.Kept           `json:"kept"`          // what the bridge's LOCAL has, or will have
	Own         *ownWire           `json:"own,omitempty"` // absent: the host's address is the wire's
	Controllers []string           `json:"controllers"`   // OpenFlow targets, as last told
	Wire        pipeline.WireRange `json:"wire"`          // as last told
	NextPort    uint32             `json:"nextPort"`
}

// store keeps a host's state in a directory:
//
//	lock                        held while a hostd runs
//	host.json                   hostState
//	endpoints/T.V.N.json        one endpoint; no name has a dot
//	docker.json                 Docker's networks: dockerNetwork by ID
//
// Each file is written beside its place and moved there, so that a crash leaves
// the old or the new one.
type store struct {
	dir  string
	lock *os.File
}

// openStore makes the directory and takes its lock.
func openStore(dir string) (*store, error) {
	s := &store{dir: dir}
	if err := os.MkdirAll(s.endpointDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state directory's lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("state directory %s is in use by another daoli-hostd: %w: stop that first (systemctl stop daoli-hostd)", dir, err)
	}
	s.lock = lock
	return s, nil
}

func (s *store) close() { s.lock.Close() }

func (s *store) endpointDir() string { return filepath.Join(s.dir, "endpoints") }

func (s *store) endpointFile(r endpoint.Ref) string {
	return filepath.Join(s.endpointDir(), r.Tenant+"."+r.VPC+"."+r.Name+".json")
}

// host returns the saved state, or an empty one.
func (s *store) host() (hostState, error) {
	var h hostState
	err := readIfThere(filepath.Join(s.dir, "host.json"), &h)
	return h, err
}

func (s *store) saveHost(h hostState) error { return write(filepath.Join(s.dir, "host.json"), h) }

// endpoints returns the saved endpoints.
func (s *store) endpoints() ([]endpoint.Endpoint, error) {
	entries, err := os.ReadDir(s.endpointDir())
	if err != nil {
		return nil, fmt.Errorf("list saved endpoints: %w", err)
	}
	var all []endpoint.Endpoint
	for _, f := range entries {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		var e endpoint.Endpoint
		path := filepath.Join(s.endpointDir(), f.Name())
		if err := read(path, &e); err != nil {
			return nil, err
		}
		if s.endpointFile(e.Ref) != path {
			return nil, fmt.Errorf("%s holds endpoint %s", path, e.Ref)
		}
		all = append(all, e)
	}
	return all, nil
}

func (s *store) saveEndpoint(e endpoint.Endpoint) error { return write(s.endpointFile(e.Ref), e) }

func (s *store) forgetEndpoint(r endpoint.Ref) error {
	err := os.Remove(s.endpointFile(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readIfThere reads a file, and leaves v as it is where there is none.
func readIfThere(path string, v any) error {
	err := read(path, v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func read(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read state %s: %w: delete it if it can't be repaired", path, err)
	}
	return nil
}

func write(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = private.WriteFile(path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write state %s: %w", path, err)
	}
	return nil
}

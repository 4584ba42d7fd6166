package enrol

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/daolinet/daolinet/reconciler/private"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// Names in the directory.
const (
	caFile    = "ca.pem"
	keyFile   = "ca.key"
	stateFile = "state.json"
)

// openCA reads the cluster's CA from dir, or makes one at the first start.
func openCA(dir string, now time.Time) (*trust.CA, error) {
	cert, certErr := os.ReadFile(filepath.Join(dir, caFile))
	key, keyErr := os.ReadFile(filepath.Join(dir, keyFile))
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && (keyErr == nil || errors.Is(keyErr, fs.ErrNotExist)):
		// A key without a certificate is of a first start that did not come to its
		// end: nobody has seen anything of it.
		return createCA(dir, now)
	case certErr != nil:
		return nil, fmt.Errorf("read the CA: %w", certErr)
	case keyErr != nil:
		return nil, fmt.Errorf("read the CA's key: %w: put it back beside %s", keyErr, caFile)
	}
	ca, err := trust.ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read the CA in %s: %w", dir, err)
	}
	return ca, nil
}

// createCA writes the certificate last: it tells that the rest is there.
func createCA(dir string, now time.Time) (*trust.CA, error) {
	ca, err := trust.NewCA(rand.Reader, now)
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.PEM()
	if err != nil {
		return nil, err
	}
	if err := private.WriteFile(filepath.Join(dir, keyFile), key); err != nil {
		return nil, fmt.Errorf("keep the CA's key: %w", err)
	}
	if err := private.WriteFile(filepath.Join(dir, caFile), cert); err != nil {
		return nil, fmt.Errorf("keep the CA: %w", err)
	}
	return ca, nil
}

// readState reads what is kept of tokens and hosts. What cannot be read stops the
// controller: with an empty registry a revoked host would be a stranger.
func readState(dir string) (*trust.State, error) {
	path := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return trust.NewState(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the registry of hosts: %w", err)
	}
	s := trust.NewState()
	if err = json.Unmarshal(b, s); err == nil {
		err = s.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; with the file removed all hosts have to join again", path, err)
	}
	return s, nil
}

func writeState(dir string, s *trust.State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = private.WriteFile(filepath.Join(dir, stateFile), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep the registry of hosts: %w", err)
	}
	return nil
}

package controller

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAddressReleasedInTheFutureRestsFromNow: the clock was set back while the
// controller was not running.
func TestAddressReleasedInTheFutureRestsFromNow(t *testing.T) {
	dir := t.TempDir()
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339Nano)
	before := time.Now()
	yesterday := before.Add(-24 * time.Hour).UTC().Format(time.RFC3339Nano)
	text := `{"acme/prod":{"10.1.0.2":{"Holder":"acme/prod/a@h1","Released":"` + tomorrow + `"},"10.1.0.3":{"Holder":"acme/prod/b@h1","Released":"` + yesterday + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "leases.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, leases, err := openLeases(dir)
	if err != nil {
		t.Fatal(err)
	}
	of := leases["acme/prod"]
	if got := of[netip.MustParseAddr("10.1.0.2")].Released; got.Before(before) || got.After(time.Now()) {
		t.Errorf("released %s; want now", got)
	}
	if got := of[netip.MustParseAddr("10.1.0.3")].Released; !got.Before(before) {
		t.Errorf("released %s; want yesterday, as it was", got)
	}
}

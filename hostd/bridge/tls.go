package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// TLS names the files by which Open vSwitch connects to controllers: absolute
// paths. It reads them again when they change (ovs-vswitchd.conf.db(5), SSL).
type TLS struct{ PrivateKey, Certificate, CA string }

// tlsArgs returns the arguments of ovs-vsctl that have Open vSwitch use these
// files, none if it does. There is one such setting in an Open vSwitch: another
// owner's is not replaced.
func (b *Bridge) tlsArgs(ctx context.Context, t TLS) ([]string, error) {
	for _, f := range []string{t.PrivateKey, t.Certificate, t.CA} {
		if !filepath.IsAbs(f) || strings.ContainsAny(f, "\"\\\n") {
			return nil, fmt.Errorf("file %q for TLS has no plain absolute path", f)
		}
	}
	have, owner, err := b.tls(ctx)
	switch {
	case err != nil:
		return nil, err
	case have == t && owner == b.cfg.Name:
		return nil, nil
	case have != (TLS{}) && have != t && owner == "":
		return nil, fmt.Errorf("the one certificate that Open vSwitch can connect with is somebody else's, %s: "+
			"if nobody needs that any more, take it away with ovs-vsctl del-ssl", have.Certificate)
	}
	return []string{
		"--", "--id=@tls", "create", "SSL", `private_key="` + t.PrivateKey + `"`, `certificate="` + t.Certificate + `"`, `ca_cert="` + t.CA + `"`,
		"external_ids:" + ownerKey + "=" + b.cfg.Name,
		"--", "set", "Open_vSwitch", ".", "ssl=@tls",
	}, nil
}

// tls returns the files that Open vSwitch uses, none if it has not been told,
// and whose setting that is: "" is not one of ours. A row that nothing refers to
// doesn't exist in that database, so there is one at most.
func (b *Bridge) tls(ctx context.Context) (t TLS, owner string, err error) {
	out, err := b.tools.vsctl(ctx, "--format=json", "--", "--columns=private_key,certificate,ca_cert,external_ids", "list", "SSL")
	if err == nil {
		t, owner, err = parseTLS(out)
	}
	if err != nil {
		return t, "", fmt.Errorf("read the TLS setting of Open vSwitch: %w", err)
	}
	return t, owner, nil
}

// parseTLS reads rows as ovs-vsctl writes them: values as in RFC 7047, 5.1.
func parseTLS(text []byte) (t TLS, owner string, err error) {
	var table struct {
		Headings []string            `json:"headings"`
		Data     [][]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &table); err != nil || len(table.Data) == 0 {
		return t, "", err
	}
	row := table.Data[0]
	var ids struct {
		kind  string
		pairs [][2]string
	}
	into := map[string]any{
		"private_key": &t.PrivateKey, "certificate": &t.Certificate, "ca_cert": &t.CA, "external_ids": &[]any{&ids.kind, &ids.pairs},
	}
	for i, h := range table.Headings[:min(len(table.Headings), len(row))] {
		if to := into[h]; to != nil {
			if err := json.Unmarshal(row[i], to); err != nil {
				return t, "", fmt.Errorf("column %s: %w", h, err)
			}
		}
	}
	for _, p := range ids.pairs {
		if p[0] == ownerKey {
			owner = p[1]
		}
	}
	return t, owner, nil
}

// deleteTLS takes the setting away if it is this bridge's.
func (b *Bridge) deleteTLS(ctx context.Context) error {
	_, owner, err := b.tls(ctx)
	if err != nil || owner != b.cfg.Name {
		return err
	}
	if _, err := b.tools.vsctl(ctx, "del-ssl"); err != nil {
		return fmt.Errorf("take the TLS setting of Open vSwitch away: %w", err)
	}
	return nil
}

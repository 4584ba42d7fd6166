package hostpb

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Kinds of members of a cluster.
const (
	KindHost       = "host"
	KindController = "controller"
)

// pinPrefix begins a Pin, so that another hash may take its place one day.
const pinPrefix = "sha256:"

// Pin is how a certificate is known by its public key: "sha256:" and the hash of
// its SubjectPublicKeyInfo (RFC 7469, 2.4) in hexadecimal. A CA's is what a host
// is told when it joins.
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// CheckPin reports what is wrong with a pin, as somebody typed it.
func CheckPin(s string) error {
	digits, found := strings.CutPrefix(s, pinPrefix)
	sum, err := hex.DecodeString(digits)
	if !found || err != nil || len(sum) != sha256.Size || digits != strings.ToLower(digits) {
		return fmt.Errorf("%q is no hash of a CA: it is %s and %d hexadecimal digits", s, pinPrefix, 2*sha256.Size)
	}
	return nil
}

// MemberURI is the name of a member in its certificate: spiffe://CLUSTER/KIND/NAME.
func MemberURI(cluster, kind, name string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: cluster, Path: "/" + kind + "/" + name}
}

// Member returns the cluster, kind and name of the member whose certificate c is.
func Member(c *x509.Certificate) (cluster, kind, name string, err error) {
	if len(c.URIs) != 1 {
		return "", "", "", fmt.Errorf("certificate has %d names of the form spiffe://CLUSTER/KIND/NAME; one is needed", len(c.URIs))
	}
	u := c.URIs[0]
	kind, name, found := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Scheme != "spiffe" || u.Host == "" || !found || !ValidHostName(name) || u.String() != MemberURI(u.Host, kind, name).String() {
		return "", "", "", fmt.Errorf("certificate's name %q is not spiffe://CLUSTER/KIND/NAME", u)
	}
	return u.Host, kind, name, nil
}

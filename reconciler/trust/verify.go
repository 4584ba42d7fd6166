package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// Shown is the certificate that a host showed: that it is signed by the CA for a
// host was verified, and nothing else.
type Shown struct {
	Host     string
	Key      KeyHash
	NotAfter time.Time
}

// KeyHash names a public key: the SHA-256 of its SubjectPublicKeyInfo, in
// hexadecimal.
type KeyHash string

// HashKey returns the hash of a SubjectPublicKeyInfo.
func HashKey(spki []byte) KeyHash {
	sum := sha256.Sum256(spki)
	return KeyHash(hex.EncodeToString(sum[:]))
}

// Verify returns whose the first of the certificates is that a peer showed. One
// that has ended is verified as of its last moment: how long ago that may be
// depends on what it is shown for.
func (ca *CA) Verify(now time.Time, shown []*x509.Certificate) (Shown, error) {
	if len(shown) == 0 {
		return Shown{}, refuse(ReasonCertificate, "no certificate was shown")
	}
	c := shown[0]
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	at := now
	if at.After(c.NotAfter) {
		at = c.NotAfter
	}
	opts := x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := c.Verify(opts); err != nil {
		return Shown{}, refuse(ReasonCertificate, "certificate of %q is not one of this cluster's for a host: %v", c.Subject.CommonName, err)
	}
	cluster, kind, name, err := hostpb.Member(c)
	switch {
	case err != nil:
		return Shown{}, refuse(ReasonCertificate, "%v", err)
	case cluster != ca.Cluster || kind != hostpb.KindHost:
		return Shown{}, refuse(ReasonCertificate, "certificate is of the %s %q of cluster %s; a host's of %s is needed", kind, name, cluster, ca.Cluster)
	}
	return Shown{Host: name, Key: HashKey(c.RawSubjectPublicKeyInfo), NotAfter: c.NotAfter}, nil
}

// Request is what counts of a certificate signing request: its key. Whatever
// else it asks for is not read.
type Request struct {
	Key  *ecdsa.PublicKey
	Hash KeyHash
}

// ParseRequest reads a PKCS #10 request of at most hostpb.MaxCSR bytes, whose
// sender has shown to have the key: one of ECDSA on P-256.
func ParseRequest(der []byte) (Request, error) {
	if len(der) > hostpb.MaxCSR {
		return Request{}, refuse(ReasonRequest, "the request has %d bytes; %d are taken", len(der), hostpb.MaxCSR)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = checkRequest(r)
	}
	if err != nil {
		return Request{}, refuse(ReasonRequest, "read the certificate signing request: %v", err)
	}
	return Request{r.PublicKey.(*ecdsa.PublicKey), HashKey(r.RawSubjectPublicKeyInfo)}, nil
}

func checkRequest(r *x509.CertificateRequest) error {
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("its key is a %T; ECDSA on P-256 is needed", r.PublicKey)
	}
	if key.Curve != elliptic.P256() {
		return errors.New("its key is not on the curve P-256")
	}
	return r.CheckSignature()
}

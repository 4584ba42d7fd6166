package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// caLife is how long a CA's certificate is valid. Hosts know it by its key, and
// get it with each certificate of theirs.
const caLife = 10 * 365 * 24 * time.Hour

// backdate is how far a certificate's validity begins in the past, if it lasts
// that long at all: clocks differ.
const backdate = 5 * time.Minute

// CA is the cluster's certificate authority.
type CA struct {
	Cluster string // the cluster's id
	Cert    *x509.Certificate
	key     crypto.Signer
}

// NewCA makes the CA of a new cluster.
func NewCA(random io.Reader, now time.Time) (*CA, error) {
	var id [8]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return nil, fmt.Errorf("choose the cluster's id: %w", err)
	}
	cluster := hex.EncodeToString(id[:])
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("make the CA's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "DaoliNet cluster " + cluster},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: cluster}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, err := sign(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	return &CA{Cluster: cluster, Cert: cert, key: key}, nil
}

// ParseCA reads a CA from PEM, as PEM wrote it.
func ParseCA(cert, key []byte) (*CA, error) {
	block, _ := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if block, _ = pem.Decode(key); block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("key is a %T; an ECDSA key is needed", parsed)
	case !k.PublicKey.Equal(c.PublicKey):
		return nil, errors.New("key and certificate do not belong together")
	case !c.IsCA || len(c.URIs) != 1 || c.URIs[0].Scheme != "spiffe" || c.URIs[0].Host == "":
		return nil, errors.New("certificate is not a cluster's CA")
	}
	return &CA{Cluster: c.URIs[0].Host, Cert: c, key: k}, nil
}

// PEM returns the CA's certificate and its private key (PKCS #8).
func (ca *CA) PEM() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the CA's key: %w", err)
	}
	return CertificatePEM(ca.Cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// CertificatePEM writes a certificate.
func CertificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// SignHost signs that key is the host's, from now for life. It is good for
// nothing but to connect to controllers.
func (ca *CA) SignHost(random io.Reader, host string, key crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	c, err := sign(random, ca.member(hostpb.KindHost, host, x509.ExtKeyUsageClientAuth, now, life), ca.Cert, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of host %q: %w", host, err)
	}
	return c, nil
}

// SignController signs that key is a controller's, from now for life, which is
// reached under the addresses: DNS names or IP addresses.
func (ca *CA) SignController(random io.Reader, name string, addresses []string, key crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	t := ca.member(hostpb.KindController, name, x509.ExtKeyUsageServerAuth, now, life)
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(ip.Unmap().AsSlice()))
		} else {
			t.DNSNames = append(t.DNSNames, a)
		}
	}
	c, err := sign(random, t, ca.Cert, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of controller %q: %w", name, err)
	}
	return c, nil
}

// member is the template of a member's certificate.
func (ca *CA) member(kind, name string, use x509.ExtKeyUsage, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		URIs:                  []*url.URL{hostpb.MemberURI(ca.Cluster, kind, name)},
		NotBefore:             now.Add(-min(backdate, life)),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{use},
		BasicConstraintsValid: true,
	}
}

func sign(random io.Reader, t, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, err
	}
	serial[0] &= 0x7f // positive, and at most 20 bytes (RFC 5280, 4.1.2.2)
	t.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(random, t, parent, key, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

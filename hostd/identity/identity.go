// Package identity is by what a host proves who it is: its key, the certificate
// that the cluster's CA has signed for it, and the CA by which it knows
// controllers. They are made when the host joins and live in files that Open
// vSwitch reads too; the certificate is renewed before it ends.
//
//	DIR/key.pem   the private key, which never leaves the host (PKCS #8)
//	DIR/cert.pem  the host's certificate
//	DIR/ca.pem    the cluster's CA, one or several
//	DIR/host.json the host's name, and where the controllers are
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/private"
)

// ErrNone says that the host has not joined.
var ErrNone = errors.New("this host has not joined: run daoli-hostd join CONTROLLER:7443 --token T --ca-hash H, as daolictl join-token create prints it on the controller")

// Names in the directory.
const (
	keyFile  = "key.pem"
	certFile = "cert.pem"
	caFile   = "ca.pem"
	hostFile = "host.json"
)

// Identity is a host's. Its methods may be called from any goroutine.
type Identity struct {
	dir string
	now func() time.Time
	key *ecdsa.PrivateKey
	// doubted has a value when a controller did not take the certificate.
	doubted chan struct{} // capacity 1

	current atomic.Pointer[current]
}

// current is what a renewal replaces.
type current struct {
	cert        tls.Certificate
	ca          []*x509.Certificate
	controllers []string
	cluster     string
	host        string
}

// about is what hostFile holds.
type about struct {
	Host        string   `json:"host"`
	Controllers []string `json:"controllers"` // HOST:PORT
}

// Open reads the identity in dir; the error is ErrNone where there is none.
func Open(dir string) (*Identity, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the identity: %w", err)
	}
	var a about
	b, err := os.ReadFile(filepath.Join(dir, hostFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone // it is written last
	}
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return nil, fmt.Errorf("read the identity in %s: %w", dir, err)
	}
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, fmt.Errorf("read the host's certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	i := &Identity{dir: dir, now: time.Now, key: key, doubted: make(chan struct{}, 1)}
	c, err := i.parse(chain, ca, a)
	if err != nil {
		return nil, fmt.Errorf("read the identity in %s: %w", dir, err)
	}
	i.current.Store(c)
	return i, nil
}

// readKey reads the host's private key.
func readKey(path string) (*ecdsa.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the host's key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read the host's key: %s holds none: delete it and join again", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("read the host's key: %s is none of ECDSA on P-256 (%v): delete it and join again", path, err)
	}
	return key, nil
}

// parse checks what a controller answered, or what was kept of it: a certificate
// for the key, signed by the CA, of the host.
func (i *Identity) parse(chain, ca []byte, a about) (*current, error) {
	certs, err := certificates(chain)
	if err != nil {
		return nil, fmt.Errorf("certificate of the host: %w", err)
	}
	roots, err := certificates(ca)
	if err != nil {
		return nil, fmt.Errorf("CA of the cluster: %w", err)
	}
	leaf := certs[0]
	opts := x509.VerifyOptions{Roots: pool(roots), CurrentTime: leaf.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(opts); err != nil {
		return nil, fmt.Errorf("certificate of the host: %w", err)
	}
	cluster, kind, name, err := hostpb.Member(leaf)
	switch {
	case err != nil:
		return nil, err
	case kind != hostpb.KindHost || name != a.Host:
		return nil, fmt.Errorf("certificate is of the %s %q; host %q's is needed", kind, name, a.Host)
	case !i.key.PublicKey.Equal(leaf.PublicKey):
		return nil, errors.New("certificate is for another key than the host's")
	case len(a.Controllers) == 0:
		return nil, errors.New("no controller is named")
	}
	c := &current{cert: tls.Certificate{PrivateKey: i.key, Leaf: leaf}, ca: roots, controllers: a.Controllers, cluster: cluster, host: name}
	for _, cert := range certs {
		c.cert.Certificate = append(c.cert.Certificate, cert.Raw)
	}
	return c, nil
}

// certificates reads PEM certificates, at least one.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is none")
	}
	return all, nil
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// save keeps c in the files, the certificate before the key: Open vSwitch looks
// at the certificate again when the key's time has changed.
func (i *Identity) save(c *current) error {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return fmt.Errorf("encode the host's key: %w", err)
	}
	a, err := json.MarshalIndent(about{c.host, c.controllers}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the host's name: %w", err)
	}
	var chain, ca []byte
	for _, raw := range c.cert.Certificate {
		chain = append(chain, encode("CERTIFICATE", raw)...)
	}
	for _, cert := range c.ca {
		ca = append(ca, encode("CERTIFICATE", cert.Raw)...)
	}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return fmt.Errorf("keep the identity: %w", err)
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{caFile, ca}, {certFile, chain}, {keyFile, encode("PRIVATE KEY", der)}, {hostFile, append(a, '\n')}} {
		if err := private.WriteFile(filepath.Join(i.dir, f.name), f.text); err != nil {
			return fmt.Errorf("keep the identity: %w", err)
		}
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Leave deletes the identity in dir, the key too: what a host that left had is
// good for nothing.
func Leave(dir string) error {
	for _, name := range []string{hostFile, certFile, caFile, keyFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the identity: %w", err)
		}
	}
	return nil
}

// Host returns the host's name in the cluster.
func (i *Identity) Host() string { return i.current.Load().host }

// Cluster returns the cluster's id.
func (i *Identity) Cluster() string { return i.current.Load().cluster }

// Controllers returns HOST:PORT of the controllers, as they were told last.
func (i *Identity) Controllers() []string { return slices.Clone(i.current.Load().controllers) }

// NotAfter returns when the host's certificate ends.
func (i *Identity) NotAfter() time.Time { return i.current.Load().cert.Leaf.NotAfter }

// Files are the paths of key, certificate and CA, for Open vSwitch.
type Files struct{ Key, Certificate, CA string }

// Files returns the paths, which stay the same.
func (i *Identity) Files() Files {
	return Files{filepath.Join(i.dir, keyFile), filepath.Join(i.dir, certFile), filepath.Join(i.dir, caFile)}
}

// TLS returns what a connection to a controller is made with. It shows the
// certificate of that moment, and takes for a controller only who has a
// certificate of this cluster's CA for that. Under which address it was reached
// does not matter: the CA signs nobody else's for a server.
func (i *Identity) TLS() *tls.Config {
	c := clientTLS(i.now)
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &i.current.Load().cert, nil }
	c.VerifyConnection = func(s tls.ConnectionState) error {
		now := i.current.Load()
		return verifyController(i.now(), s, now.ca, now.cluster)
	}
	return c
}

// clientTLS is what all connections to controllers have in common. Whoever uses
// it sets VerifyConnection, which takes the place of the check by host name.
func clientTLS(now func() time.Time) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Time: now, NextProtos: []string{"h2"}}
}

// verifyController reports why the other end is no controller of the cluster.
func verifyController(now time.Time, s tls.ConnectionState, ca []*x509.Certificate, cluster string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the controller has no certificate")
	}
	c := s.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: pool(ca), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := c.Verify(opts); err != nil {
		return fmt.Errorf("the controller's certificate is not of this cluster: %w", err)
	}
	of, kind, name, err := hostpb.Member(c)
	if err != nil {
		return err
	}
	if kind != hostpb.KindController || of != cluster {
		return fmt.Errorf("the other end is the %s %q of cluster %s and no controller of cluster %s", kind, name, of, cluster)
	}
	return nil
}

// newKey makes a host's key.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the host's key: %w", err)
	}
	return key, nil
}

package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// controller signs whatever it is asked to, and can be bent.
type controller struct {
	hostpb.UnimplementedEnrolmentServer
	t      *testing.T
	ca     *trust.CA
	addr   string
	life   time.Duration
	renew  atomic.Int64 // calls
	answer func(c *hostpb.Certificate)
	key    *ecdsa.PublicKey // signed in place of the one that is asked for
	host   string           // signed in place of the one that is asked for
}

func (c *controller) sign(csr []byte, host string) (*hostpb.Certificate, error) {
	r, err := trust.ParseRequest(csr)
	if err != nil {
		return nil, err
	}
	if c.key != nil {
		r.Key = c.key
	}
	if c.host != "" {
		host = c.host
	}
	cert, err := c.ca.SignHost(rand.Reader, host, r.Key, time.Now(), c.life)
	if err != nil {
		return nil, err
	}
	a := &hostpb.Certificate{Chain: trust.CertificatePEM(cert), Ca: trust.CertificatePEM(c.ca.Cert), Controllers: []string{c.addr}}
	if c.answer != nil {
		c.answer(a)
	}
	return a, nil
}

func (c *controller) Join(_ context.Context, q *hostpb.JoinRequest) (*hostpb.Certificate, error) {
	return c.sign(q.GetCsr(), q.GetHost())
}

func (c *controller) Renew(_ context.Context, q *hostpb.RenewRequest) (*hostpb.Certificate, error) {
	c.renew.Add(1)
	return c.sign(q.GetCsr(), "h1")
}

// certificate is a controller's, or with asHost one that is a host's.
func (c *controller) certificate(asHost bool) tls.Certificate {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	var cert *x509.Certificate
	if asHost {
		cert, err = c.ca.SignHost(rand.Reader, "evil", &key.PublicKey, time.Now(), time.Hour)
	} else {
		cert, err = c.ca.SignController(rand.Reader, "c1", nil, &key.PublicKey, time.Now(), time.Hour)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, c.ca.Cert.Raw}, PrivateKey: key}
}

// start serves with the certificate until the test ends.
func (c *controller) start(cert tls.Certificate) {
	c.t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.addr = ln.Addr().String()
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})))
	hostpb.RegisterEnrolmentServer(g, c)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(ln) }()
	c.t.Cleanup(func() { g.Stop(); <-done })
}

func newController(t *testing.T) *controller {
	t.Helper()
	ca, err := trust.NewCA(rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{t: t, ca: ca, life: time.Hour}
	c.start(c.certificate(false))
	return c
}

func (c *controller) join(dir string) (*identity.Identity, error) {
	return identity.Join(c.t.Context(), identity.JoinConfig{Dir: dir, Controller: c.addr, Token: "id.secret", CAHash: hostpb.Pin(c.ca.Cert), Host: "h1"})
}

func TestAnIdentityIsKeptForItsOwnerOnly(t *testing.T) {
	c, dir := newController(t), filepath.Join(t.TempDir(), "state", "identity")
	if _, err := identity.Open(dir); !errors.Is(err, identity.ErrNone) || !strings.Contains(err.Error(), "daoli-hostd join") {
		t.Errorf("Open before joining: %v; want ErrNone with the way out", err)
	}
	id, err := c.join(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.Open(dir)
	if err != nil || again.Host() != "h1" || again.Cluster() != c.ca.Cluster || !again.NotAfter().Equal(id.NotAfter()) || again.Controllers()[0] != c.addr {
		t.Errorf("Open = %+v, %v; want what was joined", again, err)
	}
	files := id.Files()
	for _, path := range []string{files.Key, files.Certificate, files.CA, filepath.Join(dir, "host.json")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || !filepath.IsAbs(path) {
			t.Errorf("%s: %v, %v; want mode 0600", path, info, err)
		}
	}
	key, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.join(dir); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(files.Key); err != nil || string(now) != string(key) {
		t.Error("joining again made another key")
	}
	for range 2 {
		if err := identity.Leave(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(dir); !errors.Is(err, identity.ErrNone) {
			t.Errorf("Open after Leave: %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v; want no key and no certificate", left, err)
		}
	}
	if _, err := c.join(dir); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(files.Key); err != nil || string(now) == string(key) {
		t.Errorf("joining after leaving: %v, or with the old key", err)
	}
}

func TestAnswersOfAControllerAreChecked(t *testing.T) {
	for name, bend := range map[string]func(c *controller){
		"for another key":  func(c *controller) { c.key = &c.certificate(false).PrivateKey.(*ecdsa.PrivateKey).PublicKey },
		"for another host": func(c *controller) { c.host = "h2" },
		"of another CA": func(c *controller) {
			other := newController(c.t)
			c.answer = func(a *hostpb.Certificate) { a.Ca = trust.CertificatePEM(other.ca.Cert) }
		},
		"with another CA too": func(c *controller) { // whose key the pin is not
			other := newController(c.t)
			cert := c.ca
			c.ca = other.ca
			c.answer = func(a *hostpb.Certificate) { c.ca = cert }
		},
		"nothing": func(c *controller) { c.answer = func(a *hostpb.Certificate) { a.Chain, a.Ca = nil, nil } },
		"garbage": func(c *controller) {
			c.answer = func(a *hostpb.Certificate) {
				a.Chain = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newController(t), t.TempDir()
			pin := hostpb.Pin(c.ca.Cert)
			bend(c)
			_, err := identity.Join(t.Context(), identity.JoinConfig{Dir: dir, Controller: c.addr, Token: "id.secret", CAHash: pin, Host: "h1"})
			if err == nil {
				t.Error("the answer is taken")
			}
			if files, _ := filepath.Glob(dir + "/*"); len(files) > 0 {
				t.Errorf("files are left: %v", files)
			}
		})
	}
}

// TestAHostCannotPassForAController: its certificate is of the right CA, and it
// knows the hash.
func TestAHostCannotPassForAController(t *testing.T) {
	c := newController(t)
	id, err := c.join(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	evil := &controller{t: t, ca: c.ca, life: time.Hour}
	evil.start(evil.certificate(true))
	if _, err := evil.join(t.TempDir()); err == nil || !strings.Contains(err.Error(), "incompatible key usage") {
		t.Errorf("join at a host: %v; want a refusal", err)
	}
	if conn, err := tls.Dial("tcp4", evil.addr, id.TLS()); err == nil {
		conn.Close()
		t.Error("a host is taken for a controller")
	}
	if conn, err := tls.Dial("tcp4", c.addr, id.TLS()); err != nil {
		t.Errorf("the controller is not: %v", err)
	} else {
		conn.Close()
	}
	if conn, err := tls.Dial("tcp4", newController(t).addr, id.TLS()); err == nil {
		conn.Close()
		t.Error("another cluster's controller is taken for one")
	}
}

func TestRenewalChangesTheCertificateAndNothingElse(t *testing.T) {
	c := newController(t)
	c.life = 2 * time.Second
	id, err := c.join(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first := id.NotAfter()
	keyBefore, err := os.Stat(id.Files().Key)
	if err != nil {
		t.Fatal(err)
	}
	tc := id.TLS() // made before, and good for ever
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); id.Run(ctx, slog.New(slog.DiscardHandler)) }()
	for deadline := time.Now().Add(15 * time.Second); c.renew.Load() < 3; {
		if time.Now().After(deadline) {
			t.Fatal("it is not renewed")
		}
	}
	cancel()
	<-done
	if !id.NotAfter().After(first) {
		t.Errorf("certificate ends %v; want later than %v", id.NotAfter(), first)
	}
	shown, err := tc.GetClientCertificate(nil)
	if err != nil || !shown.Leaf.NotAfter.Equal(id.NotAfter()) {
		t.Errorf("a new connection shows %v, %v; want the newest", shown.Leaf.NotAfter, err)
	}
	again, err := identity.Open(filepath.Dir(id.Files().Key))
	if err != nil || !again.NotAfter().Equal(id.NotAfter()) {
		t.Errorf("kept is %v, %v; want the newest", again, err)
	}
	// Open vSwitch looks at the certificate when the key's time changes.
	if keyAfter, err := os.Stat(id.Files().Key); err != nil || !keyAfter.ModTime().After(keyBefore.ModTime()) {
		t.Errorf("the key's time is %v, %v; want later than %v", keyAfter.ModTime(), err, keyBefore.ModTime())
	}
}

// TestACertificateThatIsNotTakenIsRenewed: a controller whose clock is ahead
// takes it for ended, while this host sees no reason to renew it.
func TestACertificateThatIsNotTakenIsRenewed(t *testing.T) {
	c := newController(t)
	id, err := c.join(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); id.Run(ctx, slog.New(slog.DiscardHandler)) }()
	for range 10 { // as often as it is told, it asks once in a while
		id.Doubt()
	}
	for deadline := time.Now().Add(15 * time.Second); c.renew.Load() < 1; {
		if time.Now().After(deadline) {
			t.Fatal("it is not renewed")
		}
	}
	cancel()
	<-done
	if n := c.renew.Load(); n != 1 {
		t.Errorf("it was renewed %d times; want once", n)
	}
}

func TestRenewalTriesAllControllers(t *testing.T) {
	c := newController(t)
	dead, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.answer = func(a *hostpb.Certificate) { a.Controllers = []string{dead.Addr().String(), c.addr} }
	id, err := c.join(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	if err := id.Renew(t.Context()); err != nil || c.renew.Load() != 1 {
		t.Errorf("Renew = %v, %d calls; want the second controller's", err, c.renew.Load())
	}
}

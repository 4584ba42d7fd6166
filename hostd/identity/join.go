package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// joinWait bounds one attempt to join, and one to renew.
const joinWait = 10 * time.Second

// JoinConfig says how a host joins. Dir, Controller, Token, CAHash and Host are
// required.
type JoinConfig struct {
	Dir        string // for the identity
	Controller string // HOST:PORT
	Token      string // ID.SECRET
	CAHash     string // hostpb.Pin of the cluster's CA
	Host       string // the name that it wants
	NewKey     bool   // make a new key in place of the one in Dir
	// Dial makes the connection; nil: by TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Now  func() time.Time // nil: time.Now
}

// Join trades a token for an identity, which it keeps in Dir. The token is sent
// only to who shows the CA of that hash: nobody else learns it.
func Join(ctx context.Context, cfg JoinConfig) (*Identity, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("find a place for the identity: %w", err)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	i := &Identity{dir: cfg.Dir, now: cfg.Now, doubted: make(chan struct{}, 1)}
	if i.key, err = cfg.ownKey(); err != nil {
		return nil, err
	}
	csr, err := request(i.key, cfg.Host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	tc := clientTLS(cfg.Now)
	var refused error // of the handshake: gRPC only quotes it
	tc.VerifyConnection = func(s tls.ConnectionState) error {
		refused = verifyPin(cfg.Now(), s, cfg.CAHash)
		return refused
	}
	answer, err := call(ctx, cfg.Controller, tc, cfg.Dial, func(c hostpb.EnrolmentClient) (*hostpb.Certificate, error) {
		return c.Join(ctx, &hostpb.JoinRequest{Token: cfg.Token, Host: cfg.Host, Csr: csr})
	})
	if refused != nil {
		err = refused
	}
	if err != nil {
		return nil, fmt.Errorf("join the cluster of %s: %w", cfg.Controller, err)
	}
	if err := i.take(answer, cfg.Host, cfg.Controller, cfg.CAHash); err != nil {
		return nil, fmt.Errorf("join the cluster of %s: %w", cfg.Controller, err)
	}
	return i, nil
}

func (cfg *JoinConfig) check() error {
	switch _, _, err := net.SplitHostPort(cfg.Controller); {
	case err != nil:
		return fmt.Errorf("controller %q is not ADDRESS:PORT", cfg.Controller)
	case !hostpb.ValidHostName(cfg.Host):
		return fmt.Errorf("host name %q is not allowed: use small letters, digits, hyphens and dots, or --name", cfg.Host)
	case cfg.Token == "" || len(cfg.Token) > hostpb.MaxToken:
		return errors.New("a join token is needed: daolictl join-token create makes one")
	}
	return hostpb.CheckPin(cfg.CAHash)
}

// ownKey is the key of an earlier join, or a new one.
func (cfg *JoinConfig) ownKey() (*ecdsa.PrivateKey, error) {
	if !cfg.NewKey {
		key, err := readKey(filepath.Join(cfg.Dir, keyFile))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
	}
	return newKey()
}

// request is a CSR for the key. The controller looks only at that.
func request(key *ecdsa.PrivateKey, host string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate signing request: %w", err)
	}
	return der, nil
}

// verifyPin reports why the other end is not a controller of the cluster whose
// CA has that hash.
func verifyPin(now time.Time, s tls.ConnectionState, pin string) error {
	var shown string
	for _, c := range s.PeerCertificates[1:] {
		if shown = hostpb.Pin(c); shown != pin {
			continue
		}
		if len(c.URIs) != 1 {
			return errors.New("the CA names no cluster")
		}
		return verifyController(now, s, []*x509.Certificate{c}, c.URIs[0].Host)
	}
	return fmt.Errorf("this is not the cluster that --ca-hash names: its CA has %s (none, if empty); the token was not sent", shown)
}

// call calls a controller's Enrolment.
func call[A any](ctx context.Context, controller string, tc *tls.Config, dial func(context.Context, string) (net.Conn, error), f func(hostpb.EnrolmentClient) (*A, error)) (*A, error) {
	opts := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(tc)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(hostpb.MaxMessage))}
	if dial != nil {
		opts = append(opts, grpc.WithContextDialer(dial))
	}
	cc, err := grpc.NewClient("passthrough:"+controller, opts...)
	if err != nil {
		return nil, fmt.Errorf("controller address %q: %w", controller, err)
	}
	defer cc.Close()
	answer, err := f(hostpb.NewEnrolmentClient(cc))
	if s, ok := status.FromError(err); ok && err != nil {
		return nil, &AnswerError{Code: s.Code(), Text: s.Message()}
	}
	return answer, err
}

// take makes a controller's answer the identity, and keeps it.
func (i *Identity) take(answer *hostpb.Certificate, host, controller, pin string) error {
	controllers := slices.DeleteFunc(slices.Clone(answer.GetControllers()), func(a string) bool {
		_, _, err := net.SplitHostPort(a)
		return err != nil || len(a) > hostpb.MaxHostName+6
	})
	if !slices.Contains(controllers, controller) {
		controllers = append([]string{controller}, controllers...) // by which it was reached
	}
	controllers = controllers[:min(len(controllers), hostpb.MaxTargets)]
	c, err := i.parse(answer.GetChain(), answer.GetCa(), about{host, controllers})
	if err != nil {
		return err
	}
	if pin != "" && !slices.ContainsFunc(c.ca, func(ca *x509.Certificate) bool { return hostpb.Pin(ca) == pin }) {
		return errors.New("the controller gave another CA than the one that it showed")
	}
	if err := i.save(c); err != nil {
		return err
	}
	i.current.Store(c)
	return nil
}

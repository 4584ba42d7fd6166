package enrol

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// Join gives a host its first certificate for a token.
func (a *Authority) Join(ctx context.Context, q *hostpb.JoinRequest) (*hostpb.Certificate, error) {
	_, from := Peer(ctx)
	address := host(from)
	if !a.joins.take(a.cfg.Now(), address) {
		err := &trust.Refusal{Reason: trust.ReasonRate, Text: "too many attempts to join from this address: wait a few seconds"}
		return nil, a.answer("join refused", from, q.GetHost(), err)
	}
	c, err := a.join(q)
	if err != nil {
		return nil, a.answer("join refused", from, q.GetHost(), err)
	}
	a.joins.back(address)
	a.cfg.Logger.Info("host joined", slog.String("host", q.GetHost()), slog.String("peer", from))
	return c, nil
}

func (a *Authority) join(q *hostpb.JoinRequest) (*hostpb.Certificate, error) {
	r, err := trust.ParseRequest(q.GetCsr())
	if err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	notAfter := now.Add(a.cfg.HostLife)
	if err := a.change(func(s *trust.State) error {
		_, err := s.Join(now, q.GetToken(), q.GetHost(), r.Hash, notAfter)
		return err
	}); err != nil {
		return nil, err
	}
	a.endExpired() // of a host whose place this one takes
	cert, err := a.ca.SignHost(rand.Reader, q.GetHost(), r.Key, now, a.cfg.HostLife)
	if err != nil {
		return nil, err
	}
	return a.certificate(trust.CertificatePEM(cert)), nil
}

// Renew gives a host a new certificate for its key.
func (a *Authority) Renew(ctx context.Context, q *hostpb.RenewRequest) (*hostpb.Certificate, error) {
	state, from := Peer(ctx)
	shown, err := a.ca.Verify(a.cfg.Now(), state.PeerCertificates)
	if err != nil {
		return nil, a.answer("renewal refused", from, shown.Host, err)
	}
	r, err := trust.ParseRequest(q.GetCsr())
	if err != nil {
		return nil, a.answer("renewal refused", from, shown.Host, err)
	}
	now := a.cfg.Now()
	if !a.renews.take(now, shown.Host) { // each is written to disk
		err := &trust.Refusal{Reason: trust.ReasonRate, Text: "too many renewals: wait a few seconds"}
		return nil, a.answer("renewal refused", from, shown.Host, err)
	}
	if err := a.change(func(s *trust.State) error {
		_, err := s.Renew(now, shown, r.Hash, now.Add(a.cfg.HostLife))
		return err
	}); err != nil {
		return nil, a.answer("renewal refused", from, shown.Host, err)
	}
	cert, err := a.ca.SignHost(rand.Reader, shown.Host, r.Key, now, a.cfg.HostLife)
	if err != nil {
		return nil, a.answer("renewal refused", from, shown.Host, err)
	}
	a.cfg.Logger.Info("host's certificate renewed", slog.String("host", shown.Host), slog.Time("until", cert.NotAfter))
	return a.certificate(trust.CertificatePEM(cert)), nil
}

// Leave takes a host out at its own wish: its connections end, and it is no host
// any more.
func (a *Authority) Leave(ctx context.Context, _ *hostpb.LeaveRequest) (*hostpb.LeaveAnswer, error) {
	state, from := Peer(ctx)
	shown, err := a.ca.Verify(a.cfg.Now(), state.PeerCertificates)
	if err == nil {
		err = a.change(func(s *trust.State) error { return s.Leave(a.cfg.Now(), shown) })
	}
	if err != nil {
		return nil, a.answer("leave refused", from, shown.Host, err)
	}
	a.cfg.Logger.Info("host left", slog.String("host", shown.Host), slog.String("peer", from))
	a.cut(shown.Host, errHostLeft)
	return &hostpb.LeaveAnswer{}, nil
}

func (a *Authority) certificate(chain []byte) *hostpb.Certificate {
	return &hostpb.Certificate{Chain: chain, Ca: a.caPEM, Controllers: a.cfg.Controllers}
}

// answer logs a refusal and makes of it what the host is told. What is not a
// refusal is the controller's own matter.
func (a *Authority) answer(message, from, host string, err error) error {
	a.log.refused(message, from, printable(host), err)
	return Status(err)
}

// Status is what a host is told of an error of this package.
func Status(err error) error {
	var r *trust.Refusal
	if !errors.As(err, &r) {
		return status.Error(codes.Internal, "the controller could not do that: its log says why")
	}
	code := codes.PermissionDenied
	switch r.Reason {
	case trust.ReasonTokenUnknown, trust.ReasonTokenExpired, trust.ReasonTokenUsed, trust.ReasonCertificate:
		code = codes.Unauthenticated
	case trust.ReasonRate:
		code = codes.ResourceExhausted
	case trust.ReasonRequest:
		code = codes.InvalidArgument
	case trust.ReasonNameTaken, trust.ReasonKeyTaken:
		code = codes.AlreadyExists
	}
	return status.Error(code, r.Text)
}

// printable is a name as somebody gave it, for the log.
func printable(name string) string {
	if !hostpb.ValidHostName(name) {
		return ""
	}
	return name
}

// Peer returns what the other end of a call showed, and where it is.
func Peer(ctx context.Context) (state tls.ConnectionState, from string) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return state, ""
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		state = info.State
	}
	return state, p.Addr.String()
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

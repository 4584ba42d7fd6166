package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// How often a renewal is tried that failed. Longer than lastRetry is not waited
// for anything, since the clock may be set meanwhile.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	doubtEvery = 10 * time.Second
)

// AnswerError is what a controller answered to joining or renewing, or that none
// could be reached.
type AnswerError struct {
	Code codes.Code
	Text string
}

// Error returns the text.
func (e *AnswerError) Error() string { return e.Text }

// Refused reports whether a controller has said no, so that it makes no sense to
// ask again as it was asked.
func (e *AnswerError) Refused() bool {
	switch e.Code {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.AlreadyExists:
		return true
	}
	return false
}

// renewAt is when two thirds of the certificate's life are over.
func (c *current) renewAt() time.Time {
	life := c.cert.Leaf.NotAfter.Sub(c.cert.Leaf.NotBefore)
	return c.cert.Leaf.NotAfter.Add(-life / 3)
}

// RenewAt returns when the certificate is to be renewed: while a controller can be
// reached, it is.
func (i *Identity) RenewAt() time.Time { return i.current.Load().renewAt() }

// Doubt tells that a controller did not take the certificate, though it may be
// valid by this host's clock: Run then renews it, if a controller lets it, and
// says why not.
func (i *Identity) Doubt() {
	select {
	case i.doubted <- struct{}{}:
	default:
	}
}

// Run renews the certificate until ctx ends: at once if it has ended or soon
// will, and whenever two thirds of its life are over.
func (i *Identity) Run(ctx context.Context, log *slog.Logger) {
	retry := firstRetry
	var doubted time.Time // when a doubt was last followed
	for {
		wait := i.current.Load().renewAt().Sub(i.now())
		select {
		case <-i.doubted:
			if time.Since(doubted) >= doubtEvery {
				doubted, wait = time.Now(), 0
			}
		default:
		}
		if wait <= 0 {
			wait = 0
			err := i.Renew(ctx)
			if err == nil && !i.now().Before(i.current.Load().renewAt()) {
				err = errors.New("the new one ends soon too: is this host's clock right?")
			}
			if err != nil {
				if ctx.Err() != nil {
					return
				}
				log.Error("certificate was not renewed", slog.Time("ends", i.NotAfter()), slog.Any("err", err))
				wait = retry/2 + rand.N(retry)
				retry = min(2*retry, lastRetry)
			} else {
				log.Info("certificate renewed", slog.Time("ends", i.NotAfter()))
				retry = firstRetry
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-i.doubted:
			i.Doubt() // for the next round
			select {
			case <-ctx.Done():
				return
			case <-time.After(firstRetry):
			}
		case <-time.After(min(wait, lastRetry)):
		}
	}
}

// Renew asks the controllers in turn for a new certificate, and keeps it. The
// connections that there are stay: the next one shows it.
func (i *Identity) Renew(ctx context.Context) error {
	now := i.current.Load()
	csr, err := request(i.key, now.host)
	if err != nil {
		return err
	}
	var failed []error
	for _, controller := range now.controllers {
		if err = i.renewAtController(ctx, controller, csr, now.host); err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", controller, err))
	}
	return fmt.Errorf("renew the certificate: %w", errors.Join(failed...))
}

func (i *Identity) renewAtController(ctx context.Context, controller string, csr []byte, host string) error {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	answer, err := call(ctx, controller, i.TLS(), nil, func(c hostpb.EnrolmentClient) (*hostpb.Certificate, error) {
		return c.Renew(ctx, &hostpb.RenewRequest{Csr: csr})
	})
	if err != nil {
		return err
	}
	return i.take(answer, host, controller, "")
}

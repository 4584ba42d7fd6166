package enrol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/daolinet/daolinet/reconciler/trust"
)

// Why a host's connection was closed.
var (
	errRevoked  = errors.New("the host was revoked")
	errHostLeft = errors.New("the host has left")
	errExpired  = errors.New("the host's last certificate ended")
	errReplaced = errors.New("the host has joined again, with another key")
	errDPID     = errors.New("the host's bridge has another datapath id now")
)

// bindWait is how long a switch may wait for its host to say that it is its own:
// Open vSwitch connects before hostd has told anybody anything.
const bindWait = 5 * time.Second

// hold is one connection of a host, as long as it lasts.
type hold struct {
	host string
	key  trust.KeyHash
	dpid uint64 // of a switch; 0: the host's stream
	end  func(error)
}

// Admit is asked before anything of a host's stream is read: only who shows the
// certificate of a host that is trusted now is listened to.
func (a *Authority) Admit(ctx context.Context) error {
	state, from := Peer(ctx)
	shown, err := a.ca.Verify(a.cfg.Now(), state.PeerCertificates)
	if err == nil {
		_, err = a.current().Valid(a.cfg.Now(), shown)
	}
	if err != nil {
		return a.answer("host refused", from, shown.Host, err)
	}
	return nil
}

// AuthorizeStream is asked at the Hello on a stream of a host: whose certificate
// state shows, whether that is the one that speaks, and whether the datapath id
// may be its own. When trust in it ends, end is called, from any goroutine, until
// leave was.
func (a *Authority) AuthorizeStream(state tls.ConnectionState, peer, host string, dpid uint64, end func(error)) (h trust.Host, leave func(), err error) {
	shown, err := a.ca.Verify(a.cfg.Now(), state.PeerCertificates)
	if err == nil && shown.Host != host {
		err = &trust.Refusal{Reason: trust.ReasonOtherHost, Text: fmt.Sprintf("the certificate is host %q's, and the hello is host %q's", shown.Host, host)}
	}
	if err == nil {
		err = a.bind(shown, dpid)
	}
	if err == nil {
		h, leave, err = a.hold(shown, 0, end)
	}
	if err != nil {
		a.log.refused("host refused", peer, host, err)
	}
	return h, leave, err
}

// bind notes the datapath id of a host, and ends its connections of others.
func (a *Authority) bind(shown trust.Shown, dpid uint64) error {
	err := a.change(func(s *trust.State) error {
		if _, err := s.Valid(a.cfg.Now(), shown); err != nil {
			return err
		}
		changed, err := s.Bind(shown.Host, dpid)
		if err == nil && !changed {
			return errUnchanged
		}
		return err
	})
	if err != nil {
		return ignoreUnchanged(err)
	}
	a.mu.Lock()
	close(a.bound)
	a.bound = make(chan struct{})
	a.mu.Unlock()
	a.end(func(h *hold) error {
		if h.host != shown.Host || h.dpid == 0 || h.dpid == dpid {
			return nil
		}
		return errDPID
	})
	return nil
}

// AuthorizeSwitch is asked when a switch has told its datapath id: the
// certificate on its connection must be the host's that has it. For the rest it
// is as AuthorizeStream.
func (a *Authority) AuthorizeSwitch(ctx context.Context, conn net.Conn, dpid uint64, end func(error)) (leave func(), err error) {
	var state tls.ConnectionState
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state = c.ConnectionState()
	}
	shown, err := a.ca.Verify(a.cfg.Now(), state.PeerCertificates)
	if err == nil {
		err = a.awaitSwitch(ctx, shown.Host, dpid)
	}
	if err == nil {
		_, leave, err = a.hold(shown, dpid, end)
	}
	if err != nil {
		a.log.refused("switch refused", conn.RemoteAddr().String(), shown.Host, err)
	}
	return leave, err
}

// awaitSwitch waits for the host to say that the switch is its own, unless that
// cannot be any more.
func (a *Authority) awaitSwitch(ctx context.Context, host string, dpid uint64) error {
	ctx, cancel := context.WithTimeout(ctx, bindWait)
	defer cancel()
	for {
		a.mu.Lock()
		err, bound := a.state.MayHaveSwitch(host, dpid), a.bound
		a.mu.Unlock()
		if trust.ReasonOf(err) != trust.ReasonDPIDUnbound {
			return err
		}
		select {
		case <-bound:
		case <-ctx.Done():
			return err
		}
	}
}

// hold notes a connection, if trust in the host has not ended since it was looked
// at.
func (a *Authority) hold(shown trust.Shown, dpid uint64, end func(error)) (trust.Host, func(), error) {
	h := &hold{host: shown.Host, key: shown.Key, dpid: dpid, end: end}
	a.mu.Lock()
	defer a.mu.Unlock()
	host, err := a.state.Valid(a.cfg.Now(), shown)
	if err == nil && dpid != 0 {
		err = a.state.MayHaveSwitch(shown.Host, dpid)
	}
	if err != nil {
		return host, nil, err
	}
	a.held[h] = struct{}{}
	return host, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.held, h)
	}, nil
}

// end ends the connections for which why gives a reason.
func (a *Authority) end(why func(*hold) error) {
	var ends []func()
	a.mu.Lock()
	for h := range a.held {
		if err := why(h); err != nil {
			ends = append(ends, func() { h.end(err) })
			delete(a.held, h)
		}
	}
	a.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

// endExpired ends the connections of hosts whose last certificate has ended.
func (a *Authority) endExpired() {
	now, hosts := a.cfg.Now(), a.current().Hosts
	a.end(func(h *hold) error {
		switch host := hosts[h.host]; {
		case host.Key != h.key:
			return errReplaced
		case now.After(host.NotAfter):
			a.log.refused("host's connection ended", "", h.host, &trust.Refusal{Reason: trust.ReasonExpired, Text: errExpired.Error()})
			return errExpired
		}
		return nil
	})
}

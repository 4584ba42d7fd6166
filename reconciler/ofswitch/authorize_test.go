package ofswitch_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
)

// TestASwitchThatIsNotAuthorizedIsNothing: neither does the handler hear of it,
// nor does it take the place of the one that has its datapath id.
func TestASwitchThatIsNotAuthorizedIsNothing(t *testing.T) {
	r, no, asked := newRecorder(), errors.New("not this one"), make(chan uint64, 2)
	var refuse bool
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r, Authorize: func(_ context.Context, _ net.Conn, dpid uint64, _ func(error)) (func(), error) {
		asked <- dpid
		if refuse {
			return nil, no
		}
		return func() {}, nil
	}}, ln)
	first := newPeer(t, ln.dial())
	first.handshake(7)
	r.want(t, "up")
	if dpid := <-asked; dpid != 7 {
		t.Errorf("asked for %d; want 7", dpid)
	}
	refuse = true
	second := newPeer(t, ln.dial())
	second.handshake(7)
	<-asked
	second.ended()
	r.none(t)
}

func TestWhoAuthorizedASwitchEndsItsConnection(t *testing.T) {
	r, over := newRecorder(), errors.New("its time is over")
	ends, left := make(chan func(error), 1), make(chan struct{})
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r, Authorize: func(_ context.Context, _ net.Conn, _ uint64, end func(error)) (func(), error) {
		ends <- end
		return func() { close(left) }, nil
	}}, ln)
	p := newPeer(t, ln.dial())
	p.handshake(7)
	r.want(t, "up")
	(<-ends)(over)
	if e := r.want(t, "down"); !errors.Is(e.err, over) {
		t.Errorf("it ended by %v; want %v", e.err, over)
	}
	<-left
}

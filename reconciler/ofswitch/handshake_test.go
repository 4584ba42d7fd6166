package ofswitch_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

func TestHandshakeConfiguresTheSwitchBeforeItIsUp(t *testing.T) {
	r := newRecorder()
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r, GenerationID: 0x0102030405060708}, ln)
	p := newPeer(t, ln.dial())

	_, hello := p.want(of.TypeHello)
	if len(hello) != of.HeaderLen {
		t.Errorf("HELLO %x; want one without elements, which offers only 1.3", hello)
	}
	p.write([]byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x50}) // 1.3 and 1.5
	h, _ := p.want(of.TypeFeaturesRequest)
	p.write(packetIn(1, []byte("lifted too early")))
	p.write(featuresReply(h.Xid, 0x525400000001))
	_, config := p.want(of.TypeSetConfig)
	if want := []byte{0, 3, 0xff, 0xff}; !bytes.Equal(config[of.HeaderLen:], want) {
		t.Errorf("SET_CONFIG %x; want nx-match and whole packets, %x", config[of.HeaderLen:], want)
	}
	_, async := p.want(of.TypeSetAsync)
	if got := async[of.HeaderLen+3]; got != 1<<of.ReasonNoMatch|1<<of.ReasonAction {
		t.Errorf("SET_ASYNC asks for the packet-in reasons %#x; want no match and action", got)
	}
	h, role := p.want(of.TypeRoleRequest)
	want := []byte{0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
	if !bytes.Equal(role[of.HeaderLen:], want) {
		t.Errorf("ROLE_REQUEST %x; want master of generation 0x0102030405060708, %x", role[of.HeaderLen:], want)
	}
	r.none(t)
	p.write(roleReply(h.Xid, of.RoleMaster))
	h, _ = p.want(of.TypeBarrierRequest)
	r.none(t)
	p.write(message(of.TypeBarrierReply, h.Xid))
	sw := r.want(t, "up").sw
	if sw.DPID() != 0x525400000001 || sw.RemoteAddr() != "pipe" {
		t.Errorf("switch %#x at %s; want 0x525400000001 at pipe", sw.DPID(), sw.RemoteAddr())
	}
}

func TestHandshakeRefusesSwitches(t *testing.T) {
	hello := of.AppendHello(nil, 1)
	for _, c := range []struct {
		name string
		talk func(p *peer)
	}{
		{"that speak only OpenFlow 1.0", func(p *peer) {
			p.write([]byte{1, 0, 0, 8, 0, 0, 0, 1})
			p.want(of.TypeHello)
			p.want(of.TypeError)
			p.conn.Close()
		}},
		{"that speak newer ones but not 1.3", func(p *peer) {
			p.write([]byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x60})
			p.want(of.TypeHello)
			p.want(of.TypeError)
			p.conn.Close()
		}},
		{"that say something before HELLO", func(p *peer) { p.write(message(of.TypeEchoRequest, 1)) }},
		{"with a broken HELLO", func(p *peer) { p.write(message(of.TypeHello, 1, 0, 1, 0, 0)) }},
		{"that are no OpenFlow at all", func(p *peer) { p.write([]byte("GET / HTTP/1.1\r\n\r\n")) }},
		{"with short features", func(p *peer) { p.write(append(hello, message(of.TypeFeaturesReply, 2, 1, 2)...)) }},
		{"with a newer master", func(p *peer) {
			p.write(append(append(hello, featuresReply(2, 7)...), errorMessage(5, 11, 0)...))
		}},
		{"that give another role", func(p *peer) {
			p.write(append(append(hello, featuresReply(2, 7)...), roleReply(5, of.RoleSlave)...))
		}},
		{"that hang up", func(p *peer) { p.conn.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder()
			ln := newPipes()
			stop := serve(t, ofswitch.Config{Handler: r}, ln)
			p := newPeer(t, ln.dial())
			c.talk(p)
			p.ended()
			stop()
			r.none(t)
		})
	}
}

func TestHandshakeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		ln := newPipes()
		stop := serve(t, ofswitch.Config{Handler: r, HandshakeTimeout: 20 * time.Second, EchoInterval: time.Hour}, ln)
		p := newPeer(t, ln.dial())
		start := time.Now()
		p.want(of.TypeHello)
		p.write(of.AppendHello(nil, 1))
		p.want(of.TypeFeaturesRequest)
		p.ended()
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("connection ended after %v; want 20s", took)
		}
		stop()
		r.none(t)
	})
}

func TestNewerConnectionOfASwitchWins(t *testing.T) {
	r := newRecorder()
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r}, ln)
	var last *ofswitch.Switch
	for i := range 5 {
		p := newPeer(t, ln.dial())
		go p.handshake(7)
		if i > 0 {
			down := r.want(t, "down")
			if down.sw != last || down.err != ofswitch.ErrReplaced {
				t.Errorf("connection %d: down %v of %p; want %v of %p", i, down.err, down.sw, ofswitch.ErrReplaced, last)
			}
		}
		last = r.want(t, "up").sw
	}
	other := newPeer(t, ln.dial())
	other.handshake(8)
	if up := r.want(t, "up"); up.sw.DPID() != 8 {
		t.Errorf("switch %d is up; want 8", up.sw.DPID())
	}
	if err := last.Send(of.Batch{DPID: 7}); err != nil {
		t.Errorf("Send to the newest connection = %v", err)
	}
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	r := newRecorder()
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r, MaxConnections: 1}, ln)
	first := newPeer(t, ln.dial())
	first.handshake(7)
	r.want(t, "up")
	newPeer(t, ln.dial()).ended()
	first.conn.Close()
	r.want(t, "down")
}

func TestServeEndsAllConnectionsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // also fails when a goroutine is left
		r := newRecorder()
		ln := newPipes()
		stop := serve(t, ofswitch.Config{Handler: r, EchoInterval: time.Hour}, ln)
		p := newPeer(t, ln.dial())
		p.handshake(7)
		sw := r.want(t, "up").sw
		half := newPeer(t, ln.dial()) // still in its handshake
		half.want(of.TypeHello)
		stop()
		if e := r.want(t, "down"); e.err != ofswitch.ErrClosed {
			t.Errorf("down with %v; want %v", e.err, ofswitch.ErrClosed)
		}
		r.none(t)
		if err := sw.Send(of.Batch{DPID: 7}); err == nil {
			t.Error("Send after the end succeeded")
		}
		if _, err := sw.FlowStats(context.Background(), ofswitch.StatsFilter{}); err == nil {
			t.Error("FlowStats after the end succeeded")
		}
	})
}

package ofswitch

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// handshake brings the connection up to where SwitchUp may be called:
//
//	HELLO             ──►   ◄── HELLO, which must offer OpenFlow 1.3
//	FEATURES_REQUEST  ──►   ◄── FEATURES_REPLY: the datapath id
//	SET_CONFIG, SET_ASYNC,
//	ROLE_REQUEST      ──►   ◄── ROLE_REPLY: MASTER
//	BARRIER_REQUEST   ──►   ◄── BARRIER_REPLY: the configuration holds
func (s *Switch) handshake() error {
	timeout := time.AfterFunc(s.cfg.HandshakeTimeout, func() {
		s.fail(fmt.Errorf("no handshake within %v", s.cfg.HandshakeTimeout))
	})
	defer timeout.Stop()
	s.queue(openflow.AppendHello)
	if err := s.expectHello(); err != nil {
		return err
	}
	s.queue(openflow.AppendFeaturesRequest)
	if err := s.expect(openflow.TypeFeaturesReply, func(b []byte) error {
		f, err := openflow.DecodeFeatures(b)
		s.dpid = f.DPID
		return err
	}); err != nil {
		return err
	}
	s.queue(openflow.AppendSetConfig)
	s.queue(openflow.AppendSetAsync)
	s.queue(func(b []byte, xid uint32) []byte {
		return openflow.AppendRoleRequest(b, xid, openflow.RoleMaster, s.cfg.GenerationID)
	})
	if err := s.expect(openflow.TypeRoleReply, expectMaster); err != nil {
		return err
	}
	s.queue(openflow.AppendBarrierRequest)
	return s.expect(openflow.TypeBarrierReply, func([]byte) error { return nil })
}

func expectMaster(b []byte) error {
	role, _, err := openflow.DecodeRole(b)
	if err == nil && role != openflow.RoleMaster {
		err = fmt.Errorf("switch gave role %d instead of master", role)
	}
	return err
}

// expectHello reads the first message, a HELLO that offers OpenFlow 1.3; the
// sender of another one is told so.
func (s *Switch) expectHello() error {
	h, b, err := s.next()
	if err != nil {
		return err
	}
	defer s.skip(h)
	if h.Type != openflow.TypeHello {
		return fmt.Errorf("first message has type %d instead of HELLO", h.Type)
	}
	ok, err := openflow.DecodeHello(b)
	if err == nil && !ok {
		err = errors.New("switch does not speak OpenFlow 1.3")
		s.queue(func(b []byte, _ uint32) []byte { return openflow.AppendHelloFailed(b, h.Xid) })
		s.linger()
	}
	return err
}

// lingerTime is how long a refused switch has to read why.
const lingerTime = time.Second

// linger waits until the switch has hung up: if the connection were closed with
// bytes of the switch unread, TCP would not deliver the last ones to it.
func (s *Switch) linger() {
	if s.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.Copy(io.Discard, s.in)
	}
}

// expect reads until a message of type want and gives it to take. Until then it
// answers echo requests and drops what an early switch lifts; an error ends it.
func (s *Switch) expect(want openflow.MessageType, take func(b []byte) error) error {
	for {
		h, b, err := s.next()
		if err != nil {
			return err
		}
		switch h.Type {
		case want:
			err = take(b)
			s.skip(h)
			return err
		case openflow.TypeEchoRequest:
			s.answerEcho(h, b)
		case openflow.TypeError:
			e, err := openflow.DecodeError(b)
			if err == nil {
				err = e
			}
			return fmt.Errorf("handshake: %w", err)
		default:
			s.counts.unwanted.Add(1)
		}
		s.skip(h)
	}
}

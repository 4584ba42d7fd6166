package enrol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/trust"
)

const dpid1, dpid2 = 0x020000000101, 0x020000000201

func TestAWrongCAHashGetsNoToken(t *testing.T) {
	b := newBed(t)
	token := b.token(trust.TokenSpec{})
	other := newCA(t)
	wrong := "sha256:" + strings.Repeat("00", 32)
	for name, hash := range map[string]string{"of nobody": wrong, "of another cluster": hostpb.Pin(other.Cert)} {
		_, err := b.tryJoinBy(identity.JoinConfig{Host: "h1", Token: token, CAHash: hash})
		if err == nil || !strings.Contains(err.Error(), "the token was not sent") {
			t.Errorf("hash %s: %v; want a refusal that says that the token is safe", name, err)
		}
	}
	if n := b.joins.Load(); n != 0 {
		t.Errorf("the controller got %d tokens; want none", n)
	}
	b.logged("connection refused", "reason=certificate", "tls: bad certificate")
	// Without its guard, that is with any CA for the right one, it would have been sent.
	if _, err := b.tryJoin("h1", token); err != nil || b.joins.Load() != 1 {
		t.Errorf("right hash: %v, %d tokens; want an identity and 1", err, b.joins.Load())
	}
}

func newCA(t *testing.T) *trust.CA {
	t.Helper()
	ca, err := trust.NewCA(rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// own is the cluster's CA, from its files.
func (b *bed) own() *trust.CA {
	b.t.Helper()
	cert, err1 := os.ReadFile(filepath.Join(b.dir, "ca.pem"))
	key, err2 := os.ReadFile(filepath.Join(b.dir, "ca.key"))
	ca, err3 := trust.ParseCA(cert, key)
	if err1 != nil || err2 != nil || err3 != nil {
		b.t.Fatal(err1, err2, err3)
	}
	return ca
}

func TestTokensAreRefusedAndLogged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		token  func(b *bed) string
		host   string
		code   codes.Code
		reason trust.Reason
		text   string // part of what the host is told
	}{
		{"no token", func(*bed) string { return "abc" }, "h1", codes.Unauthenticated, trust.ReasonTokenUnknown, "no join token"},
		{"unknown", func(b *bed) string {
			text := b.token(trust.TokenSpec{})
			id, _, _ := strings.Cut(text, ".")
			if found, err := b.authority.DeleteToken(id); !found || err != nil {
				b.t.Fatal(found, err)
			}
			return text
		}, "h1", codes.Unauthenticated, trust.ReasonTokenUnknown, "not known"},
		{"wrong secret", func(b *bed) string {
			text := b.token(trust.TokenSpec{})
			last := text[len(text)-1]
			return text[:len(text)-1] + string('a'+(last-'a'+1)%20)
		}, "h1", codes.Unauthenticated, trust.ReasonTokenUnknown, "not known"},
		{"another's secret", func(b *bed) string {
			id, _, _ := strings.Cut(b.token(trust.TokenSpec{}), ".")
			_, secret, _ := strings.Cut(b.token(trust.TokenSpec{}), ".")
			return id + "." + secret
		}, "h1", codes.Unauthenticated, trust.ReasonTokenUnknown, "not known"},
		{"expired", func(b *bed) string {
			text := b.token(trust.TokenSpec{TTL: time.Minute})
			b.clock.advance(time.Minute)
			return text
		}, "h1", codes.Unauthenticated, trust.ReasonTokenExpired, "expired"},
		{"used", func(b *bed) string {
			text := b.token(trust.TokenSpec{})
			if _, err := b.tryJoin("h9", text); err != nil {
				b.t.Fatal(err)
			}
			return text
		}, "h1", codes.Unauthenticated, trust.ReasonTokenUsed, "used up"},
		{"for others", func(b *bed) string { return b.token(trust.TokenSpec{Hosts: []string{"web-*", "h[2-9]"}}) },
			"h1", codes.PermissionDenied, trust.ReasonTokenHost, "--hosts h1"},
		{"a live host's name", func(b *bed) string { b.join("h1"); return b.token(trust.TokenSpec{}) },
			"h1", codes.AlreadyExists, trust.ReasonNameTaken, "daolictl host revoke h1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			token := tt.token(b)
			_, err := b.tryJoin(tt.host, token)
			if got := answerOf(err); got.Code != tt.code || !strings.Contains(got.Text, tt.text) {
				t.Errorf("join = %v (%v); want %v and %q", err, got.Code, tt.code, tt.text)
			}
			b.logged("join refused", "peer=127.0.0.1:", "host="+tt.host, "reason="+string(tt.reason))
		})
	}
}

func TestATokenIsGoodForWhatItSays(t *testing.T) {
	b := newBed(t)
	token := b.token(trust.TokenSpec{Hosts: []string{"web-*"}, Tenants: []string{"acme"}, Uses: 2})
	for _, host := range []string{"web-1", "web-2"} {
		if _, err := b.tryJoin(host, token); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	id, err := b.tryJoin("web-3", token)
	if answerOf(err).Code != codes.Unauthenticated {
		t.Errorf("third use: %v, %v", id, err)
	}
	if h, ok := b.authority.Trusted("web-1"); !ok || len(h.Tenants) != 1 || h.Tenants[0] != "acme" {
		t.Errorf("registry has %+v; want its tenants", h)
	}
}

func answerOf(err error) identity.AnswerError {
	var a *identity.AnswerError
	if errors.As(err, &a) {
		return *a
	}
	return identity.AnswerError{}
}

func TestAHelloIsTheCertificates(t *testing.T) {
	b := newBed(t)
	h1, h2 := b.join("h1"), b.join("h2")
	foreign := certificate(t, newCA(t), "h1", time.Now(), time.Hour)
	stranger := certificate(t, b.own(), "h7", time.Now(), time.Hour) // signed, and not in the registry
	copied := certificate(t, b.own(), "h1", time.Now(), time.Hour)   // with another key than h1's
	refused := func(name string, tc *tls.Config, host string, dpid uint64, reason trust.Reason) {
		t.Helper()
		if err := b.hello(tc, host, dpid); status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v; want a refusal", name, err)
		}
		b.logged("host refused", "peer=127.0.0.1:", "reason="+string(reason))
		none(t, name, b.hellos)
	}
	refused("no certificate", showing(nil), "h1", dpid1, trust.ReasonCertificate)
	refused("another host's name", h1.TLS(), "h2", dpid1, trust.ReasonOtherHost)
	refused("a host that never joined", showing(stranger), "h7", dpid1, trust.ReasonUnknownHost)
	refused("another key", showing(copied), "h1", dpid1, trust.ReasonReplaced)
	if err := b.hello(showing(foreign), "h1", dpid1); err == nil {
		t.Error("a certificate of another cluster is welcome")
	}
	b.logged("connection refused", "peer=127.0.0.1:", "reason=certificate", "not one of this cluster's")

	if err := b.hello(h1.TLS(), "h1", dpid1); err != nil {
		t.Fatalf("h1 as itself: %v", err)
	}
	if r := await(t, "hello", b.hellos); r.Name != "h1" {
		t.Errorf("hello of %s; want h1's", r.Name)
	}
	refused("another host's datapath id", h2.TLS(), "h2", dpid1, trust.ReasonDPIDTaken)
}

func TestWithoutItsGuardAHelloMaySayAnything(t *testing.T) {
	b := newBed(t)
	b.stop()
	b.open = true
	b.start()
	h1 := b.join("h1")
	if err := b.hello(h1.TLS(), "h2", dpid1); err != nil {
		t.Fatal(err)
	}
	if r := await(t, "hello", b.hellos); r.Name != "h2" {
		t.Errorf("hello of %s; want h2's, by h1's certificate", r.Name)
	}
	if err := b.connect(h1.TLS(), dpid2); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "switch", b.up); got != dpid2 {
		t.Errorf("switch %x is up; want h2's, by h1's certificate", got)
	}
}

// TestWithoutTheDemandForACertificateAStrangerIsASwitch: that the port asks for a
// certificate is one guard, and whose it is another. Either keeps a stranger out.
func TestWithoutTheDemandForACertificateAStrangerIsASwitch(t *testing.T) {
	for _, tt := range []struct {
		name              string
		open, undemanding bool
		in                bool
	}{
		{"neither guard", true, true, true},
		{"only the demand", true, false, false},
		{"only whose it is", false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.stop()
			b.open, b.undemanding = tt.open, tt.undemanding
			b.start()
			err := b.connect(showing(nil), dpid1)
			if tt.in {
				if err != nil {
					t.Fatal(err)
				}
				if got := await(t, "switch", b.up); got != dpid1 {
					t.Errorf("switch %x is up; want the stranger's", got)
				}
				return
			}
			b.logged("refused", "peer=127.0.0.1:", "reason=")
			none(t, "switch of a stranger", b.up)
		})
	}
}

func TestASwitchIsItsHosts(t *testing.T) {
	b := newBed(t)
	h1, h2 := b.join("h1"), b.join("h2")
	for id, dpid := range map[*identity.Identity]uint64{h1: dpid1, h2: dpid2} {
		if err := b.hello(id.TLS(), id.Host(), dpid); err != nil {
			t.Fatal(err)
		}
	}
	own := b.own()
	controllers := controller(t, own)
	for name, tt := range map[string]struct {
		shown *tls.Config
		dpid  uint64
		log   []string
	}{
		"no certificate":      {showing(nil), dpid1, []string{"connection refused", "reason=certificate", "client didn't provide a certificate"}},
		"of another CA":       {showing(certificate(t, newCA(t), "h1", time.Now(), time.Hour)), dpid1, []string{"connection refused", "reason=certificate", "not one of this cluster's"}},
		"a controller's":      {showing(controllers), dpid1, []string{"connection refused", "reason=certificate", "incompatible key usage"}},
		"another host's":      {h1.TLS(), dpid2, []string{"switch refused", "host=h1", "reason=dpid-taken"}},
		"not the host's own":  {h1.TLS(), 0x999, []string{"switch refused", "host=h1", "reason=other-host"}},
		"not in the registry": {showing(certificate(t, own, "h7", time.Now(), time.Hour)), dpid1, []string{"connection refused", "reason=unknown-host"}},
	} {
		err := b.connect(tt.shown, tt.dpid)
		b.logged(append(tt.log, "peer=127.0.0.1:")...)
		if err == nil { // the handshake was done before the datapath id was looked at
			none(t, name, b.up)
		}
	}
	if err := b.connect(h1.TLS(), dpid1); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "switch", b.up); got != dpid1 {
		t.Errorf("switch %x is up; want h1's", got)
	}
	b.clock.advance(25 * time.Hour)
	b.look()
	if err := b.connect(h1.TLS(), dpid1); err == nil {
		none(t, "switch with an ended certificate", b.up)
	}
	b.logged("connection refused", "peer=127.0.0.1:", "reason=expired", "may only be renewed")
}

// controller is a controller's certificate, which is for no client.
func controller(t *testing.T, ca *trust.CA) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.SignController(rand.Reader, "c1", nil, &key.PublicKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func TestASwitchWaitsForItsHostToSayThatItIsItsOwn(t *testing.T) {
	b := newBed(t)
	h1 := b.join("h1")
	connected := make(chan error, 1)
	go func() { connected <- b.connect(h1.TLS(), dpid1) }()
	if err := await(t, "connection", connected); err != nil {
		t.Fatal(err)
	}
	none(t, "switch before the hello", b.up)
	if err := b.hello(h1.TLS(), "h1", dpid1); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "switch", b.up); got != dpid1 {
		t.Errorf("switch %x is up; want h1's", got)
	}
	// Another bridge of the host ends what the old one had.
	if err := b.hello(h1.TLS(), "h1", dpid2); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "end of the old switch", b.down); !strings.Contains(err.Error(), "another datapath id") {
		t.Errorf("it ended by %v", err)
	}
}

func TestTheEndOfTheLastCertificateEndsConnections(t *testing.T) {
	b := newBed(t)
	h1 := b.connected("h1", dpid1)
	b.clock.advance(20 * time.Hour)
	b.look()
	if err := h1.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(5 * time.Hour) // the first certificate has ended, the second has not
	b.look()
	none(t, "end of the stream", b.gone)
	none(t, "end of the switch", b.down)
	b.clock.advance(20 * time.Hour) // without its guard, before anybody looks, an ended certificate ends nothing
	none(t, "end of the stream", b.gone)
	none(t, "end of the switch", b.down)
	b.look()
	if err := await(t, "end of the stream", b.gone); !strings.Contains(err.Error(), "last certificate ended") {
		t.Errorf("the stream ended by %v", err)
	}
	if err := await(t, "end of the switch", b.down); !strings.Contains(err.Error(), "last certificate ended") {
		t.Errorf("the switch's connection ended by %v", err)
	}
	b.logged("connection ended", "host=h1", "reason=expired")
}

// connected is a host whose stream and switch are up.
func (b *bed) connected(host string, dpid uint64) *identity.Identity {
	b.t.Helper()
	id := b.join(host)
	if err := b.hello(id.TLS(), host, dpid); err != nil {
		b.t.Fatal(err)
	}
	await(b.t, "hello", b.hellos)
	if err := b.connect(id.TLS(), dpid); err != nil {
		b.t.Fatal(err)
	}
	await(b.t, "switch", b.up)
	return id
}

func (b *bed) look() {
	b.t.Helper()
	if err := b.authority.Look(); err != nil {
		b.t.Fatal(err)
	}
}

func TestARevokedHostIsCutAtOnce(t *testing.T) {
	b := newBed(t)
	h1 := b.connected("h1", dpid1)
	if found, err := b.authority.Revoke("h1"); !found || err != nil {
		t.Fatalf("Revoke = %v, %v", found, err)
	}
	if err := await(t, "end of the stream", b.gone); !strings.Contains(err.Error(), "revoked") {
		t.Errorf("the stream ended by %v", err)
	}
	if err := await(t, "end of the switch", b.down); !strings.Contains(err.Error(), "revoked") {
		t.Errorf("the switch's connection ended by %v", err)
	}
	if host := await(t, "word to the engine", b.revoked); host != "h1" {
		t.Errorf("%s is told to be revoked; want h1", host)
	}
	b.logged("host revoked", "host=h1")
	if err := h1.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "--new-key") {
		t.Errorf("renewal: %v; want a refusal with the way out", err)
	}
	b.logged("renewal refused", "host=h1", "reason=revoked")
	if err := b.hello(h1.TLS(), "h1", dpid1); status.Code(err) != codes.PermissionDenied {
		t.Errorf("hello: %v; want a refusal", err)
	}
	b.logged("host refused", "host=h1", "reason=revoked")
	if err := b.connect(h1.TLS(), dpid1); err == nil {
		none(t, "switch", b.up)
	}
	// Its key is never good again, its name is, and so is its bridge.
	dir := filepath.Dir(h1.Files().Key)
	if _, err := b.tryJoinBy(identity.JoinConfig{Host: "h1", Token: b.token(trust.TokenSpec{}), Dir: dir}); !strings.Contains(text(err), "new key") {
		t.Errorf("join with the revoked key: %v; want a refusal with the way out", err)
	}
	h1, err := b.tryJoinBy(identity.JoinConfig{Host: "h1", Token: b.token(trust.TokenSpec{}), Dir: dir, NewKey: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.hello(h1.TLS(), "h1", dpid1); err != nil {
		t.Errorf("hello with a new key: %v", err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAHostThatWasOffComesBackAloneFor30Days(t *testing.T) {
	b := newBed(t)
	h1, h2 := b.join("h1"), b.join("h2")
	b.clock.advance(24*time.Hour + 29*24*time.Hour)
	b.look()
	if err := b.hello(h1.TLS(), "h1", dpid1); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "may only be renewed") {
		t.Errorf("hello with an ended certificate: %v", err)
	}
	b.logged("host refused", "host=h1", "reason=expired")
	if err := h1.Renew(t.Context()); err != nil {
		t.Fatalf("renewal 29 days after the end: %v", err)
	}
	if err := b.hello(h1.TLS(), "h1", dpid1); err != nil {
		t.Errorf("hello after it: %v", err)
	}
	b.clock.advance(2 * 24 * time.Hour)
	b.look()
	if err := h2.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "daolictl join-token create --hosts h2") {
		t.Errorf("renewal 31 days after the end: %v; want a refusal with the way out", err)
	}
	b.logged("renewal refused", "host=h2", "reason=expired")
}

func TestARestartForgetsNothing(t *testing.T) {
	b := newBed(t)
	h1 := b.connected("h1", dpid1)
	b.join("h2")
	token, used := b.token(trust.TokenSpec{}), b.token(trust.TokenSpec{})
	if _, err := b.tryJoin("h3", used); err != nil {
		t.Fatal(err)
	}
	if _, err := b.authority.Revoke("h2"); err != nil {
		t.Fatal(err)
	}
	pin := b.authority.Pin()
	b.stop()
	b.start()
	if got := b.authority.Pin(); got != pin {
		t.Errorf("CA is %s; want %s", got, pin)
	}
	if err := b.hello(h1.TLS(), "h1", dpid1); err != nil {
		t.Errorf("h1 after the restart: %v", err)
	}
	if err := b.connect(h1.TLS(), dpid1); err != nil { // bound still
		t.Errorf("h1's switch after the restart: %v", err)
	}
	if _, err := b.tryJoin("h4", used); answerOf(err).Code != codes.Unauthenticated {
		t.Errorf("used token after the restart: %v", err)
	}
	if _, err := b.tryJoin("h4", token); err != nil {
		t.Errorf("token after the restart: %v", err)
	}
	if _, ok := b.authority.Trusted("h2"); ok {
		t.Error("h2 is not revoked after the restart")
	}
	for _, name := range []string{"ca.pem", "ca.key", "state.json"} {
		if info, err := os.Stat(filepath.Join(b.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
	for _, secret := range []string{token, used} {
		kept, err := os.ReadFile(filepath.Join(b.dir, "state.json"))
		if _, s, _ := strings.Cut(secret, "."); err != nil || strings.Contains(string(kept), s) {
			t.Errorf("the registry holds a token's secret (%v)", err)
		}
	}
}

func TestGuessingTokensIsSlow(t *testing.T) {
	b := newBed(t)
	good := b.token(trust.TokenSpec{Uses: 20})
	for i := range 15 { // what succeeds does not count
		if _, err := b.tryJoin("ok"+string(rune('a'+i)), good); err != nil {
			t.Fatal(err)
		}
	}
	var codesSeen []codes.Code
	for range 12 {
		_, err := b.tryJoin("h1", "abc.def")
		codesSeen = append(codesSeen, answerOf(err).Code)
	}
	if codesSeen[0] != codes.Unauthenticated || codesSeen[11] != codes.ResourceExhausted {
		t.Errorf("answers are %v; want refusals, and then none to be asked for a while", codesSeen)
	}
	b.logged("join refused", "reason=rate")
	if _, err := b.tryJoin("h1", good); answerOf(err).Code != codes.ResourceExhausted {
		t.Errorf("right token at once: %v; want to wait, or guessing would not be slow", err)
	}
	b.clock.advance(5 * time.Second)
	if _, err := b.tryJoin("h1", good); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

func TestSilentPeersKeepNobodyWaiting(t *testing.T) {
	b := newBed(t)
	h1 := b.join("h1")
	for _, addr := range []string{b.hosts, b.ofs} {
		for range 80 { // more than one address may have
			c, err := net.Dial("tcp4", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}
	}
	b.logged("connection refused", "peer=127.0.0.1:", "reason=rate", "handshakes at once")
	// Another address comes in while they sit there.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	began := time.Now()
	raw, err := d.Dial("tcp4", b.hosts)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := tls.Client(raw, h1.TLS()).HandshakeContext(t.Context()); err != nil {
		t.Errorf("handshake of another: %v", err)
	}
	if spent := time.Since(began); spent > 3*time.Second {
		t.Errorf("it took %s; want no wait for the silent ones", spent)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	b := newBed(t)
	h1 := b.join("h1")
	old := h1.TLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, addr := range []string{b.hosts, b.ofs} {
		if c, err := tls.Dial("tcp4", addr, old); err == nil {
			c.Close()
			t.Errorf("%s takes TLS 1.2", addr)
		}
	}
	b.logged("connection refused", "unsupported version")
}

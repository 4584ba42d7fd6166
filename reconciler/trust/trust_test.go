package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/trust"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func newCA(t testing.TB) *trust.CA {
	t.Helper()
	ca, err := trust.NewCA(rand.Reader, noon)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestACAIsKeptAsPEM(t *testing.T) {
	ca := newCA(t)
	cert, key, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.ParseCA(cert, key)
	if err != nil || again.Cluster != ca.Cluster || !again.Cert.Equal(ca.Cert) {
		t.Errorf("ParseCA = %v, %v; want the same", again, err)
	}
	other, otherKey, err := newCA(t).PEM()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.SignHost(rand.Reader, "h1", &newKey(t).PublicKey, noon, day)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"nothing": {nil, nil}, "no key": {cert, nil}, "key for certificate": {key, key}, "another's key": {cert, otherKey},
		"another's certificate": {other, key}, "a host's certificate": {trust.CertificatePEM(leaf), key},
	} {
		if _, err := trust.ParseCA(pair[0], pair[1]); err == nil {
			t.Errorf("ParseCA takes %s", name)
		}
	}
}

func TestCertificatesAreForOneThingEach(t *testing.T) {
	ca, key := newCA(t), newKey(t)
	host, err := ca.SignHost(rand.Reader, "h1", &key.PublicKey, noon, day)
	if err != nil {
		t.Fatal(err)
	}
	controller, err := ca.SignController(rand.Reader, "c1", []string{"172.31.250.1", "c1.example"}, &key.PublicKey, noon, day)
	if err != nil {
		t.Fatal(err)
	}
	if host.URIs[0].String() != "spiffe://"+ca.Cluster+"/host/h1" || len(host.DNSNames)+len(host.IPAddresses) > 0 {
		t.Errorf("the host is %v, %v, %v", host.URIs, host.DNSNames, host.IPAddresses)
	}
	if !slices.Equal(controller.DNSNames, []string{"c1.example"}) || len(controller.IPAddresses) != 1 {
		t.Errorf("the controller is %v, %v", controller.DNSNames, controller.IPAddresses)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	for _, tt := range []struct {
		cert *x509.Certificate
		use  x509.ExtKeyUsage
		want bool
	}{
		{host, x509.ExtKeyUsageClientAuth, true}, {host, x509.ExtKeyUsageServerAuth, false},
		{controller, x509.ExtKeyUsageServerAuth, true}, {controller, x509.ExtKeyUsageClientAuth, false},
	} {
		_, err := tt.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{tt.use}})
		if (err == nil) != tt.want {
			t.Errorf("%s for %v: %v; want %v", tt.cert.URIs[0], tt.use, err, tt.want)
		}
	}
	if shown, err := ca.Verify(noon.Add(2*day), []*x509.Certificate{host}); err != nil || shown.Host != "h1" || !shown.NotAfter.Equal(noon.Add(day)) {
		t.Errorf("Verify of an ended certificate = %+v, %v; want h1 and its end", shown, err)
	}
	for name, shown := range map[string][]*x509.Certificate{
		"nothing": nil, "a controller": {controller}, "the CA": {ca.Cert}, "before its time": nil,
	} {
		now := noon
		if name == "before its time" {
			now, shown = noon.Add(-time.Hour), []*x509.Certificate{host}
		}
		if got, err := ca.Verify(now, shown); trust.ReasonOf(err) != trust.ReasonCertificate {
			t.Errorf("Verify of %s = %+v, %v; want a refusal", name, got, err)
		}
	}
}

// TestOnlyTheKeyOfARequestCounts asks for everything that a request can hold.
func TestOnlyTheKeyOfARequestCounts(t *testing.T) {
	ca, key := newCA(t), newKey(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "c1"}, DNSNames: []string{"evil"}, URIs: []*url.URL{hostpb.MemberURI(ca.Cluster, hostpb.KindController, "c1")},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := trust.ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.SignHost(rand.Reader, "h1", r.Key, noon, day)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject.CommonName != "h1" || len(c.DNSNames) > 0 || c.URIs[0].Path != "/host/h1" || c.IsCA || len(c.ExtKeyUsage) != 1 {
		t.Errorf("certificate is %v %v %v", c.Subject, c.DNSNames, c.URIs)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	request := func(key crypto.Signer) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := request(newKey(t))
	unsigned[len(unsigned)-1] ^= 1
	for name, der := range map[string][]byte{
		"nothing": nil, "no DER": []byte("hello"), "too long": make([]byte, hostpb.MaxCSR+1), "a longer curve": request(p384), "another algorithm": request(ed), "not signed by its key": unsigned,
	} {
		if r, err := trust.ParseRequest(der); trust.ReasonOf(err) != trust.ReasonRequest {
			t.Errorf("ParseRequest of %s = %+v, %v; want a refusal", name, r, err)
		}
	}
}

func TestTokensAreBounded(t *testing.T) {
	s := trust.NewState()
	for name, spec := range map[string]trust.TokenSpec{
		"negative time": {TTL: -1}, "too long": {TTL: trust.MaxTTL + 1}, "negative uses": {Uses: -1}, "too many uses": {Uses: trust.MaxUses + 1},
		"bad pattern": {Hosts: []string{"["}}, "empty pattern": {Hosts: []string{""}}, "a path": {Hosts: []string{"a/b"}},
		"bad tenant": {Tenants: []string{"Acme"}}, "too many": {Hosts: make([]string, trust.MaxPatterns+1)},
	} {
		if _, _, err := s.CreateToken(rand.Reader, noon, spec); trust.ReasonOf(err) != trust.ReasonRequest || len(s.Tokens) > 0 {
			t.Errorf("%s: %v, %d tokens; want a refusal", name, err, len(s.Tokens))
		}
	}
	for range trust.MaxTokens {
		if _, _, err := s.CreateToken(rand.Reader, noon, trust.TokenSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.CreateToken(rand.Reader, noon, trust.TokenSpec{}); err == nil {
		t.Error("there is no bound on the number of tokens")
	}
	// Those that ended a day ago are forgotten.
	if _, _, err := s.CreateToken(rand.Reader, noon.Add(26*time.Hour), trust.TokenSpec{}); err != nil || len(s.Tokens) != 1 {
		t.Errorf("a day later: %v, %d tokens; want 1", err, len(s.Tokens))
	}
}

// TestAFailedJoinUsesNothing has each refusal leave the token as it was.
func TestAFailedJoinUsesNothing(t *testing.T) {
	s := trust.NewState()
	tok, text, err := s.CreateToken(rand.Reader, noon, trust.TokenSpec{Hosts: []string{"h*"}})
	if err != nil {
		t.Fatal(err)
	}
	if tok.Expires != noon.Add(trust.DefaultTTL) || tok.Uses != 1 {
		t.Errorf("defaults are %+v", tok)
	}
	for _, host := range []string{"web", "H1", "", "h1/../h2"} {
		if _, err := s.Join(noon, text, host, "key1", noon.Add(day)); err == nil {
			t.Errorf("%q joined", host)
		}
	}
	if s.Tokens[tok.ID].Uses != 1 || len(s.Hosts) != 0 {
		t.Errorf("after refusals: %+v, %v", s.Tokens[tok.ID], s.Hosts)
	}
	if _, err := s.Join(noon, text, "h1", "key1", noon.Add(day)); err != nil {
		t.Fatal(err)
	}
	if s.Tokens[tok.ID].Uses != 0 || s.Hosts["h1"].Key != "key1" {
		t.Errorf("after joining: %+v, %v", s.Tokens[tok.ID], s.Hosts)
	}
}

func TestANameIsItsKeys(t *testing.T) {
	join := func(s *trust.State, at time.Time, name string, key trust.KeyHash) error {
		_, text, err := s.CreateToken(rand.Reader, at, trust.TokenSpec{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Join(at, text, name, key, at.Add(day))
		return err
	}
	for _, tt := range []struct {
		name string
		at   time.Duration
		prep func(*trust.State)
		host string
		key  trust.KeyHash
		want trust.Reason
	}{
		{"again with the same key", 0, nil, "h1", "key1", ""},
		{"with another key while it lives", 0, nil, "h1", "key2", trust.ReasonNameTaken},
		{"with another key while it may come back", 30 * day, nil, "h1", "key2", trust.ReasonNameTaken},
		{"with another key when it cannot", 31*day + 1, nil, "h1", "key2", ""},
		{"the key of another", 0, nil, "h2", "key1", trust.ReasonKeyTaken},
		{"with another key after it was revoked", 0, func(s *trust.State) { s.Revoke(noon, "h1") }, "h1", "key2", ""},
		{"with its key after it was revoked", 0, func(s *trust.State) { s.Revoke(noon, "h1") }, "h1", "key1", trust.ReasonRevoked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := trust.NewState()
			if err := join(s, noon, "h1", "key1"); err != nil {
				t.Fatal(err)
			}
			if tt.prep != nil {
				tt.prep(s)
			}
			if err := join(s, noon.Add(tt.at), tt.host, tt.key); trust.ReasonOf(err) != tt.want {
				t.Errorf("join = %v; want %q", err, tt.want)
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   time.Duration
		bend func(s *trust.State, shown *trust.Shown, key *trust.KeyHash)
		want trust.Reason
	}{
		{"in its life", 16 * time.Hour, nil, ""},
		{"just within the grace", day + trust.Grace, nil, ""},
		{"after it", day + trust.Grace + 1, nil, trust.ReasonExpired},
		{"for another key", 0, func(_ *trust.State, _ *trust.Shown, key *trust.KeyHash) { *key = "key2" }, trust.ReasonReplaced},
		{"shown with another key", 0, func(_ *trust.State, shown *trust.Shown, _ *trust.KeyHash) { shown.Key = "key2" }, trust.ReasonReplaced},
		{"of a revoked host", 0, func(s *trust.State, _ *trust.Shown, _ *trust.KeyHash) { s.Revoke(noon, "h1") }, trust.ReasonRevoked},
		{"of a stranger", 0, func(_ *trust.State, shown *trust.Shown, _ *trust.KeyHash) { shown.Host = "h2" }, trust.ReasonUnknownHost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := trust.NewState()
			s.Hosts["h1"] = trust.Host{Name: "h1", Key: "key1", NotAfter: noon.Add(day)}
			shown, key := trust.Shown{Host: "h1", Key: "key1", NotAfter: noon.Add(day)}, trust.KeyHash("key1")
			if tt.bend != nil {
				tt.bend(s, &shown, &key)
			}
			now := noon.Add(tt.at)
			_, err := s.Renew(now, shown, key, now.Add(day))
			if trust.ReasonOf(err) != tt.want {
				t.Fatalf("Renew = %v; want %q", err, tt.want)
			}
			end := noon.Add(day)
			if tt.want == "" {
				end = now.Add(day)
			}
			if got := s.Hosts["h1"].NotAfter; !got.Equal(end) {
				t.Errorf("its last certificate ends %v; want %v", got, end)
			}
		})
	}
}

func TestADPIDIsTheFirstHostsThatSaysSo(t *testing.T) {
	s := trust.NewState()
	for _, name := range []string{"h1", "h2"} {
		s.Hosts[name] = trust.Host{Name: name, Key: trust.KeyHash("key-" + name), NotAfter: noon.Add(day)}
	}
	reason := func(name string, dpid uint64) trust.Reason { return trust.ReasonOf(s.MayHaveSwitch(name, dpid)) }
	bind := func(name string, dpid uint64, changed bool, want trust.Reason) {
		t.Helper()
		if got, err := s.Bind(name, dpid); got != changed || trust.ReasonOf(err) != want {
			t.Errorf("Bind(%s, %d) = %v, %v; want %v, %q", name, dpid, got, err, changed, want)
		}
	}
	if got := reason("h1", 1); got != trust.ReasonDPIDUnbound {
		t.Errorf("before any hello: %q", got)
	}
	bind("h1", 1, true, "")
	bind("h1", 1, false, "")
	bind("h2", 1, false, trust.ReasonDPIDTaken)
	bind("h3", 3, false, trust.ReasonUnknownHost)
	for _, tt := range []struct {
		name string
		dpid uint64
		want trust.Reason
	}{
		{"h1", 1, ""}, {"h2", 1, trust.ReasonDPIDTaken}, {"h1", 2, trust.ReasonOtherHost}, {"h2", 2, trust.ReasonDPIDUnbound},
	} {
		if got := reason(tt.name, tt.dpid); got != tt.want {
			t.Errorf("MayHaveSwitch(%s, %d) = %q; want %q", tt.name, tt.dpid, got, tt.want)
		}
	}
	s.Revoke(noon, "h1") // gives it free
	bind("h2", 1, true, "")
}

func TestAStateIsKeptAsJSON(t *testing.T) {
	s := trust.NewState()
	_, text, err := s.CreateToken(rand.Reader, noon, trust.TokenSpec{Hosts: []string{"h*"}, Tenants: []string{"acme"}, Uses: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Join(noon, text, "h1", "key1", noon.Add(day)); err != nil {
		t.Fatal(err)
	}
	s.Revoke(noon, "h1")
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, secret, _ := strings.Cut(text, "."); strings.Contains(string(b), secret) {
		t.Error("the secret is kept")
	}
	got := trust.NewState()
	if err := json.Unmarshal(b, got); err != nil || got.Check() != nil {
		t.Fatal(err, got.Check())
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	for name, text := range map[string]string{
		"null": `null`, "no hosts": `{"tokens":{},"hosts":null}`, "another's name": `{"tokens":{},"hosts":{"h1":{"name":"h2","key":"k"}}}`,
		"no key": `{"tokens":{},"hosts":{"h1":{"name":"h1"}}}`, "no hash": `{"tokens":{"a":{"id":"a"}},"hosts":{}}`,
	} {
		s := &trust.State{}
		if err := json.Unmarshal([]byte(text), s); err == nil && s.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	_, text, err := trust.NewState().CreateToken(rand.Reader, noon, trust.TokenSpec{})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{text, "", ".", "a.b", strings.ToUpper(text), text + "=", text + "\n", strings.Repeat("a", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := trust.ParseToken(text)
		if err != nil {
			if trust.ReasonOf(err) != trust.ReasonTokenUnknown {
				t.Errorf("error is %v", err)
			}
			return
		}
		if len(text) > hostpb.MaxToken || !strings.HasPrefix(text, id+".") || len(id) != 8 {
			t.Errorf("ParseToken(%q) = %q", text, id)
		}
		if _, err := trust.NewState().Join(noon, text, "h1", "key", noon); trust.ReasonOf(err) != trust.ReasonTokenUnknown {
			t.Errorf("join with a token that nobody made: %v", err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "h1"}}, newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(der[:len(der)-1])
	f.Add([]byte{})
	ca := newCA(f)
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := trust.ParseRequest(der)
		if err != nil {
			if trust.ReasonOf(err) != trust.ReasonRequest {
				t.Errorf("error is %v", err)
			}
			return
		}
		c, err := ca.SignHost(rand.Reader, "h1", r.Key, noon, day)
		if err != nil || trust.HashKey(c.RawSubjectPublicKeyInfo) != r.Hash {
			t.Errorf("certificate of a good request: %v, hash %s; want %s", err, trust.HashKey(c.RawSubjectPublicKeyInfo), r.Hash)
		}
	})
}

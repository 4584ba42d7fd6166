package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

func web1(name string) endpoint.Endpoint {
	return endpoint.Endpoint{
		Request: endpoint.Request{
			Ref: endpoint.Ref{Tenant: "acme", VPC: "prod", Name: name}, Subnet: "web", Namespace: "/run/netns/a", Interface: "eth0",
			IP: netip.MustParseAddr("10.1.0.2"), MAC: endpoint.MAC{2, 0, 0, 0, 0, 2},
		},
		Port: 16, State: endpoint.Up,
	}
}

func TestStoreKeepsStateOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := s.host(); err != nil || !cmp.Equal(h, hostState{}) {
		t.Errorf("a new store's host = %+v, %v", h, err)
	}
	want := hostState{
		Uplink: "eth0", Bridge: "br-daoli", Datapath: "netdev", Original: nic.Original{NoPrefixRoute: []string{"10.0.0.1/24"}, LinkLocal: []string{"fe80::1/64"}},
		Controllers: []string{"tcp:1.2.3.4:6653"}, Wire: pipeline.DefaultWireRange, NextPort: 17,
	}
	if err := errors.Join(s.saveHost(want), s.saveEndpoint(web1("a")), s.saveEndpoint(web1("b")), s.forgetEndpoint(web1("b").Ref), s.forgetEndpoint(web1("c").Ref)); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("openStore of a store in use = %v; want an error", err)
	}
	s.close()
	if s, err = openStore(dir); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got, err := s.host(); err != nil || !cmp.Equal(got, want) {
		t.Errorf("host = %+v, %v; want %+v", got, err, want)
	}
	got, err := s.endpoints()
	if diff := cmp.Diff([]endpoint.Endpoint{web1("a")}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("endpoints: %v (-want +got):\n%s", err, diff)
	}
	if left, _ := filepath.Glob(dir + "/*/.new-*"); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestStoreNamesTheFileThatIsBroken(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.saveEndpoint(web1("a")); err != nil {
		t.Fatal(err)
	}
	file := s.endpointFile(web1("a").Ref)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"half":         whole[:len(whole)/2],
		"another's":    []byte(strings.Replace(string(whole), `"a"`, `"b"`, 1)),
		"no address":   []byte(strings.Replace(string(whole), "10.1.0.2", "10.1.0", 1)),
		"another MAC":  []byte(strings.Replace(string(whole), "02:00:00:00:00:02", "nothing", 1)),
		"not the kind": []byte("[]"),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.endpoints(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: endpoints = %+v, %v; want an error that names %s", name, got, err, file)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Datapath: "netdev", AttachTimeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
	for want, bend := range map[string]func(*Config){
		"datapath":       func(c *Config) { c.Datapath = "x" },
		"attach timeout": func(c *Config) { c.AttachTimeout = 0 },
	} {
		c := good
		bend(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v; want %q", err, want)
		}
	}
}

func TestAStateDirectoryIsOneProcesss(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckIdle(dir); err == nil || !strings.Contains(err.Error(), "systemctl stop daoli-hostd") {
		t.Errorf("CheckIdle = %v; want an error with the way out", err)
	}
	s.close()
	if err := CheckIdle(dir); err != nil {
		t.Errorf("CheckIdle = %v", err)
	}
}

func TestAHostThatHasNotJoinedDoesNotRun(t *testing.T) {
	err := Run(t.Context(), Config{Datapath: "netdev", AttachTimeout: time.Second, StateDir: t.TempDir()})
	if !errors.Is(err, identity.ErrNone) || !strings.Contains(err.Error(), "daoli-hostd join") {
		t.Errorf("Run = %v; want ErrNone, with the way out", err)
	}
}

func TestRequestsAreHeldToTheContract(t *testing.T) {
	tests := []struct {
		name string
		bend func(*endpoint.Request)
		want string // part of the error; empty: none
	}{
		{"well formed", func(*endpoint.Request) {}, ""},
		{"with everything", func(r *endpoint.Request) {
			r.IP, r.Groups, r.Labels = netip.MustParseAddr("10.1.0.2"), []string{"web"}, map[string]string{"role": "web"}
		}, ""},
		{"tenant", func(r *endpoint.Request) { r.Tenant = "Acme" }, `tenant "Acme"`},
		{"vpc", func(r *endpoint.Request) { r.VPC = "" }, `vpc ""`},
		{"subnet", func(r *endpoint.Request) { r.Subnet = "a b" }, `subnet "a b"`},
		{"name", func(r *endpoint.Request) { r.Name = "-" }, `name "-"`},
		{"group", func(r *endpoint.Request) { r.Groups = []string{"*"} }, `group "*"`},
		{"groups", func(r *endpoint.Request) { r.Groups = make([]string, 65) }, "65 groups"},
		{"labels", func(r *endpoint.Request) { r.Labels = map[string]string{"": ""} }, "labels"},
		{"IPv6", func(r *endpoint.Request) { r.IP = netip.MustParseAddr("::ffff:10.1.0.2") }, "not IPv4"},
		{"no namespace", func(r *endpoint.Request) { r.Namespace = "" }, "namespace"},
		{"no interface", func(r *endpoint.Request) { r.Interface = "" }, `interface name ""`},
		{"long interface", func(r *endpoint.Request) { r.Interface = "a234567890123456" }, "interface name"},
		{"interface with slash", func(r *endpoint.Request) { r.Interface = "a/b" }, "interface name"},
		{"interface that is loopback", func(r *endpoint.Request) { r.Interface = "lo" }, "interface name"},
		{"interface like an option", func(r *endpoint.Request) { r.Interface = "-f" }, "interface name"},
	}
	for _, tt := range tests {
		r := web1("web1").Request
		r.IP = netip.Addr{}
		tt.bend(&r)
		err := validate(&r)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: validate = %v; want %q", tt.name, err, tt.want)
		}
	}
}

// fakeLoop answers what the API asks, as a loop with these endpoints would.
func fakeLoop(t *testing.T, es ...endpoint.Endpoint) *api {
	t.Helper()
	l := &loop{events: make(chan any)}
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case ev := <-l.events:
				switch ev := ev.(type) {
				case viewRequest:
					ev.answer <- view{host: uplink.Host{}, endpoints: es}
				case attachRequest:
					ev.answer <- answerFor(ev.request)
				case detachRequest:
					ev.answer <- endpoint.Answer{Endpoint: endpoint.Endpoint{Request: endpoint.Request{Ref: ev.ref}, State: endpoint.Leaving}}
				}
			}
		}
	}()
	return newAPI(l, nil)
}

func answerFor(r endpoint.Request) endpoint.Answer {
	kinds := map[string]endpoint.Kind{
		"conflict": endpoint.Conflict, "refused": endpoint.Refused, "slow": endpoint.Timeout, "failed": endpoint.Failed,
	}
	if k, ok := kinds[r.Name]; ok {
		return endpoint.Answer{Err: &endpoint.Error{Kind: k, Text: "because"}}
	}
	return endpoint.Answer{Endpoint: endpoint.Endpoint{Request: r, Port: 16, State: endpoint.Up}}
}

func TestAPI(t *testing.T) {
	other := web1("b")
	other.VPC = "dev"
	a := fakeLoop(t, web1("a"), web1("b"), other)
	attach := func(name string) string {
		return fmt.Sprintf(`{"vpc":"acme/prod","subnet":"web","name":%q,"netns":"web1"}`, name)
	}
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string // part of the answer
	}{
		{"attach", "POST", "/v1/attach", attach("x"), 200, `"netns": "/run/netns/web1"`},
		{"attach with everything", "POST", "/v1/attach",
			`{"vpc":"acme/prod","subnet":"web","name":"x","netns":"/n","interface":"net1","ip":"10.1.0.9","mac":"02:00:00:00:00:09","groups":["g"],"labels":{"k":"v"}}`,
			200, `"mac": "02:00:00:00:00:09"`},
		{"attach, conflict", "POST", "/v1/attach", attach("conflict"), 409, "because"},
		{"attach, refused", "POST", "/v1/attach", attach("refused"), 403, "because"},
		{"attach, slow", "POST", "/v1/attach", attach("slow"), 504, "because"},
		{"attach, failed", "POST", "/v1/attach", attach("failed"), 500, "because"},
		{"attach, bad name", "POST", "/v1/attach", attach("X"), 400, `name \"X\"`},
		{"attach, bad vpc", "POST", "/v1/attach", `{"vpc":"prod","subnet":"web","name":"x","netns":"n"}`, 400, "TENANT/NAME"},
		{"attach, bad netns", "POST", "/v1/attach", `{"vpc":"acme/prod","subnet":"web","name":"x","netns":"a/b"}`, 400, "network namespace"},
		{"attach, bad MAC", "POST", "/v1/attach", `{"mac":"01:00:00:00:00:00"}`, 400, "interface's"},
		{"attach, unknown field", "POST", "/v1/attach", `{"vcp":"acme/prod"}`, 400, "vcp"},
		{"attach, no JSON", "POST", "/v1/attach", `x`, 400, "invalid"},
		{"detach", "POST", "/v1/detach", `{"vpc":"acme/prod","name":"b"}`, 200, "leaving"},
		{"detach by name", "POST", "/v1/detach", `{"name":"a"}`, 200, `"vpc": "acme/prod"`},
		{"detach by a name that two have", "POST", "/v1/detach", `{"name":"b"}`, 409, "acme/prod, acme/dev"},
		{"detach by nobody's name", "POST", "/v1/detach", `{"name":"c"}`, 404, "no endpoint"},
		{"leave with endpoints", "POST", "/v1/leave", `{}`, 409, "3 endpoints are attached"},
		{"endpoints", "GET", "/v1/endpoints", "", 200, `"device": "dl16"`},
		{"another method", "GET", "/v1/attach", "", 405, ""},
		{"another path", "GET", "/v1/nothing", "", 404, ""},
		{"too large", "POST", "/v1/attach", `{"vpc":"` + strings.Repeat("x", maxRequest) + `"}`, 400, "too large"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		a.handler().ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: status %d, %s; want %d and %q", tt.name, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestSocketIsPrivateAndAnswersTheClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "h.sock")
	client := NewClient(path)
	_, err := client.Endpoints(t.Context())
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("Endpoints of nobody = %v; want an UnreachableError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	srv, err := listen(ctx, path, fakeLoop(t, web1("a")))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket is %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := listen(ctx, path, fakeLoop(t)); err == nil {
		t.Error("listen on a served socket = nil; want an error")
	}
	if list, err := client.Endpoints(t.Context()); err != nil || len(list.Endpoints) != 1 || list.Endpoints[0].Name != "a" {
		t.Errorf("Endpoints = %+v, %v", list, err)
	}
	_, err = client.Detach(t.Context(), DetachRequest{Name: "nobody"})
	var refused *AnswerError
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("Detach = %v; want a refusal with 404", err)
	}
	cancel()
	srv.close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestTargetsAreGuessedFromTheControllers(t *testing.T) {
	got := guessTargets(t.Context(), []string{"172.31.250.1:7443", "172.31.250.2:9999", "nonsense"})
	if diff := cmp.Diff([]string{"ssl:172.31.250.1:6653", "ssl:172.31.250.2:6653"}, got); diff != "" {
		t.Errorf("guessTargets (-want +got):\n%s", diff)
	}
	if got := guessTargets(t.Context(), nil); len(got) != 1 {
		t.Errorf("guessTargets of nothing = %v; want one all the same, since a bridge's first controller flushes its flows", got)
	}
}

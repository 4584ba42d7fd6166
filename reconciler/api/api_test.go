package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/api"
)

// fake records what it was asked and answers with what it holds.
type fake struct {
	sessions []api.Session
	filter   api.SessionFilter
	pair     api.Pair
	join     api.JoinTokenRequest
	name     string // of the token or host that was named
	killed   uint64 // cookie of the session
	err      error
	during   func(ctx context.Context) error // runs inside Status
}

func (f *fake) Status(ctx context.Context) (api.Status, error) {
	if f.during != nil {
		return api.Status{}, f.during(ctx)
	}
	return api.Status{Version: "v1", Hosts: api.HostCount{Connected: 1, Total: 2}}, f.err
}

func (f *fake) Sessions(_ context.Context, filter api.SessionFilter) ([]api.Session, error) {
	f.filter = filter
	return f.sessions[:min(len(f.sessions), filter.Limit)], f.err
}

func (f *fake) Trace(_ context.Context, q api.Pair) (api.Trace, error) {
	f.pair = q
	return api.Trace{Session: api.Session{ID: "0x1"}, Hops: []api.Hop{{Host: "h1",
		Flows: []api.Flow{{Direction: "forward", Text: "actions=drop", Counters: api.Counters{Packets: 3, Bytes: 180}}}}}}, f.err
}

func (f *fake) Why(_ context.Context, q api.Pair) (api.Why, error) {
	f.pair = q
	return api.Why{Decision: api.Decision{Verdict: "drop", Reason: "isolation"}}, f.err
}

func (f *fake) Endpoints(context.Context) ([]api.Endpoint, error) {
	return []api.Endpoint{{Name: "web1"}}, f.err
}

func (f *fake) Hosts(context.Context) ([]api.Host, error) { return nil, f.err }

func (f *fake) Revisions(context.Context) ([]api.Revision, error) { return nil, f.err }

func (f *fake) CreateJoinToken(_ context.Context, q api.JoinTokenRequest) (api.JoinToken, error) {
	f.join = q
	return api.JoinToken{ID: "abc", Token: "abc.secret", Uses: q.Uses}, f.err
}

func (f *fake) JoinTokens(context.Context) ([]api.JoinToken, error) {
	return []api.JoinToken{{ID: "abc"}}, f.err
}

func (f *fake) DeleteJoinToken(_ context.Context, id string) error {
	f.name = id
	return f.err
}

func (f *fake) RevokeHost(_ context.Context, name string) error {
	f.name = name
	return f.err
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a server on a socket of the test's own until the test ends.
func serve(t *testing.T, b api.Backend) (socket string) {
	t.Helper()
	socket = filepath.Join(shortDir(t), "s.sock")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- api.Serve(ctx, l, b, quiet()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return socket
}

// shortDir is a t.TempDir whose name fits into a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestClientGetsWhatTheBackendSays(t *testing.T) {
	b := &fake{sessions: []api.Session{{ID: "0x1"}, {ID: "0x2"}, {ID: "0x3"}}}
	c := api.NewClient(serve(t, b))
	ctx := t.Context()

	status, err := c.Status(ctx)
	if want, _ := b.Status(ctx); err != nil || !cmp.Equal(status, want) {
		t.Errorf("Status = %+v, %v; want %+v", status, err, want)
	}
	q := api.Pair{From: "acme/prod/web1", To: "acme/prod/10.1.1.9", Proto: "tcp", Port: 443}
	trace, err := c.Trace(ctx, q)
	if err != nil || trace.Hops[0].Flows[0].Packets != 3 || b.pair != q {
		t.Errorf("Trace = %+v, %v, asked with %+v; want a flow with 3 packets, asked with %+v", trace, err, b.pair, q)
	}
	why, err := c.Why(ctx, q)
	if err != nil || why.Decision.Allowed() || why.Lines == nil {
		t.Errorf("Why = %+v, %v; want a drop and a list of lines", why, err)
	}
	endpoints, err := c.Endpoints(ctx)
	if err != nil || len(endpoints) != 1 || endpoints[0].Groups == nil {
		t.Errorf("Endpoints = %+v, %v; want one, with a list of groups", endpoints, err)
	}
	asked := api.JoinTokenRequest{Hosts: []string{"web-*"}, Tenants: []string{"acme"}, TTLSeconds: 60, Uses: 3}
	token, err := c.CreateJoinToken(ctx, asked)
	if err != nil || token.Token != "abc.secret" || token.Uses != 3 || !cmp.Equal(b.join, asked) {
		t.Errorf("CreateJoinToken = %+v, %v, asked with %+v; want the secret, asked with %+v", token, err, b.join, asked)
	}
	tokens, err := c.JoinTokens(ctx)
	if err != nil || len(tokens) != 1 || tokens[0].Hosts == nil {
		t.Errorf("JoinTokens = %+v, %v; want one, with a list of hosts", tokens, err)
	}
	if err := c.DeleteJoinToken(ctx, "a/b?c"); err != nil || b.name != "a/b?c" {
		t.Errorf("DeleteJoinToken = %v, of %q; want a/b?c", err, b.name)
	}
	if err := c.RevokeHost(ctx, "h1.rack-2"); err != nil || b.name != "h1.rack-2" {
		t.Errorf("RevokeHost = %v, of %q; want h1.rack-2", err, b.name)
	}
	hosts, err := c.Hosts(ctx)
	if err != nil || hosts == nil || len(hosts) != 0 {
		t.Errorf("Hosts = %#v, %v; want an empty list", hosts, err)
	}
}

func TestSessionsAreFilteredAndLimited(t *testing.T) {
	b := &fake{sessions: []api.Session{{ID: "0x1"}, {ID: "0x2"}, {ID: "0x3"}}}
	c := api.NewClient(serve(t, b))
	f := api.SessionFilter{VPC: "acme/prod", Endpoint: "web1", Host: "h1", Proto: "tcp", Port: 443, Limit: 2}
	list, err := c.SessionList(t.Context(), f)
	if err != nil || len(list.Sessions) != 2 || !list.Truncated {
		t.Errorf("SessionList(limit 2) = %+v, %v; want two of three, truncated", list, err)
	}
	f.Limit++
	if b.filter != f {
		t.Errorf("backend asked with %+v; want %+v", b.filter, f)
	}
	list, err = c.SessionList(t.Context(), api.SessionFilter{Limit: 3})
	if err != nil || len(list.Sessions) != 3 || list.Truncated {
		t.Errorf("SessionList(limit 3) = %+v, %v; want all three", list, err)
	}
}

func TestClientKeepsTheRefusal(t *testing.T) {
	want := &api.Error{Code: api.CodeAmbiguous, Message: `"web1" is the name of 2 endpoints`, Hint: "say acme/prod/web1"}
	c := api.NewClient(serve(t, &fake{err: want}))
	_, err := c.Hosts(t.Context())
	var got *api.Error
	if !errors.As(err, &got) || !cmp.Equal(got, want) {
		t.Errorf("Hosts = %#v; want %#v", err, want)
	}
}

func TestClientSaysUnreachable(t *testing.T) {
	dead := filepath.Join(shortDir(t), "dead")
	hangsUp, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer hangsUp.Close()
	go func() {
		for {
			c, err := hangsUp.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 1))
			c.Close()
		}
	}()
	for _, socket := range []string{dead, hangsUp.Addr().String()} {
		_, err := api.NewClient(socket).Status(t.Context())
		var unreachable *api.UnreachableError
		if !errors.As(err, &unreachable) || unreachable.Socket != socket {
			t.Errorf("Status over %s = %v; want it unreachable", socket, err)
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	tests := []struct {
		name, method, target string
		backendErr           error
		status               int
		body                 string
	}{
		{"another method", "POST", "/v1/status", nil, 405, "use GET"},
		{"another of two methods", "PUT", "/v1/join-tokens", nil, 405, "use GET, POST"},
		{"revoking by GET", "GET", "/v1/hosts/h1/revoke", nil, 405, "use POST"},
		{"no body", "POST", "/v1/join-tokens", nil, 400, "ttlSeconds"},
		{"an unknown path", "GET", "/v2/status", nil, 404, "nothing is served"},
		{"an unknown parameter", "GET", "/v1/sessions?vcp=acme", nil, 400, `unknown parameter \"vcp\"`},
		{"a parameter twice", "GET", "/v1/sessions?vpc=a&vpc=b", nil, 400, "stands there 2 times"},
		{"an unknown protocol", "GET", "/v1/sessions?proto=gre", nil, 400, "tcp, udp"},
		{"a port that is no number", "GET", "/v1/sessions?port=http", nil, 400, "no number"},
		{"a port out of range", "GET", "/v1/sessions?port=65536", nil, 400, "out of range"},
		{"a negative limit", "GET", "/v1/sessions?limit=-1", nil, 400, "out of range"},
		{"a boundless limit", "GET", "/v1/sessions?limit=100001", nil, 400, "out of range"},
		{"a trace from nowhere", "GET", "/v1/trace?to=b&proto=tcp&port=1", nil, 400, "from is missing"},
		{"a trace to port 0", "GET", "/v1/trace?from=a&to=b&proto=tcp&port=0", nil, 400, "1 to 65535"},
		{"a why without protocol", "GET", "/v1/why?from=a&to=b&port=80", nil, 400, "unknown protocol"},
		{"an endless name", "GET", "/v1/why?proto=tcp&port=80&to=b&from=" + strings.Repeat("a", 300), nil, 400, "too long"},
		{"what the backend refuses", "GET", "/v1/hosts", &api.Error{Code: api.CodeNotFound, Message: "no", Hint: "way out"}, 404, "way out"},
		{"a slow backend", "GET", "/v1/hosts", context.DeadlineExceeded, 504, "busy"},
		{"a failed backend, without its secrets", "GET", "/v1/hosts", errors.New("secret"), 500, "the controller failed to answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			api.NewHandler(&fake{err: tt.backendErr}, quiet()).ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s %s = %d %s; want %d with %q", tt.method, tt.target, w.Code, w.Body, tt.status, tt.body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q; want JSON", got)
			}
		})
	}
}

func TestHandlerOutlivesAPanic(t *testing.T) {
	h := api.NewHandler(&fake{during: func(context.Context) error { panic("boom") }}, quiet())
	for range 40 { // more often than there are slots: each is given back
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/status", nil))
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "boom") {
			t.Fatalf("status after a panic = %d %s; want 500 without the panic's text", w.Code, w.Body)
		}
	}
}

func TestHandlerBoundsRequestsUnderWay(t *testing.T) {
	const slots = 16
	entered, release := make(chan struct{}), make(chan struct{})
	h := api.NewHandler(&fake{during: func(context.Context) error {
		entered <- struct{}{}
		<-release
		return nil
	}}, quiet())
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/status", nil))
		return w.Code
	}
	codes := make(chan int)
	for range slots {
		go func() { codes <- ask() }()
		<-entered
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("request %d = %d; want 503", slots+1, got)
	}
	close(release)
	for range slots {
		if got := <-codes; got != http.StatusOK {
			t.Errorf("request within the bound = %d; want 200", got)
		}
	}
}

func TestHandlerGivesTheBackendADeadline(t *testing.T) {
	h := api.NewHandler(&fake{during: func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the backend has no deadline")
		}
		return nil
	}}, quiet())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/status", nil))
}

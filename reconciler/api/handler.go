package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// handler serves one Backend.
type handler struct {
	backend Backend
	log     *slog.Logger
	slots   chan struct{} // one taken per request under way
}

// NewHandler serves b. Failures of b are logged; refusals are not.
func NewHandler(b Backend, log *slog.Logger) http.Handler {
	h := &handler{backend: b, log: log, slots: make(chan struct{}, maxRequests)}
	mux := http.NewServeMux()
	get := func(f answerer) http.Handler { return h.answer(methods{http.MethodGet: f}) }
	mux.Handle("/v1/status", get(h.status))
	mux.Handle("/v1/hosts", get(h.hosts))
	mux.Handle("/v1/endpoints", get(h.endpoints))
	mux.Handle("/v1/revisions", get(h.revisions))
	mux.Handle("/v1/sessions", get(h.sessions))
	mux.Handle("/v1/sessions/{id}/kill", h.answer(methods{http.MethodPost: h.killSession}))
	mux.Handle("/v1/receipts", get(h.receipts))
	mux.Handle("/v1/receipts/{id}", get(h.receipts))
	mux.Handle("/v1/trace", get(h.trace))
	mux.Handle("/v1/why", get(h.why))
	if p, able := b.(Planner); able {
		mux.Handle("/v1/plan", h.answer(methods{http.MethodPost: planning(p)}))
	}
	mux.Handle("/v1/join-tokens", h.answer(methods{http.MethodGet: h.joinTokens, http.MethodPost: h.createJoinToken}))
	mux.Handle("/v1/join-tokens/{id}", h.answer(methods{http.MethodDelete: h.deleteJoinToken}))
	mux.Handle("/v1/hosts/{name}/revoke", h.answer(methods{http.MethodPost: h.revokeHost}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, r, &Error{Code: CodeNotFound, Message: fmt.Sprintf("nothing is served at %q", r.URL.Path),
			Hint: "the paths are /v1/{status,hosts,endpoints,revisions,sessions,receipts,trace,why,join-tokens}"})
	})
	return mux
}

// answerer computes an answer.
type answerer = func(context.Context, *http.Request) (any, error)

// methods are the answerers of a path, by HTTP method.
type methods map[string]answerer

// answer wraps what computes answers with everything that all have in common.
func (h *handler) answer(by methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := by[r.Method]
		if f == nil {
			allowed := strings.Join(slices.Sorted(maps.Keys(by)), ", ")
			w.Header().Set("Allow", allowed)
			h.refuse(w, r, &Error{Code: http.StatusMethodNotAllowed, Message: fmt.Sprintf("method %q is not served", r.Method), Hint: "use " + allowed})
			return
		}
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			h.refuse(w, r, &Error{Code: http.StatusServiceUnavailable, Message: "too many requests at once", Hint: "try again"})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		body, err := guarded(ctx, r, f)
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		h.write(w, http.StatusOK, body)
	})
}

// guarded calls f; a panic of it is an error of this request only.
func guarded(ctx context.Context, r *http.Request, f answerer) (body any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(ctx, r)
}

func (h *handler) status(ctx context.Context, _ *http.Request) (any, error) {
	return h.backend.Status(ctx)
}

func (h *handler) revisions(ctx context.Context, _ *http.Request) (any, error) {
	list, err := h.backend.Revisions(ctx)
	return RevisionList{Revisions: nonNil(list)}, err
}

func (h *handler) hosts(ctx context.Context, _ *http.Request) (any, error) {
	hosts, err := h.backend.Hosts(ctx)
	return HostList{Hosts: nonNil(hosts)}, err
}

func (h *handler) endpoints(ctx context.Context, _ *http.Request) (any, error) {
	endpoints, err := h.backend.Endpoints(ctx)
	for i := range endpoints {
		endpoints[i].Groups = nonNil(endpoints[i].Groups)
	}
	return EndpointList{Endpoints: nonNil(endpoints)}, err
}

func (h *handler) sessions(ctx context.Context, r *http.Request) (any, error) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	limit := f.Limit
	f.Limit++ // one more says that there are more
	sessions, err := h.backend.Sessions(ctx, f)
	if err != nil {
		return nil, err
	}
	truncated := len(sessions) > limit
	if truncated {
		sessions = sessions[:limit]
	}
	for i := range sessions {
		sessions[i].fill()
	}
	return SessionList{Sessions: nonNil(sessions), Truncated: truncated}, nil
}

func (h *handler) trace(ctx context.Context, r *http.Request) (any, error) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	t, err := h.backend.Trace(ctx, q)
	t.Session.fill()
	t.Legs, t.Hops = nonNil(t.Legs), nonNil(t.Hops)
	for i := range t.Hops {
		t.Hops[i].Flows = nonNil(t.Hops[i].Flows)
	}
	return t, err
}

func (h *handler) why(ctx context.Context, r *http.Request) (any, error) {
	q, err := parseQuery(r.URL.Query(), "revision")
	if err != nil {
		return nil, err
	}
	y, err := h.backend.Why(ctx, q)
	y.Lines = nonNil(y.Lines)
	if y.Session != nil {
		y.Session.fill()
	}
	return y, err
}

// fill makes s's lists print as lists.
func (s *Session) fill() {
	s.Hosts, s.WirePorts = nonNil(s.Hosts), nonNil(s.WirePorts)
}

// nonNil makes an empty list print as [] and not as null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// refuse writes err. Only an *Error tells its text: another one is ours to
// read, in the log.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, context.DeadlineExceeded):
		refusal = &Error{Code: http.StatusGatewayTimeout, Message: "the controller is too busy to answer", Hint: "try again"}
	default:
		h.log.LogAttrs(r.Context(), slog.LevelError, "api request failed", slog.String("path", r.URL.Path), slog.Any("err", err))
		refusal = &Error{Code: CodeInternal, Message: "the controller failed to answer", Hint: "its log says why"}
	}
	h.write(w, int(refusal.Code), refusal)
}

func (h *handler) write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		h.log.LogAttrs(context.Background(), slog.LevelError, "api answer not encoded", slog.Any("err", err))
		http.Error(w, `{"error":"the controller failed to answer"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever asked may be gone
}

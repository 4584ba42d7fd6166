package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// maxRequest bounds a request of the local API, in bytes.
const maxRequest = 1 << 20

// api is the local API: HTTP and JSON over a unix socket that only its owner may
// open.
type api struct {
	loop  *loop
	leave context.CancelCauseFunc
	left  chan leftAs
}

func newAPI(l *loop, leave context.CancelCauseFunc) *api {
	return &api{loop: l, leave: leave, left: make(chan leftAs, 1)}
}

// handler routes the requests.
func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/attach", answering(a.attach))
	mux.Handle("POST /v1/detach", answering(a.detach))
	mux.Handle("POST /v1/leave", answering(a.doLeave))
	mux.Handle("GET /v1/endpoints", answering(func(ctx context.Context, _ struct{}) (EndpointList, error) { return a.endpoints(ctx) }))
	mux.Handle("GET /v1/status", answering(func(ctx context.Context, _ struct{}) (Status, error) { return a.status(ctx) }))
	mux.Handle("GET /v1/base-flows", answering(func(context.Context, struct{}) (BaseFlows, error) {
		return BaseFlows{flowTexts(a.loop.keeper.wanted())}, nil
	}))
	return mux
}

// refusal is an error with the HTTP status that says what kind it is.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// answering makes a handler of a function from request to answer.
func answering[Q, A any](do func(context.Context, Q) (A, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if r.Method == http.MethodPost {
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
			d.DisallowUnknownFields()
			if err := d.Decode(&q); err != nil {
				reply(w, http.StatusBadRequest, Failure{fmt.Sprintf("request: %v", err)})
				return
			}
		}
		answer, err := do(r.Context(), q)
		if err != nil {
			reply(w, statusOf(err), Failure{err.Error()})
			return
		}
		reply(w, http.StatusOK, answer)
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // an asker who went away is not told
}

func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	var e *endpoint.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case endpoint.Conflict:
			return http.StatusConflict
		case endpoint.NotFound:
			return http.StatusNotFound
		case endpoint.Refused:
			return http.StatusForbidden
		case endpoint.Timeout:
			return http.StatusGatewayTimeout
		}
	}
	return http.StatusInternalServerError
}

func (a *api) attach(ctx context.Context, q AttachRequest) (Endpoint, error) {
	ref, err := endpoint.MakeRef(q.VPC, q.Name)
	if err != nil {
		return Endpoint{}, refuse(http.StatusBadRequest, "%v", err)
	}
	r := endpoint.Request{
		Ref: ref, Subnet: q.Subnet, Interface: q.Interface, IP: q.IP, MAC: q.MAC, Groups: q.Groups, Labels: q.Labels,
	}
	if r.Interface == "" {
		r.Interface = endpoint.DefaultInterface
	}
	if r.Namespace, err = nic.NamespacePath(q.Netns); err != nil {
		return Endpoint{}, refuse(http.StatusBadRequest, "%v", err)
	}
	if err := validate(&r); err != nil {
		return Endpoint{}, refuse(http.StatusBadRequest, "%v", err)
	}
	answer := make(chan endpoint.Answer, 1)
	return a.await(ctx, attachRequest{request: r, answer: answer}, answer)
}

func (a *api) detach(ctx context.Context, q DetachRequest) (Endpoint, error) {
	ref, err := a.resolve(ctx, q.VPC, q.Name)
	if err != nil {
		return Endpoint{}, err
	}
	answer := make(chan endpoint.Answer, 1)
	return a.await(ctx, detachRequest{ref, answer}, answer)
}

// resolve returns the endpoint that is meant: by its VPC and name, or by a name
// that only one has.
func (a *api) resolve(ctx context.Context, vpc, name string) (endpoint.Ref, error) {
	if vpc != "" {
		ref, err := endpoint.MakeRef(vpc, name)
		if err != nil {
			return ref, refuse(http.StatusBadRequest, "%v", err)
		}
		return ref, nil
	}
	v, err := a.look(ctx)
	if err != nil {
		return endpoint.Ref{}, err
	}
	var found []endpoint.Ref
	var vpcs []string
	for _, e := range v.endpoints {
		if e.Name == name {
			found, vpcs = append(found, e.Ref), append(vpcs, e.VPCID())
		}
	}
	switch len(found) {
	case 0:
		return endpoint.Ref{}, refuse(http.StatusNotFound, "there is no endpoint %q on this host", name)
	case 1:
		return found[0], nil
	}
	return endpoint.Ref{}, refuse(http.StatusConflict, "%q is in several VPCs (%s): say which by --vpc", name, strings.Join(vpcs, ", "))
}

// await hands the loop a request and returns its answer.
func (a *api) await(ctx context.Context, request any, answer <-chan endpoint.Answer) (Endpoint, error) {
	a.loop.post(ctx, request)
	select {
	case <-ctx.Done():
		return Endpoint{}, refuse(http.StatusServiceUnavailable, "daoli-hostd stops")
	case v := <-answer:
		return endpointView(v.Endpoint), v.Err
	}
}

func (a *api) endpoints(ctx context.Context) (EndpointList, error) {
	v, err := a.look(ctx)
	list := EndpointList{Endpoints: make([]Endpoint, 0, len(v.endpoints))}
	for _, e := range v.endpoints {
		list.Endpoints = append(list.Endpoints, endpointView(e))
	}
	return list, err
}

func (a *api) status(ctx context.Context) (Status, error) {
	v, err := a.look(ctx)
	if err != nil {
		return Status{}, err
	}
	sw, link := a.loop.plug.bridge.State(), v.host.Link
	var inDocker *DockerStatus
	if d := a.loop.docker; d != nil {
		s := DockerStatus(d.State())
		inDocker = &s
	}
	return Status{
		CertificateEnds: a.loop.cfg.Identity.NotAfter(), RenewAt: a.loop.cfg.Identity.RenewAt(), Docker: inDocker,
		Host: v.host.Name, DPID: fmt.Sprintf("%016x", v.host.DPID), Bridge: a.loop.cfg.Bridge, Datapath: a.loop.cfg.Datapath,
		Uplink: UplinkStatus{
			Device: v.device, OwnAddress: v.own, Addr: link.Addr, MAC: link.MAC, MTU: link.MTU, NextHop: link.NextHop, NextHopMAC: link.NextHopMAC,
		},
		Switch: sw.Up, OpenFlow: sw.Controllers, Controller: v.controller, Ready: v.ready,
		WirePorts: fmt.Sprintf("%d-%d", v.wire.Value, int(v.wire.Value)+v.wire.Size()-1),
		Listeners: len(v.host.Listeners), Endpoints: len(v.endpoints), Names: a.loop.resolver.server.Stats(), Servers: a.loop.cfg.Controllers,
	}, nil
}

// flowTexts returns the base flows as ovs-ofctl writes them.
func flowTexts(c pipeline.HostConfig) []string {
	_, flows := pipeline.Base(c)
	out := make([]string, 0, len(flows))
	for i := range flows {
		out = append(out, flows[i].String())
	}
	return out
}

// look returns what the loop shows.
func (a *api) look(ctx context.Context) (view, error) {
	answer := make(chan view, 1)
	a.loop.post(ctx, viewRequest{answer})
	select {
	case <-ctx.Done():
		return view{}, refuse(http.StatusServiceUnavailable, "daoli-hostd stops")
	case v := <-answer:
		return v, nil
	}
}

// doLeave detaches everything, if it may, ends the agent, and answers when the
// uplink has its address back.
func (a *api) doLeave(ctx context.Context, q LeaveRequest) (LeaveAnswer, error) {
	v, err := a.look(ctx)
	if err != nil {
		return LeaveAnswer{}, err
	}
	if len(v.endpoints) > 0 && !q.Force {
		return LeaveAnswer{}, refuse(http.StatusConflict, "%v", attached(len(v.endpoints)))
	}
	for _, e := range v.endpoints {
		if _, err := a.detach(ctx, DetachRequest{VPC: e.VPCID(), Name: e.Name}); err != nil {
			return LeaveAnswer{}, err
		}
	}
	var inDocker string
	if a.loop.docker != nil {
		inDocker = text(a.loop.docker.Withdraw(ctx, docker.Withdrawal{Disconnect: q.Force}))
	}
	a.loop.cfg.Logger.Info("leave requested", slog.Int("detached", len(v.endpoints)))
	a.leave(errLeft)
	if !errors.Is(context.Cause(ctx), errLeft) { // something else has ended the parts before
		return LeaveAnswer{}, refuse(http.StatusServiceUnavailable, "daoli-hostd stops or joins again: repeat it in a moment")
	}
	left := <-a.left
	left.answer.Docker = inDocker
	return left.answer, left.err
}

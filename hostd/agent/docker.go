package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// newDocker returns the host's Docker, or nil where it is left alone.
func newDocker(cfg Config, l *loop) (*docker.Docker, error) {
	if cfg.Docker == "" || cfg.Docker == docker.None {
		return nil, nil
	}
	networks, err := l.plug.store.dockerNetworks()
	if err != nil {
		return nil, err
	}
	return docker.New(docker.Config{
		Socket: cfg.Docker, PluginSocket: cfg.PluginSocket, Host: (*dockerHost)(l), Networks: networks,
		Save: l.plug.store.saveDockerNetworks, Logger: cfg.Logger,
	})
}

// serveDocker serves Docker until ctx ends. Without it, containers wait in vain and
// everything else goes on.
func (l *loop) serveDocker(ctx context.Context) {
	for {
		err := l.docker.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		l.cfg.Logger.Error("docker is not served", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(dockerAgain):
		}
	}
}

// dockerAgain is how long after Docker could not be served it is tried again.
const dockerAgain = 2 * time.Second

// dockerHost does to the host what Docker asks, through the loop.
type dockerHost loop

// What Docker asks of the loop, beside what the API does.
type (
	holdRequest struct {
		hold   endpoint.Hold
		answer chan<- endpoint.Answer // capacity 1
	}
	unholdRequest   struct{ unhold endpoint.Unhold }
	identifyRequest struct {
		identify endpoint.Identify
		answer   chan<- endpoint.Answer // capacity 1
	}
)

// Hold gets an address.
func (h *dockerHost) Hold(ctx context.Context, q docker.HoldRequest) (docker.Held, error) {
	answer := make(chan endpoint.Answer, 1)
	hold := endpoint.Hold{Ref: q.Ref, Subnet: q.Subnet, IP: q.IP, Deadline: deadlineOf(ctx)}
	e, err := h.await(ctx, holdRequest{hold, answer}, answer)
	return docker.Held{Ref: q.Ref, IP: e.IP, MAC: e.MAC}, err
}

// Unhold gives it back.
func (h *dockerHost) Unhold(ctx context.Context, held docker.Held) {
	(*loop)(h).post(ctx, unholdRequest{endpoint.Unhold{Ref: held.Ref, IP: held.IP}})
}

// Attach makes an endpoint.
func (h *dockerHost) Attach(ctx context.Context, r endpoint.Request) (endpoint.Endpoint, error) {
	if err := validate(&r); err != nil {
		return endpoint.Endpoint{}, err
	}
	answer := make(chan endpoint.Answer, 1)
	return h.await(ctx, attachRequest{request: r, deadline: deadlineOf(ctx), answer: answer}, answer)
}

// Identify gives an endpoint another name.
func (h *dockerHost) Identify(ctx context.Context, ref endpoint.Ref, to endpoint.Request) (endpoint.Endpoint, error) {
	named := endpoint.Request{Ref: to.Ref, Subnet: to.Subnet, Interface: to.Interface, Groups: to.Groups, Labels: to.Labels, Docker: to.Docker}
	if err := validate(&named); err != nil {
		return endpoint.Endpoint{}, err
	}
	answer := make(chan endpoint.Answer, 1)
	return h.await(ctx, identifyRequest{endpoint.Identify{Ref: ref, To: to}, answer}, answer)
}

// Detach ends an endpoint.
func (h *dockerHost) Detach(ctx context.Context, ref endpoint.Ref) error {
	answer := make(chan endpoint.Answer, 1)
	_, err := h.await(ctx, detachRequest{ref, answer}, answer)
	var known *endpoint.Error
	if errors.As(err, &known) && known.Kind == endpoint.NotFound {
		return nil
	}
	return err
}

// Endpoints are those of the loop.
func (h *dockerHost) Endpoints(ctx context.Context) ([]endpoint.Endpoint, error) {
	answer := make(chan view, 1)
	(*loop)(h).post(ctx, viewRequest{answer})
	select {
	case <-ctx.Done():
		return nil, errNoTime
	case v := <-answer:
		return v.endpoints, nil
	}
}

// await hands the loop a request and returns its answer. The loop answers by the
// deadline; ctx ends a little later, or when hostd does.
func (h *dockerHost) await(ctx context.Context, request any, answer <-chan endpoint.Answer) (endpoint.Endpoint, error) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Until(deadlineOf(ctx))+answerSlack)
	defer cancel()
	(*loop)(h).post(late, request)
	select {
	case <-h.ended:
		return endpoint.Endpoint{}, errors.New("daoli-hostd stops")
	case <-late.Done():
		return endpoint.Endpoint{}, errNoTime
	case v := <-answer:
		return v.Endpoint, v.Err
	}
}

// answerSlack is how much longer than its deadline the loop is waited for: it says
// why there was no answer.
const answerSlack = time.Second

var errNoTime = errors.New("daoli-hostd did not answer in time")

// deadlineOf returns by when ctx wants an answer.
func deadlineOf(ctx context.Context) time.Time {
	if d, ok := ctx.Deadline(); ok {
		return d
	}
	return time.Now().Add(DefaultAttachTimeout)
}

// networks takes the list of what the host may have.
func (l *loop) networks(ev uplink.Networks) {
	ns, err := uplink.ParseNetworks(ev.List)
	if err != nil {
		l.cfg.Logger.Error("controller's networks are not valid", slog.Any("err", err))
		return
	}
	if l.docker != nil {
		l.docker.SetNetworks(ns)
	}
}

// dockerNetwork is a network of Docker's as it is kept: its subnet.
type dockerNetwork struct {
	Tenant string       `json:"tenant"`
	VPC    string       `json:"vpc"` // bare name within Tenant
	Subnet string       `json:"subnet"`
	CIDR   netip.Prefix `json:"cidr"`
}

func (s *store) dockerFile() string { return filepath.Join(s.dir, "docker.json") }

// dockerNetworks returns the saved networks of Docker's, by its ID.
func (s *store) dockerNetworks() (map[string]uplink.Network, error) {
	var kept map[string]dockerNetwork
	if err := readIfThere(s.dockerFile(), &kept); err != nil {
		return nil, err
	}
	out := make(map[string]uplink.Network, len(kept))
	for id, n := range kept {
		out[id] = uplink.Network(n)
	}
	return out, nil
}

func (s *store) saveDockerNetworks(ns map[string]uplink.Network) error {
	kept := make(map[string]dockerNetwork, len(ns))
	for id, n := range ns {
		kept[id] = dockerNetwork(n)
	}
	return write(s.dockerFile(), kept)
}

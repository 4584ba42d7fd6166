package docker

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// fakeHost answers as it is told, and writes down what it was asked.
type fakeHost struct {
	asked  []string
	taken  map[string]string // names that are refused: "lease" or "report"
	up     []endpoint.Endpoint
	detach error
	busy   int // so many holds are refused
}

func (h *fakeHost) Hold(_ context.Context, q HoldRequest) (Held, error) {
	ip := q.IP
	if !ip.IsValid() {
		ip = netip.MustParseAddr("10.1.0.2")
	}
	h.asked = append(h.asked, "hold "+q.Subnet)
	if h.busy > 0 {
		h.busy--
		return Held{}, &endpoint.Error{Kind: endpoint.Refused, Text: "address is held"}
	}
	return Held{Ref: q.Ref, IP: ip, MAC: endpoint.MAC{2, 0, 0, 0, 0, 2}}, nil
}

func (h *fakeHost) Unhold(_ context.Context, held Held) {
	h.asked = append(h.asked, "unhold "+held.IP.String())
}

func (h *fakeHost) Attach(_ context.Context, r endpoint.Request) (endpoint.Endpoint, error) {
	h.asked = append(h.asked, "attach "+r.Name+" held "+r.Held)
	e := endpoint.Endpoint{Request: r, Port: 16, State: endpoint.Up}
	switch h.taken[r.Name] {
	case "lease":
		return e, &endpoint.Error{Kind: endpoint.Refused, Text: "name is taken"}
	case "report":
		e.Held = ""
		return e, &endpoint.Error{Kind: endpoint.Refused, Text: "name is taken by now"}
	case "time":
		return e, &endpoint.Error{Kind: endpoint.Timeout, Text: "no controller is connected"}
	}
	return e, nil
}

func (h *fakeHost) Identify(context.Context, endpoint.Ref, endpoint.Request) (endpoint.Endpoint, error) {
	return endpoint.Endpoint{}, errors.New("not in these tests")
}

func (h *fakeHost) Adopt(context.Context, endpoint.Request, []string, string) (endpoint.Endpoint, error) {
	return endpoint.Endpoint{}, errors.New("not in these tests")
}

func (h *fakeHost) Route(context.Context, string, endpoint.MAC, netip.Addr, []netip.Prefix) error {
	return errors.New("not in these tests")
}

func (h *fakeHost) Detach(_ context.Context, r endpoint.Ref) error {
	h.asked = append(h.asked, "detach "+r.Name)
	return h.detach
}

func (h *fakeHost) Endpoints(context.Context) ([]endpoint.Endpoint, error) { return h.up, nil }

func newDriver(h Host) *Driver {
	return &Driver{
		host: h, api: &daemon{}, log: slog.New(slog.DiscardHandler),
		book: newBook(map[string]uplink.Network{"n1": web}, func(map[string]uplink.Network) error { return nil }),
	}
}

func TestContainerGetsTheBestNameThatIsFree(t *testing.T) {
	c := container{id: "0123456789abcdef", name: "web1"}
	tests := []struct {
		name  string
		taken map[string]string
		want  []string
		err   string
	}{
		{"its own", nil, []string{"attach web1 held hold-1"}, ""},
		{"another has it", map[string]string{"web1": "lease"}, []string{"attach web1 held hold-1", "attach web1-0123456789ab held hold-1"}, ""},
		{"another was faster: the address is the first name's by then", map[string]string{"web1": "report"},
			[]string{"attach web1 held hold-1", "attach web1-0123456789ab held web1"}, ""},
		{"both are refused", map[string]string{"web1": "lease", "web1-0123456789ab": "lease"},
			[]string{"attach web1 held hold-1", "attach web1-0123456789ab held hold-1"}, "name is taken"},
		{"another name helps nothing", map[string]string{"web1": "time"}, []string{"attach web1 held hold-1"}, "no controller"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &fakeHost{taken: tt.taken}
			r := endpoint.Request{Ref: endpoint.Ref{Tenant: "acme", VPC: "prod"}, Held: "hold-1", Docker: &endpoint.Docker{}}
			_, err := newDriver(h).attach(t.Context(), r, c)
			if !slices.Equal(h.asked, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("attach: %v, %v; want %v, %q", h.asked, err, tt.want, tt.err)
			}
		})
	}
}

// TestAddressIsHeldAndGivenBackOnce: what an endpoint took over is no longer the
// hold's, and Docker gives back what it likes, how often it likes.
func TestAddressIsHeldAndGivenBackOnce(t *testing.T) {
	h := &fakeHost{}
	d := newDriver(h)
	pool := poolID(web, "x")
	a, err := d.RequestAddress(t.Context(), plugin.AddressRequest{PoolID: pool})
	if err != nil || a.Address != "10.1.0.2/32" {
		t.Fatalf("RequestAddress = %+v, %v", a, err)
	}
	e, err := d.CreateEndpoint(t.Context(), plugin.CreateEndpointRequest{
		NetworkID: "n1", EndpointID: "e1", Interface: &plugin.Interface{Address: a.Address}, Options: map[string]any{plugin.PortMap: []any{}},
	})
	if err != nil || e.Interface == nil || e.Interface.MacAddress != "02:00:00:00:00:02" {
		t.Errorf("CreateEndpoint = %+v, %v; want the MAC that came with the address", e, err)
	}
	for range 2 {
		if err := d.ReleaseAddress(t.Context(), plugin.ReleaseAddressRequest{PoolID: pool, Address: "10.1.0.2"}); err != nil {
			t.Error(err)
		}
	}
	for _, q := range []plugin.ReleaseAddressRequest{{}, {PoolID: "x", Address: "y"}, {PoolID: pool, Address: "z"}, {PoolID: pool, Address: "10.1.0.9"}} {
		if err := d.ReleaseAddress(t.Context(), q); err != nil {
			t.Errorf("ReleaseAddress(%+v) = %v; it must not fail", q, err)
		}
	}
	if want := []string{"hold web", "unhold 10.1.0.2"}; !slices.Equal(h.asked, want) {
		t.Errorf("the host was asked %v; want %v", h.asked, want)
	}
	gw, err := d.RequestAddress(t.Context(), plugin.AddressRequest{PoolID: pool, Options: map[string]string{plugin.AddressType: plugin.GatewayAddress}})
	if err != nil || gw.Address != "10.1.0.1/24" {
		t.Errorf("gateway = %+v, %v", gw, err)
	}
}

// TestChosenAddressMayStillBeOnItsWayBack from the host that its container moved
// away from. Any other is refused at once, as is one that somebody keeps, in time.
func TestChosenAddressMayStillBeOnItsWayBack(t *testing.T) {
	for _, c := range []struct {
		name, ip string
		busy     int
		given    bool
	}{
		{"on its way back", "10.1.0.7", 2, true},
		{"kept", "10.1.0.7", 1000, false},
		{"any", "", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDriver(&fakeHost{busy: c.busy})
				began := time.Now()
				_, err := d.RequestAddress(t.Context(), plugin.AddressRequest{PoolID: poolID(web, "x"), Address: c.ip})
				if took := time.Since(began); (err == nil) != c.given || took > moveWait+moveAgain {
					t.Errorf("answered with %v after %s; want an address: %t", err, took, c.given)
				}
			})
		})
	}
}

func TestLeaveNeverFails(t *testing.T) {
	mine := endpoint.Endpoint{Request: endpoint.Request{Ref: endpoint.Ref{Name: "mine"}, Docker: &endpoint.Docker{Endpoint: "e1"}}}
	other := endpoint.Endpoint{Request: endpoint.Request{Ref: endpoint.Ref{Name: "other"}}}
	h := &fakeHost{up: []endpoint.Endpoint{mine, other}, detach: errors.New("busy")}
	d := newDriver(h)
	if err := d.Leave(t.Context(), plugin.EndpointRequest{EndpointID: "e1"}); err != nil {
		t.Error(err)
	}
	if err := d.DeleteEndpoint(t.Context(), plugin.EndpointRequest{EndpointID: "e2"}); err != nil {
		t.Error(err)
	}
	if want := []string{"detach mine"}; !slices.Equal(h.asked, want) {
		t.Errorf("the host was asked %v; want %v", h.asked, want)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	d := newDriver(&fakeHost{})
	d.known, d.told = []uplink.Network{web}, true
	options := func(vpc, subnet string) map[string]any {
		return map[string]any{plugin.GenericOptions: map[string]any{VPCOption: vpc, SubnetOption: subnet}}
	}
	network := func(vpc, subnet, pool, space string) error {
		return d.CreateNetwork(t.Context(), plugin.CreateNetworkRequest{
			NetworkID: "n2", Options: options(vpc, subnet), IPv4Data: []plugin.IPAMData{{AddressSpace: space, Pool: pool}},
		})
	}
	port := func(q plugin.CreateEndpointRequest) error {
		_, err := d.CreateEndpoint(t.Context(), q)
		return err
	}
	pool := func(q plugin.PoolRequest) error {
		_, err := d.RequestPool(t.Context(), q)
		return err
	}
	both := map[string]string{VPCOption: "acme/prod", SubnetOption: "web"}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a network", network("acme/prod", "web", "10.1.0.0/24", plugin.LocalSpace), ""},
		{"a network without options", network("", "", "10.1.0.0/24", plugin.LocalSpace), "are required"},
		{"another subnet", network("acme/prod", "db", "10.1.1.0/24", plugin.LocalSpace), "has no subnet db"},
		{"another range", network("acme/prod", "web", "10.1.0.0/16", plugin.LocalSpace), "is 10.1.0.0/24"},
		{"Docker's own addresses", network("acme/prod", "web", "10.1.0.0/24", "LocalDefault"), "--ipam-driver daoli"},
		{"a pool", pool(plugin.PoolRequest{Pool: "10.1.0.0/24", Options: both}), ""},
		{"a pool without range", pool(plugin.PoolRequest{Options: both}), "give --subnet"},
		{"a part of a pool", pool(plugin.PoolRequest{Pool: "10.1.0.0/24", SubPool: "10.1.0.0/28", Options: both}), "--ip-range"},
		{"an IPv6 pool", pool(plugin.PoolRequest{V6: true, Options: both}), "IPv6"},
		{"published ports", port(plugin.CreateEndpointRequest{
			NetworkID: "n1", Interface: &plugin.Interface{Address: "10.1.0.2/32"}, Options: map[string]any{plugin.PortMap: []any{map[string]any{"Port": 80}}},
		}), "Ingress"},
		{"no address", port(plugin.CreateEndpointRequest{NetworkID: "n1"}), "--ipam-driver daoli"},
		{"a group's MAC", port(plugin.CreateEndpointRequest{NetworkID: "n1", Interface: &plugin.Interface{Address: "10.1.0.2/32", MacAddress: "01:00:00:00:00:01"}}), "not an interface's"},
	}
	for _, tt := range tests {
		if (tt.err == nil) != (tt.want == "") || tt.err != nil && !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, tt.err, tt.want)
		}
	}
}

// FuzzDriverAnswersWhateverDockerSays: no request makes it panic.
func FuzzDriverAnswersWhateverDockerSays(f *testing.F) {
	f.Add("n1", "e1", "10.1.0.2/32", "02:00:00:00:00:02", "acme/prod/web/10.1.0.0/24/x", "10.1.0.0/24", "acme/prod", "web")
	f.Add("", "", "", "", "", "", "", "")
	f.Add("n1", "e1", "::1/128", "x", "a/b/c/::/0/d", "0.0.0.0/0", "a/b/c", "-")
	f.Fuzz(func(t *testing.T, network, id, address, mac, pool, cidr, vpc, subnet string) {
		d, ctx := newDriver(&fakeHost{}), t.Context()
		d.book.networks[network] = web // else it asks a dockerd
		options := map[string]string{VPCOption: vpc, SubnetOption: subnet}
		_, _ = d.RequestPool(ctx, plugin.PoolRequest{Pool: cidr, Options: options})
		_ = d.CreateNetwork(ctx, plugin.CreateNetworkRequest{
			NetworkID: network, Options: map[string]any{plugin.GenericOptions: map[string]any{VPCOption: vpc, SubnetOption: subnet}},
			IPv4Data: []plugin.IPAMData{{Pool: cidr}},
		})
		d.book.networks[network] = web
		if a, err := d.RequestAddress(ctx, plugin.AddressRequest{PoolID: pool, Address: address}); err == nil {
			if _, err := netip.ParsePrefix(a.Address); err != nil {
				t.Errorf("RequestAddress(%q, %q) = %q", pool, address, a.Address)
			}
		}
		_, _ = d.CreateEndpoint(ctx, plugin.CreateEndpointRequest{NetworkID: network, EndpointID: id, Interface: &plugin.Interface{Address: address, MacAddress: mac}})
		if err := errors.Join(
			d.Leave(ctx, plugin.EndpointRequest{NetworkID: network, EndpointID: id}),
			d.DeleteEndpoint(ctx, plugin.EndpointRequest{NetworkID: network, EndpointID: id}),
			d.ReleaseAddress(ctx, plugin.ReleaseAddressRequest{PoolID: pool, Address: address}),
		); err != nil {
			t.Errorf("what ends fails: %v", err)
		}
	})
}

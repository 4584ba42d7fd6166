package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Bounds of what Docker waits for.
const (
	addressWait = 4 * time.Second        // RequestAddress: for a controller, and its answer
	joinWait    = 4 * time.Second        // Join: for Docker, the devices, and the flows
	leaveWait   = 5 * time.Second        // Leave: it goes on afterwards
	lookWait    = time.Second            // one question to Docker inside a call of its own
	startWait   = 30 * time.Second       // RequestAddress while dockerd starts: nobody would try again
	moveWait    = time.Second            // RequestAddress for an address that somebody has
	moveAgain   = 50 * time.Millisecond  // and how often it is asked for
	knowWait    = 500 * time.Millisecond // Join: for a dockerd that starts, and answers only when we have
	keepPending = 2 * time.Minute        // what a Docker that died never asked for again
)

// Host is what does to the host what Docker asks. Errors are told to Docker's
// user.
type Host interface {
	// Hold gets an address of a subnet, under a name made up for it.
	Hold(ctx context.Context, q HoldRequest) (Held, error)
	// Unhold gives it back, unless an endpoint took it over.
	Unhold(ctx context.Context, h Held)
	// Attach makes an endpoint, and returns when its flows are in the switch.
	Attach(ctx context.Context, r endpoint.Request) (endpoint.Endpoint, error)
	// Identify gives an endpoint another name. An error leaves it as it was.
	Identify(ctx context.Context, ref endpoint.Ref, to endpoint.Request) (endpoint.Endpoint, error)
	// Detach ends it. That there is none is no error.
	Detach(ctx context.Context, ref endpoint.Ref) error
	// Adopt takes in the endpoint of an interface that stands in a network namespace,
	// under the one of the names that it had, or the first.
	Adopt(ctx context.Context, r endpoint.Request, names []string, netns string) (endpoint.Endpoint, error)
	// Route has the interface with a MAC in a network namespace lead to subnets
	// through a next hop.
	Route(ctx context.Context, netns string, mac endpoint.MAC, hop netip.Addr, to []netip.Prefix) error
	// Endpoints are those that there are now, in whatever state.
	Endpoints(ctx context.Context) ([]endpoint.Endpoint, error)
}

// HoldRequest asks for an address of a subnet.
type HoldRequest struct {
	Ref    endpoint.Ref // its Name is made up
	Subnet string
	IP     netip.Addr // invalid: any
}

// Held is an address that waits for its endpoint.
type Held struct {
	Ref endpoint.Ref
	IP  netip.Addr
	MAC endpoint.MAC
}

// Driver answers Docker's plugin calls.
type Driver struct {
	host Host
	api  *daemon
	book *book
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	known []uplink.Network
	told  bool // known is what a controller said

	withdrawn bool // the host leaves: there are no networks any more
}

var _ plugin.Driver = (*Driver)(nil)

// CreateNetwork takes note of a network.
func (d *Driver) CreateNetwork(_ context.Context, q plugin.CreateNetworkRequest) error {
	n, err := subnetOf(generic(q.Options[plugin.GenericOptions]))
	if err != nil {
		return err
	}
	if len(q.IPv6Data) > 0 {
		return errors.New("IPv6 is not supported: leave --ipv6 out")
	}
	if len(q.IPv4Data) != 1 {
		return fmt.Errorf("a network has one subnet, not %d", len(q.IPv4Data))
	}
	if n.CIDR, err = netip.ParsePrefix(q.IPv4Data[0].Pool); err != nil {
		return fmt.Errorf("subnet: %w", err)
	}
	if q.IPv4Data[0].AddressSpace != "" && q.IPv4Data[0].AddressSpace != plugin.LocalSpace && q.IPv4Data[0].AddressSpace != plugin.GlobalSpace {
		return fmt.Errorf("addresses of %s are the controllers': add --ipam-driver daoli (%s)", n.VPCID(), hint)
	}
	if err := d.allowed(n); err != nil {
		return err
	}
	return d.book.addNetwork(q.NetworkID, n)
}

// DeleteNetwork forgets a network.
func (d *Driver) DeleteNetwork(_ context.Context, q plugin.DeleteNetworkRequest) error {
	d.book.dropNetwork(q.NetworkID)
	return nil
}

// allowed reports why there may be no such network on this host, as far as is
// known.
func (d *Driver) allowed(n uplink.Network) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.told {
		return nil
	}
	for _, k := range d.known {
		if k.VPCID() == n.VPCID() && k.Subnet == n.Subnet {
			if k.CIDR != n.CIDR {
				return fmt.Errorf("subnet %s of vpc %s is %s, not %s", n.Subnet, n.VPCID(), k.CIDR, n.CIDR)
			}
			return nil
		}
	}
	return fmt.Errorf("vpc %s has no subnet %s, or this host may not have endpoints there", n.VPCID(), n.Subnet)
}

// networks returns the subnets that the host may have endpoints in.
func (d *Driver) networks() []uplink.Network {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.known)
}

// RequestPool names the pool of a network that is being made.
func (d *Driver) RequestPool(_ context.Context, q plugin.PoolRequest) (plugin.Pool, error) {
	if q.V6 {
		return plugin.Pool{}, errors.New("IPv6 is not supported: leave --ipv6 out")
	}
	n, err := subnetOf(q.Options)
	if err != nil {
		return plugin.Pool{}, err
	}
	if q.SubPool != "" {
		return plugin.Pool{}, errors.New("which addresses containers get is the controllers' matter: leave --ip-range out")
	}
	if n.CIDR, err = netip.ParsePrefix(q.Pool); err != nil || !n.CIDR.Addr().Is4() || n.CIDR != n.CIDR.Masked() {
		return plugin.Pool{}, fmt.Errorf("subnet %q is no IPv4 CIDR: give --subnet as the VPC's file has it", q.Pool)
	}
	if err := d.allowed(n); err != nil {
		return plugin.Pool{}, err
	}
	return plugin.Pool{PoolID: poolID(n, nonce()), Pool: n.CIDR.String(), Data: map[string]string{}}, nil
}

// ReleasePool has nothing to do: a pool is nothing but its name.
func (d *Driver) ReleasePool(context.Context, plugin.ReleasePoolRequest) error { return nil }

// RequestAddress gets an address for a container that is not known yet.
func (d *Driver) RequestAddress(ctx context.Context, q plugin.AddressRequest) (plugin.Address, error) {
	n, err := parsePool(q.PoolID)
	if err != nil {
		return plugin.Address{}, err
	}
	ip, err := parseAddress(q.Address)
	if err != nil {
		return plugin.Address{}, err
	}
	if q.Options[plugin.AddressType] == plugin.GatewayAddress {
		gw := gatewayOf(n.CIDR)
		if ip.IsValid() && n.CIDR.Contains(ip) {
			gw = netip.PrefixFrom(ip, n.CIDR.Bits())
		}
		return plugin.Address{Address: gw.String(), Data: map[string]string{}}, nil
	}
	h, err := d.hold(ctx, n, ip)
	if err != nil {
		return plugin.Address{}, err
	}
	d.book.addHold(h, time.Now())
	return plugin.Address{Address: netip.PrefixFrom(h.IP, 32).String(), Data: map[string]string{}}, nil
}

// hold gets an address. A dockerd that starts has its containers wait for a
// controller that starts with them. One that a container had on another host until
// just now may still be on its way back from there: Docker there is not kept
// waiting for that.
func (d *Driver) hold(ctx context.Context, n uplink.Network, ip netip.Addr) (Held, error) {
	began := time.Now()
	for {
		once, cancel := context.WithTimeout(ctx, addressWait)
		h, err := d.host.Hold(once, HoldRequest{
			Ref: endpoint.Ref{Tenant: n.Tenant, VPC: n.VPC, Name: holdName()}, Subnet: n.Subnet, IP: ip,
		})
		cancel()
		var known *endpoint.Error
		var again time.Duration
		switch took := time.Since(began); {
		case !errors.As(err, &known):
			return h, err
		case known.Kind == endpoint.Timeout && !d.api.up.isOpen() && took < startWait: // it took its time already
		case known.Kind == endpoint.Refused && ip.IsValid() && took < moveWait:
			again = moveAgain
		default:
			return h, err
		}
		select {
		case <-ctx.Done():
			return h, err
		case <-time.After(again):
		}
	}
}

// ReleaseAddress gives an address back that no endpoint took over. One that did
// has given it back, or does so by itself.
func (d *Driver) ReleaseAddress(ctx context.Context, q plugin.ReleaseAddressRequest) error {
	n, err := parsePool(q.PoolID)
	if err != nil {
		return nil
	}
	if ip, err := parseAddress(q.Address); err == nil {
		if h, found := d.book.takeHold(n.VPCID(), ip); found {
			d.host.Unhold(ctx, h)
		}
	}
	return nil
}

// CreateEndpoint takes note of an interface, and says its MAC if nobody chose one.
func (d *Driver) CreateEndpoint(ctx context.Context, q plugin.CreateEndpointRequest) (plugin.CreateEndpointAnswer, error) {
	none := plugin.CreateEndpointAnswer{}
	n, err := d.network(ctx, q.NetworkID)
	if err != nil {
		return none, err
	}
	if published(q.Options) {
		return none, errors.New("ports are not published by Docker in a VPC (-p, ports:): leave that out, and let an Ingress of the tenant's files lead to the container")
	}
	if q.Interface == nil || q.Interface.Address == "" {
		return none, errors.New("the network has no address for the container: was it made without --ipam-driver daoli?")
	}
	p := pending{since: time.Now()}
	if p.ip, err = parseAddress(q.Interface.Address); err != nil {
		return none, err
	}
	p.held = d.book.hold(n.VPCID(), p.ip)
	if q.Interface.MacAddress != "" {
		if p.mac, err = endpoint.ParseMAC(q.Interface.MacAddress); err != nil {
			return none, err
		}
		d.book.addPending(q.EndpointID, p)
		return none, nil
	}
	p.mac = p.held.MAC
	d.book.addPending(q.EndpointID, p)
	if p.mac.IsZero() {
		return none, nil
	}
	return plugin.CreateEndpointAnswer{Interface: &plugin.Interface{MacAddress: p.mac.String()}}, nil
}

// published reports whether the user asked for ports.
func published(options map[string]any) bool {
	ports, _ := options[plugin.PortMap].([]any)
	return len(ports) > 0
}

// Leave ends an endpoint. It never fails: Docker would keep what it has.
func (d *Driver) Leave(ctx context.Context, q plugin.EndpointRequest) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	all, err := d.host.Endpoints(ctx)
	for _, e := range all {
		if e.Docker != nil && e.Docker.Endpoint == q.EndpointID {
			err = errors.Join(err, d.host.Detach(ctx, e.Ref))
		}
	}
	if err != nil {
		d.log.Warn("endpoint was not detached yet", slog.String("endpoint", q.EndpointID), slog.Any("err", err))
	}
	return nil
}

// DeleteEndpoint forgets an interface, and ends its endpoint where Leave was
// missed.
func (d *Driver) DeleteEndpoint(ctx context.Context, q plugin.EndpointRequest) error {
	d.book.takePending(q.EndpointID)
	return d.Leave(ctx, q)
}

func holdName() string { return "hold-" + nonce() }

func nonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

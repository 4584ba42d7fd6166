package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/netns"
)

// Endpoints of each testbed of a pair. A port lifts 1,000 packets a second at
// most, so a whole switch's worth needs many.
const (
	manyClients = 16 // on h1
	manyServers = 4  // on h1, and as many on h2
)

// pair are two testbeds that are the same but for their controller: the null
// controller listens where the real one did, after that has put the endpoints'
// flows in. So both measure the same switches with the same tables.
type pair struct {
	real, null *bed
	process    *child // the null controller
}

// bed is one testbed of two hosts.
type bed struct {
	*netns.Testbed
	clients       []*netns.Endpoint      // on h1
	local, remote []*netns.Endpoint      // servers on h1 and h2 that no stack answers for
	dialler       *netns.Endpoint        // on h1, for TCP
	near, far     *netns.Endpoint        // TCP servers on h1 and h2
	ports         uint16                 // first port that no session had yet
	reports       []inventory.HostReport // h1, h2, without the flooder
	flooder       *flooder
}

// newPair brings both up.
func newPair(ctx context.Context, e *Env) (p *pair, err error) {
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	p = new(pair)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, to := range []**bed{&p.real, &p.null} {
		if *to, err = newBed(ctx, binaries); err != nil {
			return p, err
		}
	}
	return p, p.replace(ctx, e.Self)
}

func (p *pair) close() error {
	var errs []error
	if p.process != nil {
		p.process.stop()
	}
	for _, b := range []*bed{p.real, p.null} {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	return errors.Join(errs...)
}

func newBed(ctx context.Context, binaries string) (*bed, error) {
	tb, err := netns.Up(ctx, netns.Options{Hosts: 2, SpecsFS: oneTenant(), Binaries: binaries, Prefix: "bn"})
	if err != nil {
		return nil, err
	}
	b := &bed{Testbed: tb, ports: 1000}
	if err = b.attachAll(ctx); err == nil {
		b.reports, err = b.ask(ctx)
	}
	if err == nil {
		b.flooder, err = newFlooder(ctx, b)
	}
	if err != nil {
		return nil, errors.Join(err, tb.Close())
	}
	return b, nil
}

// Close takes the testbed down.
func (b *bed) Close() error { return errors.Join(b.flooder.dev.Close(), b.Testbed.Close()) }

func (b *bed) attachAll(ctx context.Context) error {
	attach := func(host, name string, to *[]*netns.Endpoint) error {
		ep, err := b.Attach(ctx, netns.EndpointSpec{Name: name, Host: host, VPC: tenant + "/" + vpc, Subnet: "web"})
		*to = append(*to, ep)
		return err
	}
	var tcp []*netns.Endpoint
	for _, group := range []struct {
		host, name string
		n          int
		to         *[]*netns.Endpoint
	}{
		{"h1", "client", manyClients, &b.clients}, {"h1", "local", manyServers, &b.local}, {"h2", "remote", manyServers, &b.remote},
		{"h1", "dialler", 1, &tcp}, {"h1", "near", 1, &tcp}, {"h2", "far", 1, &tcp},
	} {
		for i := range group.n {
			if err := attach(group.host, group.name+strconv.Itoa(i), group.to); err != nil {
				return err
			}
		}
	}
	b.dialler, b.near, b.far = tcp[0], tcp[1], tcp[2]
	// Without an address no stack answers that nobody listens.
	for _, list := range [][]*netns.Endpoint{b.clients, b.local, b.remote} {
		for _, ep := range list {
			if _, err := ep.Exec(ctx, "ip", "addr", "flush", "dev", "eth0"); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace ends the controller of the null testbed and starts the null one.
func (p *pair) replace(ctx context.Context, self string) error {
	text, err := json.Marshal(p.null.reports)
	if err != nil {
		return err
	}
	config := filepath.Join(p.null.Dir, "null.json")
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return err
	}
	stop, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c := p.null.Controller
	if err := c.Process().Stop(stop); err != nil {
		return err
	}
	listen := netip.AddrPortFrom(c.Addr().Addr(), netns.OpenFlowPort)
	if p.process, err = startChild(c.Namespace, self, NullCommand, "--listen", listen.String(), "--trust", enrol.TrustDir(c.StateDir()), "--hosts", config); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.process.await(wait, "switches of the null controller", func() error {
		if !strings.Contains(p.process.log.String(), nullReady) {
			return errors.New("not connected")
		}
		return nil
	})
}

// NullCommand is the argument by which daoli-bench becomes a null controller.
const NullCommand = "null-controller"

// ask asks the controller what the hosts reported, h1 first.
func (b *bed) ask(ctx context.Context) ([]inventory.HostReport, error) {
	seen, err := b.Controller.API().Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var out []inventory.HostReport
	for _, h := range seen {
		r := inventory.HostReport{Name: h.Name, BootID: "bench"}
		var errs [5]error
		r.DPID, errs[0] = strconv.ParseUint(h.DPID, 16, 64)
		r.Uplink.Addr, errs[1] = netip.ParsePrefix(h.Address)
		r.Uplink.NextHop, errs[2] = netip.ParseAddr(h.NextHop)
		r.Uplink.MAC, errs[3] = parseMAC(h.MAC)
		r.Uplink.NextHopMAC, errs[4] = parseMAC(h.NextHopMAC)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("read host %s of the controller: %w", h.Name, err)
		}
		r.Uplink.Port, r.Uplink.MTU = uplinkPort, h.MTU
		for _, ep := range b.Endpoints() {
			if ep.Host != h.Name {
				continue
			}
			mac, err := parseMAC(ep.HWAddr)
			if err != nil {
				return nil, err
			}
			r.Endpoints = append(r.Endpoints, inventory.EndpointReport{
				Name: ep.Name, Tenant: tenant, VPC: vpc, Subnet: ep.Subnet, IP: ep.Addr, MAC: mac, Port: ep.Port,
			})
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b inventory.HostReport) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// uplinkPort is the ofport of a testbed host's uplink.
const uplinkPort = 1

func parseMAC(s string) (packet.MAC, error) {
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 {
		return packet.MAC{}, fmt.Errorf("read hardware address %q: %w", s, err)
	}
	return packet.MAC(m), nil
}

// forget ends all sessions, on both sides.
func (p *pair) forget(ctx context.Context) error {
	for _, h := range p.null.Hosts {
		// All that the null controller added has category session.
		if _, err := h.OFCtl(ctx, "del-flows", "cookie=0x0300000000000000/0xff00000000000000"); err != nil {
			return err
		}
	}
	return p.real.forget(ctx)
}

// forget ends all sessions by an edit that allows what nobody does (ICMP
// timestamps, which no session carries), and allows all again. A packet that waited
// in a queue until then may open one anew.
func (b *bed) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("sessions are left after 30 s"))
	defer cancel()
	if err := b.revise(ctx, "{from: [{subnet: web}], ports: [icmp/13]}"); err != nil {
		return err
	}
	for {
		s, err := b.Controller.API().Status(ctx)
		if err != nil {
			return err
		}
		if s.Sessions == 0 {
			return b.revise(ctx)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
}

// revise gives the tenant's group other rules and waits until they are in force.
func (b *bed) revise(ctx context.Context, rules ...string) error {
	before, err := b.Controller.API().Status(ctx)
	if err != nil {
		return err
	}
	if err := writeSpecs(b.Specs(), rules...); err != nil {
		return err
	}
	_, err = b.Controller.AwaitRevision(ctx, before.Revision.ID)
	return err
}

// writeSpecs replaces the tenant's file whole.
func writeSpecs(dir string, rules ...string) error {
	const name = "tenants/bench/prod.yaml"
	f, err := oneTenant(rules...).Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(f); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(hidden, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(hidden, path)
}

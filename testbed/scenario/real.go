package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

const (
	// quiet is how long nothing must arrive anywhere for a step to be over. No
	// event says that a packet was dropped, so silence has to do.
	quiet      = 150 * time.Millisecond
	quietLimit = 10 * time.Second // after which a network that never is quiet is an error
	realHosts  = 3
)

// Real is a Network of namespaces: real Open vSwitch, the real programs, the
// kernel's stacks. Its hosts are up before AddHost names them.
type Real struct {
	ctx      context.Context
	tb       *netns.Testbed
	specs    string
	policies string
	names    *Namer
	hosts    []string
	machines map[string]*realMachine
	revision api.RevisionStatus
}

// realMachine is an endpoint, a host's own stack, or a machine outside.
type realMachine struct {
	Machine
	namespace string
	host      bool            // a host's own stack
	endpoint  *netns.Endpoint // nil: not an endpoint
	capture   *inside.Capture
	seen      int // frames of the capture that were observed
	servers   []*inside.Server
	conns     []net.Conn // that stay open
	listens   []Listen
}

// NewReal brings a testbed up that watches directories below dir. binaries has
// the programs, see netns.Build.
func NewReal(ctx context.Context, dir, binaries string) (*Real, error) {
	r := &Real{
		ctx: ctx, specs: filepath.Join(dir, "specs"), policies: filepath.Join(dir, "policies"),
		names: NewNamer(), machines: map[string]*realMachine{},
	}
	for _, d := range []string{r.specs, r.policies} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	r.tb, err = netns.Up(ctx, netns.Options{Hosts: realHosts, Specs: r.specs, Policies: r.policies, Binaries: binaries})
	if err != nil {
		return nil, err
	}
	st, err := r.tb.Controller.API().Status(ctx)
	if err != nil {
		return nil, errors.Join(err, r.tb.Close())
	}
	r.revision = st.Revision
	return r, nil
}

// Close takes the testbed down.
func (r *Real) Close() error {
	for _, m := range r.machines {
		m.close()
	}
	return r.tb.Close()
}

// Logs returns the last lines of what the programs logged.
func (r *Real) Logs() string { return r.tb.Logs(40) }

func (m *realMachine) close() {
	if m.capture != nil {
		m.capture.Stop()
	}
	for _, s := range m.servers {
		s.Close()
	}
	for _, c := range m.conns {
		c.Close()
	}
}

// AddHost names a host of the testbed, whose address must be the same.
func (r *Real) AddHost(c Host) error {
	h := r.tb.Host(c.Name)
	if h == nil || h.Addr != c.Addr {
		return fmt.Errorf("the testbed has no host %s with %s", c.Name, c.Addr)
	}
	seen, err := r.tb.Controller.API().Hosts(r.ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(seen, func(a api.Host) bool { return a.Name == c.Name })
	if i < 0 {
		return fmt.Errorf("the controller has no host %s", c.Name)
	}
	own, err := net.ParseMAC(seen[i].MAC)
	if err != nil {
		return err
	}
	router, err := net.ParseMAC(seen[i].NextHopMAC)
	if err != nil {
		return err
	}
	m := &realMachine{namespace: h.Namespace, host: true, Machine: Machine{IP: c.Addr.Addr(), MAC: packet.MAC(own), Gateway: packet.MAC(router)}}
	r.names.Port(c.Name, openflow.PortNo(1), "uplink")
	r.names.MAC(m.MAC, c.Name)
	r.names.MAC(m.Gateway, "router")
	r.hosts = append(r.hosts, c.Name)
	return r.watch(c.Name, m, netns.Bridge)
}

// AddOutside names the machine in the internet.
func (r *Real) AddOutside(c Outside) error {
	if c.IP != r.tb.Internet().Addr() {
		return fmt.Errorf("the testbed's machine outside is %s, not %s", r.tb.Internet().Addr(), c.IP)
	}
	namespace := r.tb.Namespace("in")
	dev, err := inside.OpenDevice(namespace, "eth0")
	if err != nil {
		return err
	}
	m := &realMachine{namespace: namespace, Machine: Machine{IP: c.IP, MAC: packet.MAC(dev.MAC)}}
	if err := dev.Close(); err != nil {
		return err
	}
	router := lastAddr(r.tb.Internet())
	if _, err := inside.Ping(r.ctx, namespace, router, 0); err != nil {
		return err
	}
	if m.Gateway, err = neighbour(namespace, router); err != nil {
		return err
	}
	return r.watch(c.Name, m, "eth0")
}

// neighbour returns the hardware address that a namespace knows of an address.
func neighbour(namespace string, ip netip.Addr) (packet.MAC, error) {
	var known []netlink.Neigh
	err := inside.Do(namespace, func() (err error) {
		known, err = netlink.NeighList(0, netlink.FAMILY_V4)
		return err
	})
	for _, n := range known {
		if a, ok := netip.AddrFromSlice(n.IP); ok && a.Unmap() == ip && len(n.HardwareAddr) == 6 {
			return packet.MAC(n.HardwareAddr), nil
		}
	}
	return packet.MAC{}, errors.Join(fmt.Errorf("no hardware address of %s is known in %s", ip, namespace), err)
}

// watch begins to collect what a machine gets.
func (r *Real) watch(name string, m *realMachine, device string) error {
	controller := r.tb.Controller.Addr().Addr()
	keep := func(c *inside.Captured) bool {
		own := c.Src == controller || c.Dst == controller // the control plane's
		// ARP is the stacks' own matter, but for answers to what a script asked.
		arp := c.EthType == inside.EtherARP && (m.host || m.endpoint == nil)
		return !c.Outgoing && !own && !arp && (c.EthType == inside.EtherIPv4 || c.EthType == inside.EtherARP)
	}
	var err error
	if m.capture, err = inside.StartCapture(m.namespace, device, keep); err != nil {
		return err
	}
	r.machines[name] = m
	return nil
}

// Attach attaches a namespace by daoli-hostd.
func (r *Real) Attach(c Endpoint) ([]string, error) {
	spec := netns.EndpointSpec{
		Name: c.Name, Host: c.Host, VPC: c.Tenant + "/" + c.VPC, Subnet: c.Subnet, Groups: c.Groups, Labels: c.Labels,
	}
	if c.IP.IsValid() {
		spec.IP = c.IP.String()
	}
	return nil, r.attach(spec)
}

func (r *Real) attach(spec netns.EndpointSpec) error {
	e, err := r.tb.Attach(r.ctx, spec)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(e.HWAddr)
	if err != nil {
		return err
	}
	m := &realMachine{
		namespace: e.Namespace, endpoint: e,
		Machine: Machine{IP: e.Addr, MAC: packet.MAC(mac), Gateway: packet.MAC(pipeline.GatewayMAC)},
	}
	r.names.Port(e.Host, openflow.PortNo(e.Port), e.Name)
	r.names.MAC(m.MAC, e.Name)
	return r.watch(e.Name, m, "eth0")
}

// Detach detaches a namespace by daoli-hostd.
func (r *Real) Detach(name string) error {
	m := r.machines[name]
	if m == nil || m.endpoint == nil {
		return fmt.Errorf("no endpoint %q", name)
	}
	m.close()
	delete(r.machines, name)
	return m.endpoint.Detach(r.ctx)
}

// Move detaches an endpoint, and attaches it elsewhere with its addresses and
// with what it listens to.
func (r *Real) Move(c Move) ([]string, error) {
	m := r.machines[c.Name]
	if m == nil || m.endpoint == nil {
		return nil, fmt.Errorf("no endpoint %q", c.Name)
	}
	spec := m.endpoint.EndpointSpec
	spec.Host, spec.IP, spec.MAC = c.Host, m.IP.String(), m.endpoint.HWAddr
	if err := r.Detach(c.Name); err != nil {
		return nil, err
	}
	if err := r.attach(spec); err != nil {
		return nil, err
	}
	for _, l := range m.listens {
		if err := r.Listen(l); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Restart kills a host's vswitchd and waits until a new one holds again all
// that hostd and the controller keep there. The controller's word would not do:
// while the switch is gone, so is the host's way to tell it.
func (r *Real) Restart(host string) error {
	h := r.tb.Host(host)
	before, err := r.kept(h)
	if err != nil {
		return err
	}
	h.Switch().Kill()
	<-h.Switch().Done()
	if err := h.StartSwitch(r.ctx); err != nil {
		return err
	}
	return r.await("flows of "+host+" after its restart", func() (bool, error) {
		now, err := r.kept(h)
		return err == nil && slices.Equal(now, before), nil // refused: not up yet
	})
}

// kept returns a switch's flows, sorted, without their counters.
func (r *Real) kept(h *netns.Host) ([]string, error) {
	fs, err := h.Flows(r.ctx, "")
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = f.String()
	}
	slices.Sort(out)
	return out, err
}

// await polls, since the API has no events.
func (r *Real) await(what string, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(r.ctx, quietLimit)
	defer cancel()
	for {
		if ok, err := ready(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s", what, quietLimit)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Listen serves a port of a machine.
func (r *Real) Listen(c Listen) error {
	m := r.machines[c.At]
	if m == nil {
		return fmt.Errorf("no machine %q", c.At)
	}
	serve := inside.ServeTCP
	if c.Proto == packet.UDP {
		serve = inside.ServeUDP
	}
	s, err := serve(m.namespace, netip.AddrPortFrom(m.IP, c.Port), "")
	if err != nil {
		return err
	}
	m.servers, m.listens = append(m.servers, s), append(m.listens, c)
	if !m.host || c.Port < pipeline.DefaultWireRange.Value {
		return nil
	}
	return r.await(fmt.Sprintf("base flows for port %d of %s", c.Port, c.At), func() (bool, error) {
		fs, err := r.tb.Host(c.At).Flows(r.ctx, fmt.Sprintf("table=%d", pipeline.TableMiss))
		return slices.ContainsFunc(fs, func(f netns.Flow) bool {
			return f.Actions == "LOCAL" && strings.HasSuffix(f.Match, fmt.Sprintf("tp_dst=%d", c.Port))
		}), err
	})
}

// SetMTU makes the router's route to a host narrower. The device keeps its MTU:
// it would take no larger frames from the host either.
func (r *Real) SetMTU(c MTU) error { return r.tb.SetRouteMTU(c.Host, c.Bytes) }

// Revise writes the files, each whole, and waits for the controller's word.
func (r *Real) Revise(files []File) ([]string, error) {
	before := r.revision
	want := map[string]bool{}
	for _, f := range files {
		path := r.path(f.Name)
		want[path] = true
		if err := writeWhole(path, f.Data); err != nil {
			return nil, err
		}
	}
	if err := r.prune(want); err != nil {
		return nil, err
	}
	err := r.await("the controller's word on the revision", func() (bool, error) {
		st, err := r.tb.Controller.API().Status(r.ctx)
		if err != nil {
			return false, err
		}
		r.revision = st.Revision
		refusedAt := func(v api.RevisionStatus) time.Time {
			if v.Refused == nil {
				return time.Time{}
			}
			return v.Refused.At
		}
		return st.Revision.ID != before.ID || !refusedAt(st.Revision).Equal(refusedAt(before)), nil
	})
	if err != nil || r.revision.Refused == nil {
		return nil, err
	}
	return r.revision.Refused.Problems, nil
}

func (r *Real) path(name string) string {
	if rest, ok := strings.CutPrefix(name, "specs/"); ok {
		return filepath.Join(r.specs, rest)
	}
	return filepath.Join(r.policies, strings.TrimPrefix(name, "policies/"))
}

func writeWhole(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(hidden, data, 0o644); err != nil {
		return err
	}
	return os.Rename(hidden, path)
}

// prune removes the files of earlier revisions.
func (r *Real) prune(want map[string]bool) error {
	for _, root := range []string{r.specs, r.policies} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || want[path] {
				return err
			}
			return os.Remove(path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Machine tells a machine's addresses.
func (r *Real) Machine(name string) (Machine, error) {
	m := r.machines[name]
	if m == nil {
		return Machine{}, fmt.Errorf("no machine %q", name)
	}
	return m.Machine, nil
}

// Send sends a frame past the machine's stack.
func (r *Real) Send(from string, frame []byte) error {
	m := r.machines[from]
	device := "eth0"
	if m.host {
		device = netns.Bridge
	}
	dev, err := inside.OpenDevice(m.namespace, device)
	if err != nil {
		return err
	}
	return errors.Join(dev.Send(frame), dev.Close())
}

// Connect opens a connection by the machine's kernel and closes it with a reset,
// so that nothing of it stays in a stack, unless it is to be kept.
func (r *Real) Connect(c Connect, to netip.Addr) (Outcome, error) {
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	conn, err := inside.Dial(ctx, r.machines[c.From].namespace, "tcp4", c.SrcPort, netip.AddrPortFrom(to, c.Port))
	switch {
	case err == nil && c.Keep:
		m := r.machines[c.From]
		m.conns = append(m.conns, conn)
		return OutcomeConnected, nil
	case err == nil:
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetLinger(0)
		}
		return OutcomeConnected, errors.Join(err, conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return OutcomeRefused, nil
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return OutcomeUnreachable, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return OutcomeNoAnswer, nil
	}
	return "", err
}

// Wait lets real time pass: what a script waits for is a timeout of the
// switches or the controller, which have no other clock.
func (r *Real) Wait(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// Observe waits until nothing arrives and no flow changes for a while.
func (r *Real) Observe() (Observation, error) {
	deadline := time.Now().Add(quietLimit)
	var last map[string][]string
	for arrived := -1; ; {
		if err := r.Wait(quiet); err != nil {
			return Observation{}, err
		}
		flows, err := r.flows()
		if err != nil {
			return Observation{}, err
		}
		n := 0
		for _, m := range r.machines {
			n += len(m.capture.Frames())
		}
		if n == arrived && equalFlows(flows, last) {
			return Observation{Arrivals: r.arrivals(), Flows: flows}, nil
		}
		if arrived, last = n, flows; time.Now().After(deadline) {
			return Observation{}, fmt.Errorf("the network is not quiet after %s", quietLimit)
		}
	}
}

func equalFlows(a, b map[string][]string) bool {
	for host := range a {
		if !slices.Equal(a[host], b[host]) {
			return false
		}
	}
	return len(a) == len(b)
}

// arrivals returns what machines got since the last call, as the kernel timed it.
func (r *Real) arrivals() []Arrival {
	type timed struct {
		Arrival
		at time.Time
	}
	var all []timed
	for name, m := range r.machines {
		frames := m.capture.Frames()
		for _, f := range frames[m.seen:] {
			all = append(all, timed{Arrival{At: name, Local: m.host, Frame: f.Raw}, f.Time})
		}
		m.seen = len(frames)
	}
	slices.SortFunc(all, func(a, b timed) int { return a.at.Compare(b.at) })
	out := make([]Arrival, len(all))
	for i, a := range all {
		out[i] = a.Arrival
	}
	return out
}

// flows returns each host's flows of the session table, in openflow's text.
func (r *Real) flows() (map[string][]string, error) {
	out := map[string][]string{}
	for _, name := range r.hosts {
		fs, err := r.tb.Host(name).Flows(r.ctx, fmt.Sprintf("table=%d", pipeline.TableSession))
		if err != nil {
			return nil, err
		}
		list := []string{}
		for _, f := range fs {
			if f.Priority > 0 {
				list = append(list, r.names.Flow(name, ofctlFlow(f)))
			}
		}
		slices.Sort(list)
		out[name] = list
	}
	return out, nil
}

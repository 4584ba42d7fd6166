package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// Sim is a Network in memory: simnet's switches and hosts under the
// controller's engine. What lies between them in a real cluster, sockets and
// daemons, is left out; messages arrive at once and in order, unless Faults
// says otherwise.
type Sim struct {
	faults Faults
	net    *simnet.Network
	engine *engine.Engine
	names  *Namer

	hosts    map[string]*simHost
	machines map[string]*simMachine
	revision int
	events   []engine.Event // that the engine has not seen
	asked    uint64         // leases asked for
	lease    engine.LeaseGiven
	refused  []inventory.Refusal // of the last Ack
	seen     Observation         // since the last Observe
	fault    error               // the first thing that should not happen
}

// simHost is a host as hostd would know it.
type simHost struct {
	*simnet.Host
	conn     uint64
	seq      uint64
	lastPort openflow.PortNo

	listeners   []inventory.Listener
	connections []pipeline.Connection // that stay open
}

// simMachine is an endpoint, a host's own stack, or a machine outside.
type simMachine struct {
	stack    *simnet.Stack
	host     *simHost // nil: outside
	port     openflow.PortNo
	endpoint *inventory.EndpointReport // nil: not an endpoint
}

// NewSim returns an empty network under an engine without a revision.
func NewSim(f Faults) *Sim {
	s := &Sim{
		faults: f, names: NewNamer(),
		net:    &simnet.Network{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		engine: engine.New(engine.Config{Slot: 1, Epoch: 1, Wire: pipeline.DefaultWireRange}),
		hosts:  map[string]*simHost{}, machines: map[string]*simMachine{},
	}
	s.net.OnPacketIn = func(dpid uint64, in openflow.PacketIn) {
		s.push(engine.PacketIn{DPID: dpid, In: in})
	}
	return s
}

// AddHost adds a host whose bridge has its base flows, and reports it.
func (s *Sim) AddHost(c Host) error {
	n := byte(len(s.hosts) + 1)
	h := &simHost{conn: uint64(n), lastPort: pipeline.FirstEndpointPort - 1, Host: s.net.AddHost(simnet.HostConfig{
		Name: c.Name, DPID: uint64(n), Addr: c.Addr, MAC: packet.MAC{2, 0xaa, 0, 0, 0, n},
		Router: lastAddr(c.Addr), RouterMAC: packet.MAC{2, 0xee, 0, 0, 0, n},
	})}
	s.hosts[c.Name] = h
	s.machines[c.Name] = &simMachine{stack: h.Stack, host: h, port: openflow.PortLocal}
	s.names.Port(c.Name, h.Uplink, "uplink")
	s.names.MAC(h.Stack.MAC, c.Name)
	s.names.MAC(h.RouterMAC, "router")
	s.base(h)
	s.push(engine.HostUp{Conn: h.conn, Report: inventory.HostReport{
		Name: c.Name, BootID: "boot-1", DPID: h.Switch.DPID,
		Uplink: inventory.Uplink{Port: uint32(h.Uplink), MAC: h.Stack.MAC, Addr: c.Addr, NextHop: h.Router, NextHopMAC: h.RouterMAC, MTU: 1500},
	}})
	s.push(engine.SwitchUp{DPID: h.Switch.DPID, Flows: h.Switch.Dump()})
	return s.settle()
}

// lastAddr is the router of a host's subnet.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	b[3] = 254
	return netip.AddrFrom4(b)
}

// base gives a switch the flows that hostd keeps there.
func (s *Sim) base(h *simHost) {
	c := pipeline.HostConfig{
		Uplink: h.Uplink, Addr: h.Addr.Addr(), MAC: openflow.MAC(h.Stack.MAC), Wire: pipeline.DefaultWireRange,
		Connections: h.connections,
	}
	for _, l := range h.listeners {
		c.Listeners = append(c.Listeners, pipeline.Listener{Proto: uint8(l.Proto), Port: l.Port})
	}
	meters, flows := pipeline.Base(c)
	b := openflow.Batch{DPID: h.Switch.DPID, Meters: meters}
	for _, f := range flows {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	s.apply(b)
}

// AddOutside adds a machine behind the router.
func (s *Sim) AddOutside(c Outside) error {
	s.machines[c.Name] = &simMachine{stack: s.net.AddOutside(c.Name, c.IP)}
	return nil
}

// Attach asks for the endpoint's address, plugs it in and reports it.
func (s *Sim) Attach(c Endpoint) ([]string, error) {
	h := s.hosts[c.Host]
	if h == nil {
		return nil, fmt.Errorf("no host %q", c.Host)
	}
	s.asked++
	s.lease = engine.LeaseGiven{}
	s.push(engine.LeaseAsked{
		Conn: h.conn, ID: s.asked, Host: c.Host, Tenant: c.Tenant, VPC: c.VPC, Subnet: c.Subnet, Name: c.Name, IP: c.IP,
	})
	if err := s.settle(); err != nil {
		return nil, err
	}
	switch {
	case s.lease.ID != s.asked:
		return nil, fmt.Errorf("no answer to the question for a lease")
	case s.lease.Err != "":
		return []string{s.lease.Err}, nil
	}
	m := &simMachine{
		stack: &simnet.Stack{Name: c.Name, IP: s.lease.IP, MAC: s.lease.MAC, Gateway: packet.MAC(pipeline.GatewayMAC)},
		endpoint: &inventory.EndpointReport{
			Name: c.Name, Tenant: c.Tenant, VPC: c.VPC, Subnet: c.Subnet, Claims: c.Groups, Labels: c.Labels,
			IP: s.lease.IP, MAC: s.lease.MAC,
		},
	}
	s.names.MAC(m.stack.MAC, c.Name)
	return s.plug(m, h)
}

// plug connects an endpoint to a new port of a host and reports it.
func (s *Sim) plug(m *simMachine, h *simHost) ([]string, error) {
	h.lastPort++
	m.host, m.port, m.endpoint.Port = h, h.lastPort, uint32(h.lastPort)
	h.Attach(m.port, m.stack)
	s.names.Port(h.Name, m.port, m.stack.Name)
	s.machines[m.stack.Name] = m
	return s.report(h, inventory.HostDelta{Up: []inventory.EndpointReport{*m.endpoint}})
}

// report sends a delta and returns what the controller has against it.
func (s *Sim) report(h *simHost, d inventory.HostDelta) ([]string, error) {
	h.seq++
	d.Seq = h.seq
	s.refused = nil
	s.push(engine.HostChanged{Conn: h.conn, Host: h.Name, Delta: d})
	err := s.settle()
	var why []string
	for _, r := range s.refused {
		if slices.ContainsFunc(d.Up, func(e inventory.EndpointReport) bool {
			return r.Ref == inventory.EndpointRef{VPC: e.VPCID(), Name: e.Name}
		}) {
			why = append(why, r.Text)
		}
	}
	return why, err
}

// Detach unplugs an endpoint, removes the flows that name its port, as hostd
// does, and gives its address back.
func (s *Sim) Detach(name string) error {
	m, err := s.endpoint(name)
	if err != nil {
		return err
	}
	if err := s.unplug(m); err != nil {
		return err
	}
	delete(s.machines, name)
	s.push(engine.LeaseReleased{Host: m.host.Name, VPC: m.endpoint.VPCID(), IP: m.endpoint.IP, Name: name})
	return s.settle()
}

func (s *Sim) unplug(m *simMachine) error {
	m.host.Detach(m.port)
	_, err := s.report(m.host, inventory.HostDelta{Down: []inventory.EndpointRef{{VPC: m.endpoint.VPCID(), Name: m.endpoint.Name}}})
	return err
}

// Move takes an endpoint with its addresses to another host.
func (s *Sim) Move(c Move) ([]string, error) {
	m, err := s.endpoint(c.Name)
	if err != nil {
		return nil, err
	}
	to := s.hosts[c.Host]
	if to == nil {
		return nil, fmt.Errorf("no host %q", c.Host)
	}
	if err := s.unplug(m); err != nil {
		return nil, err
	}
	return s.plug(m, to)
}

func (s *Sim) endpoint(name string) (*simMachine, error) {
	if m := s.machines[name]; m != nil && m.endpoint != nil {
		return m, nil
	}
	return nil, fmt.Errorf("no endpoint %q", name)
}

// Restart empties a host's switch; hostd then restores the base flows, and the
// switch connects again.
func (s *Sim) Restart(host string) error {
	h := s.hosts[host]
	if h == nil {
		return fmt.Errorf("no host %q", host)
	}
	s.push(engine.SwitchDown{DPID: h.Switch.DPID})
	if err := s.settle(); err != nil {
		return err
	}
	h.Switch.Restart()
	s.base(h)
	s.push(engine.SwitchUp{DPID: h.Switch.DPID, Flows: h.Switch.Dump()})
	return s.settle()
}

// Listen opens a machine's port. A host whose listeners change has other base
// flows and reports them, from the wire range's start on.
func (s *Sim) Listen(c Listen) error {
	m := s.machines[c.At]
	if m == nil {
		return fmt.Errorf("no machine %q", c.At)
	}
	m.stack.Listen(c.Proto, c.Port)
	if h := m.host; m.endpoint == nil && h != nil && c.Port >= pipeline.DefaultWireRange.Value {
		h.listeners = append(h.listeners, inventory.Listener{Proto: c.Proto, Port: c.Port})
		s.base(h)
		h.seq++
		listeners := slices.Clone(h.listeners)
		s.push(engine.HostChanged{Conn: h.conn, Host: h.Name, Delta: inventory.HostDelta{Seq: h.seq, Listeners: &listeners}})
	}
	return s.settle()
}

// SetMTU makes the way from the router to a host narrower.
func (s *Sim) SetMTU(c MTU) error {
	h := s.hosts[c.Host]
	if h == nil {
		return fmt.Errorf("no host %q", c.Host)
	}
	h.MTU = c.Bytes
	return nil
}

// Revise loads and compiles a revision as the controller does, and makes it the
// active one if nothing is wrong with it.
func (s *Sim) Revise(files []File) ([]string, error) {
	specs, policies := fstest.MapFS{}, fstest.MapFS{}
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Name, "specs/"); ok {
			specs[name] = &fstest.MapFile{Data: f.Data}
		} else {
			policies[strings.TrimPrefix(f.Name, "policies/")] = &fstest.MapFile{Data: f.Data}
		}
	}
	r := gitsource.Revision{ID: fmt.Sprintf("r%d", s.revision+1), Specs: specs, Policies: policies}
	loaded, refused := controller.Load(s.net.Now, r, s.observed)
	if len(refused) > 0 {
		return refused, nil
	}
	s.revision++
	s.push(engine.RevisionLoaded{Policy: loaded.Policy})
	return nil, s.settle()
}

// observed returns the identities of the endpoints seen now as they would be in
// a network.
func (s *Sim) observed(network *spec.Network) []*inventory.Identity {
	snap, _ := inventory.Build(inventory.NewInterner(), network, s.engine.Reports())
	return snap.Identities()
}

// Machine tells a machine's addresses.
func (s *Sim) Machine(name string) (Machine, error) {
	m := s.machines[name]
	if m == nil {
		return Machine{}, fmt.Errorf("no machine %q", name)
	}
	return Machine{m.stack.IP, m.stack.MAC, m.stack.Gateway}, nil
}

// Send lets a frame out of a machine.
func (s *Sim) Send(from string, frame []byte) error {
	m := s.machines[from]
	if m == nil {
		return fmt.Errorf("no machine %q", from)
	}
	return s.send(m, frame)
}

func (s *Sim) send(m *simMachine, frame []byte) error {
	var err error
	if m.host == nil {
		err = s.net.InjectOutside(frame)
	} else {
		err = s.net.Inject(m.host.Host, m.port, frame)
	}
	if err != nil {
		return err
	}
	return s.settle()
}

// Connect opens a TCP connection. A SYN that is not answered is sent once more
// a second later.
func (s *Sim) Connect(c Connect, to netip.Addr) (Outcome, error) {
	m := s.machines[c.From]
	if m == nil {
		return "", fmt.Errorf("no machine %q", c.From)
	}
	remote := netip.AddrPortFrom(to, c.Port)
	seen := len(m.stack.Received)
	for range 2 {
		if err := s.send(m, m.stack.Connect(c.SrcPort, remote)); err != nil {
			return "", err
		}
		switch m.stack.Conn(c.SrcPort, remote) {
		case simnet.ConnEstablished:
			if c.Keep && m.host != nil && m.endpoint == nil {
				m.host.connections = append(m.host.connections, pipeline.Connection{Proto: openflow.ProtoTCP, LocalPort: c.SrcPort, Remote: remote})
			}
			return OutcomeConnected, nil
		case simnet.ConnReset:
			return OutcomeRefused, nil
		}
		for _, frame := range m.stack.Received[seen:] {
			h, err := packet.Decode(frame)
			if err == nil && h.Inner != nil && h.Inner.SrcPort == c.SrcPort && h.Inner.Dst == to {
				return OutcomeUnreachable, nil
			}
		}
		if err := s.Wait(time.Second); err != nil {
			return "", err
		}
	}
	return OutcomeNoAnswer, nil
}

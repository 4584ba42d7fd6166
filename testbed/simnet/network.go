package simnet

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// Network is hosts, what lies between them, and its clock. PacketIns are given
// to OnPacketIn one at a time; it may call the Network's methods.
type Network struct {
	Now        time.Time
	OnPacketIn func(dpid uint64, in openflow.PacketIn)

	// Log are the things that happened, oldest first. The caller may cut it.
	Log []Event

	hosts   []*Host
	outside []*Stack
	queue   []func()
	running bool
	steps   int
}

// Host is a machine with a switch. The bridge's LOCAL port leads to its own
// stack.
type Host struct {
	Name      string
	Switch    *Switch
	Uplink    openflow.PortNo
	Addr      netip.Prefix // underlay address and subnet
	Router    netip.Addr   // next hop
	RouterMAC packet.MAC
	Stack     *Stack // the host's own
	// MTU is the largest packet that the router carries to the host, in bytes; 0:
	// any. What may not be fragmented is answered with an ICMP error.
	MTU int

	endpoints map[openflow.PortNo]*Stack
}

// HostConfig is what a host is made of.
type HostConfig struct {
	Name      string
	DPID      uint64
	Addr      netip.Prefix
	MAC       packet.MAC
	Router    netip.Addr
	RouterMAC packet.MAC
}

// UplinkPort is the port that every host's uplink is.
const UplinkPort openflow.PortNo = 1

// EventKind says what happened.
type EventKind uint8

// What can happen to a frame, beside what a switch does with it.
const (
	EventDelivered EventKind = iota + 1 // it reached an endpoint or an outside machine
	EventLocal                          // it reached a host's own stack
	EventWire                           // it left a host by its uplink
	EventPacketIn                       // it was lifted
	EventLost                           // the underlay had no place for it
	EventAmbiguous                      // see Result.Ambiguous, in Note
	EventRefused                        // a switch refused a message, in Note
)

// Event is one thing that happened.
type Event struct {
	Kind  EventKind
	Host  string // whose switch it concerns, empty for outside machines
	Where string // name of the machine that was reached
	Port  openflow.PortNo
	Frame []byte
	Note  string
}

// AddHost adds a host with an empty switch.
func (n *Network) AddHost(c HostConfig) *Host {
	h := &Host{
		Name: c.Name, Switch: NewSwitch(c.Name, c.DPID, UplinkPort), Uplink: UplinkPort,
		Addr: c.Addr, Router: c.Router, RouterMAC: c.RouterMAC,
		Stack:     &Stack{Name: c.Name, IP: c.Addr.Addr(), MAC: c.MAC, Gateway: c.RouterMAC},
		endpoints: map[openflow.PortNo]*Stack{},
	}
	n.hosts = append(n.hosts, h)
	return h
}

// AddOutside adds a machine behind the router that is no host.
func (n *Network) AddOutside(name string, ip netip.Addr) *Stack {
	s := &Stack{Name: name, IP: ip, MAC: packet.MAC{2, 0xee, 0, 0, 0, byte(len(n.outside) + 1)}, Gateway: outsideRouterMAC}
	n.outside = append(n.outside, s)
	return s
}

// outsideRouterMAC is the router's address towards outside machines.
var outsideRouterMAC = packet.MAC{2, 0xee, 0, 0, 1, 0}

// Attach connects an endpoint to a port of a host.
func (h *Host) Attach(p openflow.PortNo, s *Stack) {
	h.Switch.AddPort(p)
	h.endpoints[p] = s
}

// Detach removes an endpoint's port.
func (h *Host) Detach(p openflow.PortNo) {
	h.Switch.RemovePort(p)
	delete(h.endpoints, p)
}

// HostByDPID returns the host whose switch has the id, or nil.
func (n *Network) HostByDPID(dpid uint64) *Host {
	for _, h := range n.hosts {
		if h.Switch.DPID == dpid {
			return h
		}
	}
	return nil
}

// Hosts returns the hosts in the order in which they were added.
func (n *Network) Hosts() []*Host { return n.hosts }

// maxSteps bounds what may follow from one call, so that a loop of flows ends.
const maxSteps = 10_000

// Inject lets a frame come in at a port of a host's switch and runs the network
// until it is quiet. The error tells of a loop.
func (n *Network) Inject(h *Host, in openflow.PortNo, frame []byte) error {
	n.enqueue(func() { n.receive(h, in, frame) })
	return n.run()
}

// InjectOutside lets an outside machine send a frame.
func (n *Network) InjectOutside(frame []byte) error {
	n.enqueue(func() { n.route(nil, frame) })
	return n.run()
}

// Apply gives a batch to the switch that it names and runs the network until it
// is quiet. What the switch refuses is returned.
func (n *Network) Apply(b openflow.Batch) []error {
	h := n.HostByDPID(b.DPID)
	if h == nil {
		return []error{fmt.Errorf("apply batch: no switch has id %#x", b.DPID)}
	}
	res, errs := h.Switch.Apply(n.Now, b)
	for _, err := range errs {
		n.note(Event{Kind: EventRefused, Host: h.Name, Note: err.Error()})
	}
	n.carry(h, res)
	if err := n.run(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// Advance moves the clock and lets timeouts pass.
func (n *Network) Advance(d time.Duration) {
	n.Now = n.Now.Add(d)
	for _, h := range n.hosts {
		h.Switch.Advance(n.Now)
	}
}

func (n *Network) note(e Event) { n.Log = append(n.Log, e) }

func (n *Network) enqueue(f func()) { n.queue = append(n.queue, f) }

// run does what is queued, oldest first. Called from within, it leaves the work
// to the call that is running.
func (n *Network) run() error {
	if n.running {
		return nil
	}
	n.running, n.steps = true, 0
	defer func() { n.running = false }()
	for len(n.queue) > 0 {
		if n.steps++; n.steps > maxSteps {
			n.queue = nil
			return fmt.Errorf("run network: still busy after %d steps", maxSteps)
		}
		next := n.queue[0]
		n.queue = n.queue[1:]
		next()
	}
	return nil
}

func (n *Network) receive(h *Host, in openflow.PortNo, frame []byte) {
	n.carry(h, h.Switch.Receive(n.Now, in, frame))
}

// carry takes what left a switch to where its ports lead.
func (n *Network) carry(h *Host, res Result) {
	for _, a := range res.Ambiguous {
		n.note(Event{Kind: EventAmbiguous, Host: h.Name, Note: a})
	}
	for _, o := range res.Outputs {
		n.enqueue(func() { n.leave(h, o) })
	}
	for _, in := range res.PacketIns {
		n.enqueue(func() {
			n.note(Event{Kind: EventPacketIn, Host: h.Name, Port: in.InPort, Frame: in.Frame})
			if n.OnPacketIn != nil {
				n.OnPacketIn(h.Switch.DPID, in)
			}
		})
	}
}

func (n *Network) leave(h *Host, o Output) {
	switch o.Port {
	case h.Uplink:
		n.note(Event{Kind: EventWire, Host: h.Name, Port: o.Port, Frame: o.Frame})
		n.segment(h, o.Frame)
	case openflow.PortLocal:
		n.note(Event{Kind: EventLocal, Host: h.Name, Where: h.Stack.Name, Port: o.Port, Frame: o.Frame})
		n.deliver(h, o.Port, h.Stack, o.Frame)
	default:
		if s := h.endpoints[o.Port]; s != nil {
			n.note(Event{Kind: EventDelivered, Host: h.Name, Where: s.Name, Port: o.Port, Frame: o.Frame})
			n.deliver(h, o.Port, s, o.Frame)
		}
	}
}

// deliver gives a frame to a machine behind a port, and its answers back.
func (n *Network) deliver(h *Host, p openflow.PortNo, s *Stack, frame []byte) {
	for _, answer := range s.Receive(frame) {
		n.enqueue(func() { n.receive(h, p, answer) })
	}
}

package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// Ports that stand in a template for those of the packet that is answered.
const (
	templateSource uint16 = 40001
	templatePort   uint16 = 50001
)

// nullController answers each lifted UDP packet of an endpoint with as many
// FlowMods of the same shape, and a PacketOut to the same place, as our
// controller does: copies of an answer that an engine gave before. It decides,
// remembers and logs nothing.
type nullController struct {
	endpoints map[place]netip.Addr
	templates map[[2]netip.Addr]*template
	sessions  atomic.Uint32

	mu       sync.RWMutex // guards switches
	switches map[uint64]*ofswitch.Switch
	up       chan uint64 // datapath ids
}

// place is where packets of an endpoint come in.
type place struct {
	dpid uint64
	port openflow.PortNo
}

// template is what an engine answered the first packet between two endpoints.
type template struct {
	batches []openflow.Batch
	wire    uint16 // the wire port in it; 0: none
}

// newNullController makes templates for all pairs of endpoints that begin at the
// first host.
func newNullController(hosts []inventory.HostReport) (*nullController, error) {
	pol, err := compile("r1", oneTenant())
	if err != nil {
		return nil, err
	}
	n := &nullController{
		endpoints: map[place]netip.Addr{}, templates: map[[2]netip.Addr]*template{},
		switches: map[uint64]*ofswitch.Switch{}, up: make(chan uint64, 64),
	}
	for i := range hosts {
		for j := range hosts[i].Endpoints {
			e := &hosts[i].Endpoints[j]
			n.endpoints[place{hosts[i].DPID, openflow.PortNo(e.Port)}] = e.IP
		}
	}
	c := newCore(pol, hosts)
	for i := range hosts[0].Endpoints {
		for _, h := range hosts {
			for j := range h.Endpoints {
				from, to := &hosts[0].Endpoints[i], &h.Endpoints[j]
				if from.IP == to.IP {
					continue
				}
				t, err := c.template(hosts[0].DPID, from, to)
				if err != nil {
					return nil, err
				}
				n.templates[[2]netip.Addr{from.IP, to.IP}] = t
			}
		}
	}
	return n, nil
}

// template has the engine answer the first packet of a session.
func (c *core) template(dpid uint64, from, to *inventory.EndpointReport) (*template, error) {
	t := new(template)
	c.sent = func(b openflow.Batch) { t.batches = append(t.batches, b) }
	defer func() { c.sent = nil }()
	c.lift(dpid, from.Port, opener(from, to, packet.UDP, templateSource, templatePort))
	if len(t.batches) == 0 {
		return nil, fmt.Errorf("the engine did not answer a packet from %s to %s", from.Name, to.Name)
	}
	sessions := c.engine.Sessions().Sessions()
	high, low := sessions[len(sessions)-1].WirePorts()
	t.wire = max(high, low)
	return t, nil
}

// SwitchUp makes the switch one that is told things.
func (n *nullController) SwitchUp(sw *ofswitch.Switch) {
	n.mu.Lock()
	n.switches[sw.DPID()] = sw
	n.mu.Unlock()
	n.up <- sw.DPID()
}

// SwitchDown is the end of the measurement.
func (n *nullController) SwitchDown(*ofswitch.Switch, error) {}

// BatchDone is never called: no batch has a token.
func (n *nullController) BatchDone(*ofswitch.Switch, uint64, error) {}

// Where an untagged IPv4 frame without options has its destination address and
// its ports.
const ipDstAt, portsAt, udpEnd = 30, 34, 42

// PacketIn answers a packet that has a template, and no other.
func (n *nullController) PacketIn(sw *ofswitch.Switch, in openflow.PacketIn) {
	if len(in.Frame) < udpEnd {
		return
	}
	from, found := n.endpoints[place{sw.DPID(), in.InPort}]
	if !found {
		return
	}
	to := netip.AddrFrom4([4]byte(in.Frame[ipDstAt:portsAt]))
	t := n.templates[[2]netip.Addr{from, to}]
	if t == nil {
		return
	}
	number := n.sessions.Add(1)
	p := ports{
		source: binary.BigEndian.Uint16(in.Frame[portsAt:]), port: binary.BigEndian.Uint16(in.Frame[portsAt+2:]),
		wire: 0x4000 + uint16(number%0x2000), templateWire: t.wire,
	}
	for i := range t.batches {
		b := p.fill(&t.batches[i], uint64(number), in.Frame)
		n.mu.RLock()
		to := n.switches[b.DPID]
		n.mu.RUnlock()
		if to != nil && to.Send(b) != nil {
			return // the switch is gone
		}
	}
}

// ports are those of the packet that is answered, and of its session.
type ports struct{ source, port, wire, templateWire uint16 }

// fill copies a batch for a session.
func (p *ports) fill(t *openflow.Batch, number uint64, frame []byte) openflow.Batch {
	b := openflow.Batch{DPID: t.DPID, Flows: slices.Clone(t.Flows), Packets: slices.Clone(t.Packets)}
	for i := range b.Flows {
		f := &b.Flows[i].Flow
		f.Cookie = f.Cookie&^0xffffffff | number
		f.Match.L4Src.Value = p.of(f.Match.L4Src.Value)
		f.Match.L4Dst.Value = p.of(f.Match.L4Dst.Value)
		for j := range f.Actions {
			a := &f.Actions[j]
			if a.Kind == openflow.ActionSetField && (a.Field == openflow.FieldUDPSrc || a.Field == openflow.FieldUDPDst) {
				a.Value = uint64(p.of(uint16(a.Value)))
			}
		}
	}
	for i := range b.Packets {
		b.Packets[i].Frame = frame
	}
	return b
}

// of is the session's port in the place of one of the template's.
func (p *ports) of(v uint16) uint16 {
	switch v {
	case templateSource:
		return p.source
	case templatePort:
		return p.port
	case p.templateWire:
		return p.wire
	}
	return v
}

// nullReady is what a null controller prints when all its switches are there.
const nullReady = "ready"

// RunNull is a null controller for the hosts that it reads from config, as
// measurements start it in the place of a testbed's controller, whose directory of
// trust it uses: it prints a word when their switches have connected, and ends
// with ctx.
func RunNull(ctx context.Context, listen, trust string, config io.Reader, out io.Writer) error {
	var hosts []inventory.HostReport
	if err := json.NewDecoder(config).Decode(&hosts); err != nil || len(hosts) == 0 {
		return fmt.Errorf("read the hosts of a null controller: %w", errors.Join(err, fmt.Errorf("%d hosts", len(hosts))))
	}
	n, err := newNullController(hosts)
	if err != nil {
		return err
	}
	authority, err := enrol.Open(enrol.Config{Dir: trust, Name: NullCommand, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		seen := map[uint64]bool{}
		for len(seen) < len(hosts) {
			select {
			case id := <-n.up:
				seen[id] = true
			case <-ctx.Done():
				return
			}
		}
		fmt.Fprintln(out, nullReady)
	}()
	// Newer than the generation of the controller in whose place it is.
	return ofswitch.NewServer(ofswitch.Config{Handler: n, GenerationID: uint64(time.Now().Unix()) + 1}).Serve(ctx, authority.ListenSwitches(ln))
}

package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Run runs a scenario on a network and returns the transcript: each step as it
// is written, and indented below it what came of it. An error says which step
// could not be done, or what an expect step found instead; the transcript is
// then that of the steps before it.
func Run(s *Scenario, n Network) (string, error) {
	r := runner{n: n, files: map[string][]byte{}, flows: map[string][]string{}}
	for _, f := range s.Files {
		r.files[f.Name] = f.Data
	}
	r.line("first revision")
	if err := r.revise(); err != nil {
		return r.out.String(), fmt.Errorf("first revision: %w", err)
	}
	for _, l := range s.Steps {
		if e, ok := l.Step.(Expect); ok {
			if !r.met(e) {
				return r.out.String(), fmt.Errorf("steps:%d: %s: found %s", l.No, l.Text, r.found())
			}
			continue
		}
		r.line("%s", l.Text)
		if err := r.step(l.Step); err != nil {
			return r.out.String(), fmt.Errorf("steps:%d: %s: %w", l.No, l.Text, err)
		}
		if err := r.observe(l.Step); err != nil {
			return r.out.String(), fmt.Errorf("steps:%d: %s: %w", l.No, l.Text, err)
		}
	}
	return r.out.String(), nil
}

// runner is a run so far.
type runner struct {
	n     Network
	out   strings.Builder
	files map[string][]byte   // of the revision that was offered last
	flows map[string][]string // by host, as seen last

	// Of the last step that sent something:
	sender   Machine
	from     string
	arrivals []Arrival
	outcome  Outcome // of a connection, "" for frames
}

func (r *runner) line(format string, args ...any) { fmt.Fprintf(&r.out, format+"\n", args...) }

// told writes what a network said against something.
func (r *runner) told(refused []string, err error) error {
	for _, why := range refused {
		r.line("  refused %s", why)
	}
	return err
}

func (r *runner) step(s Step) error {
	switch s := s.(type) {
	case Host:
		return r.n.AddHost(s)
	case Outside:
		return r.n.AddOutside(s)
	case Endpoint:
		return r.told(r.n.Attach(s))
	case Detach:
		return r.n.Detach(s.Name)
	case Move:
		return r.told(r.n.Move(s))
	case Restart:
		return r.n.Restart(s.Host)
	case Listen:
		return r.n.Listen(s)
	case Tick:
		return r.n.Wait(s.D)
	case Edit:
		if s.Remove {
			delete(r.files, s.File)
		} else {
			r.files[s.File] = s.Data
		}
		return r.revise()
	case MTU:
		return r.n.SetMTU(s)
	case Packet:
		return r.packet(s)
	case ICMPError:
		return r.icmpError(s)
	case ARP:
		return r.arp(s)
	case Connect:
		return r.connect(s)
	}
	return fmt.Errorf("no network can do a %T", s)
}

func (r *runner) revise() error {
	var files []File
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		files = append(files, File{name, r.files[name]})
	}
	refused, err := r.n.Revise(files)
	if err != nil {
		return err
	}
	if len(refused) == 0 {
		r.line("  revision accepted")
		return nil
	}
	r.line("  revision refused")
	return r.told(refused, nil)
}

// target returns the address that a step's To means.
func (r *runner) target(to string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(to); err == nil {
		return ip, nil
	}
	m, err := r.n.Machine(to)
	return m.IP, err
}

// send sends a frame with what all frames have in common.
func (r *runner) send(from string, h packet.Headers, o FrameOptions, payload []byte) error {
	h.EthSrc, h.EthDst, h.TTL, h.VLAN = r.sender.MAC, r.sender.Gateway, o.TTL, o.VLAN
	if o.SrcMAC != nil {
		h.EthSrc = *o.SrcMAC
	}
	return r.n.Send(from, packet.Build(h, payload))
}

// sends notes who sends now.
func (r *runner) sends(from string) (err error) {
	r.from, r.outcome = from, ""
	r.sender, err = r.n.Machine(from)
	return err
}

func (r *runner) packet(p Packet) error {
	if err := r.sends(p.From); err != nil {
		return err
	}
	dst, err := r.target(p.To)
	if err != nil {
		return err
	}
	h := packet.Headers{
		Src: r.sender.IP, Dst: dst, Proto: p.Proto, SrcPort: p.SrcPort, DstPort: p.DstPort,
		Flags: p.Flags, Seq: 1000, ICMPType: p.ICMPType, ICMPCode: p.Frame.Code,
	}
	if p.Frame.Src.IsValid() {
		h.Src = p.Frame.Src
	}
	if h.Flags&packet.ACK != 0 {
		h.Ack = 5001
	}
	payload := []byte(p.Frame.Data)
	if p.Proto == packet.ICMP {
		payload = packet.Echo(1, 1, payload)
	}
	return r.send(p.From, h, p.Frame, payload)
}

// icmpError sends the error by what its quote is: 28 bytes of the packet.
func (r *runner) icmpError(e ICMPError) error {
	if err := r.sends(e.From); err != nil {
		return err
	}
	dst, err := r.target(e.To)
	if err != nil {
		return err
	}
	quoted := packet.Build(packet.Headers{
		Src: e.Src.Addr(), Dst: e.Dst.Addr(), Proto: e.Proto, SrcPort: e.Src.Port(), DstPort: e.Dst.Port(), Flags: packet.ACK, Seq: 1000,
	}, []byte("quoted"))[14:][:28]
	if e.Cut {
		quoted = quoted[:20]
	}
	h := packet.Headers{Src: r.sender.IP, Dst: dst, Proto: packet.ICMP, ICMPType: e.Type, ICMPCode: e.Code}
	return r.send(e.From, h, FrameOptions{}, append([]byte{0, 0, byte(e.MTU >> 8), byte(e.MTU)}, quoted...))
}

func (r *runner) arp(a ARP) error {
	if err := r.sends(a.From); err != nil {
		return err
	}
	h := packet.Headers{ARPOp: 1, ARPSrc: r.sender.IP, ARPDst: a.Target, ARPSrcMAC: r.sender.MAC}
	if a.Reply {
		h.ARPOp = 2
	}
	if a.Sender.IsValid() {
		h.ARPSrc = a.Sender
	}
	if a.SenderMAC != nil {
		h.ARPSrcMAC = *a.SenderMAC
	}
	return r.send(a.From, h, a.Frame, nil)
}

func (r *runner) connect(c Connect) error {
	if err := r.sends(c.From); err != nil {
		return err
	}
	dst, err := r.target(c.To)
	if err != nil {
		return err
	}
	r.outcome, err = r.n.Connect(c, dst)
	return err
}

// observe writes what came of a step. The frames of a connection are its
// stacks' own matter and not written.
func (r *runner) observe(s Step) error {
	o, err := r.n.Observe()
	if err != nil {
		return err
	}
	for _, note := range o.Notes {
		r.line("  %s", note)
	}
	for _, host := range slices.Sorted(maps.Keys(o.Flows)) {
		for _, l := range diff(host, r.flows[host], o.Flows[host]) {
			r.line("  %s", l)
		}
		r.flows[host] = o.Flows[host]
	}
	if r.outcome != "" && isTraffic(s) {
		r.arrivals = nil
		r.line("  outcome %s", r.outcome)
		return nil
	}
	for _, a := range o.Arrivals {
		verb := "delivered"
		if a.Local {
			verb = "local"
		}
		r.line("  %s %s %s", verb, a.At, Describe(a.Frame))
	}
	if isTraffic(s) {
		r.arrivals = o.Arrivals
		if len(o.Arrivals) == 0 {
			r.line("  outcome %s", OutcomeNothing)
		}
	}
	return nil
}

func isTraffic(s Step) bool {
	switch s.(type) {
	case Packet, ICMPError, ARP, Connect:
		return true
	}
	return false
}

// met reports whether the last step that sent something came out as e says.
func (r *runner) met(e Expect) bool {
	switch e.Outcome {
	case OutcomeNothing:
		return r.outcome == "" && len(r.arrivals) == 0
	case OutcomeDelivered:
		return slices.ContainsFunc(r.arrivals, func(a Arrival) bool { return a.At == e.At })
	case OutcomeOnly:
		return len(r.arrivals) > 0 && !slices.ContainsFunc(r.arrivals, func(a Arrival) bool { return a.At != e.At })
	case OutcomeRST:
		return r.answered(func(h *packet.Headers) bool { return h.Proto == packet.TCP && h.Flags&packet.RST != 0 })
	case OutcomeICMP:
		return r.answered(func(h *packet.Headers) bool { return h.Inner != nil })
	}
	return r.outcome == e.Outcome
}

// answered reports whether the sender got a frame that is so.
func (r *runner) answered(is func(*packet.Headers) bool) bool {
	return slices.ContainsFunc(r.arrivals, func(a Arrival) bool {
		h, err := packet.Decode(a.Frame)
		return a.At == r.from && err == nil && is(&h)
	})
}

// found says what the last step that sent something came to.
func (r *runner) found() string {
	if r.outcome != "" {
		return string(r.outcome)
	}
	if len(r.arrivals) == 0 {
		return string(OutcomeNothing)
	}
	var all []string
	for _, a := range r.arrivals {
		all = append(all, fmt.Sprintf("%s got %s", a.At, Describe(a.Frame)))
	}
	return strings.Join(all, ", ")
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Defaults of Options.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultParallel = 256
)

// startEvery spreads the starts of probes: bursts would be cut by the meters of
// the switches' ports, and a cut packet is not a verdict.
const startEvery = 2 * time.Millisecond

// Machine is a namespace that sends and is sent to.
type Machine struct {
	Name      string // unique in the plan
	Namespace string
	Addr      netip.Addr
	VPC       spec.VPCID // "": it is outside
}

// Plan says what to measure.
type Plan struct {
	Machines []Machine // endpoints, then what is outside: the order of pairs
	Ports    []Port
	// Means reports whether a packet of from to the address of to means that
	// machine, and not another that has the address where from lives. nil: always.
	Means func(from, to Machine) bool
}

// Port is one protocol and port to probe.
type Port struct {
	Text   string // as the file writes it
	Proto  string // tcp, udp or icmp
	Number uint16 // of tcp and udp
}

// Options bounds the measurement. Zero values mean the defaults.
type Options struct {
	Timeout  time.Duration // of one pair and port, until silence is a drop
	Parallel int           // pairs and ports at a time
}

// NewPlan returns the plan of an endpoints file in a network, and the ports of it
// that can't be probed. namespace gives each name's namespace, or an error.
func NewPlan(net *spec.Network, s *spec.Sample, namespace func(name string) (string, error)) (Plan, []string, error) {
	p := Plan{Means: means(net)}
	var errs []error
	add := func(name string, addr netip.Addr, vpc spec.VPCID) {
		ns, err := namespace(name)
		errs = append(errs, err)
		p.Machines = append(p.Machines, Machine{name, ns, addr, vpc})
	}
	for _, e := range s.Endpoints {
		add(e.Name, e.IP, spec.MakeVPCID(e.Tenant, e.VPC))
	}
	for _, o := range s.Outside {
		add(o.Name, o.IP, "")
	}
	var left []string
	for _, port := range s.Ports {
		switch q := port.Port; {
		case q.Proto == "tcp", q.Proto == "udp", q.Proto == "icmp" && q.Lo == echoRequest && q.Hi == echoRequest:
			p.Ports = append(p.Ports, Port{port.Text, q.Proto, q.Lo})
		default:
			left = append(left, port.Text)
		}
	}
	return p, left, errors.Join(errs...)
}

// Measure probes all pairs of the plan. Its notes say what was odd though it
// changes no verdict, a probe that arrived and whose answer did not.
func (p Plan) Measure(ctx context.Context, opt Options) (m Matrix, notes []string, err error) {
	if opt.Timeout <= 0 {
		opt.Timeout = DefaultTimeout
	}
	if opt.Parallel <= 0 {
		opt.Parallel = DefaultParallel
	}
	b := newBoard(opt.Timeout)
	machines, err := b.open(p)
	defer closeAll(machines)
	if err != nil {
		return Matrix{}, nil, fmt.Errorf("prepare probes: %w", err)
	}
	questions := p.questions(machines)
	if err := b.ask(ctx, questions, opt); err != nil {
		return Matrix{}, nil, fmt.Errorf("probe: %w", err)
	}
	m.Pairs = []Pair{} // JSON: a list, also of nothing
	for _, q := range questions {
		m.Pairs = append(m.Pairs, Pair{q.from.Name, q.to.Name, q.port.Text, q.verdict()})
		if n := q.note(); n != "" {
			notes = append(notes, n)
		}
	}
	return m, notes, nil
}

// questions returns one for each pair and port, in the order of the file.
func (p Plan) questions(machines []*machine) []*question {
	var list []*question
	for _, from := range machines {
		for _, to := range machines {
			if from == to || from.VPC == "" && to.VPC == "" {
				continue
			}
			for _, port := range p.Ports {
				list = append(list, newQuestion(from, to, port, p.Means == nil || p.Means(from.Machine, to.Machine)))
			}
		}
	}
	return list
}

// means is Plan.Means in a network: endpoints mean each other in one VPC and
// over a Peering in force, and an address outside is one that no subnet there
// holds. To whom an endpoint's address leads from outside is for the probe to see.
func means(net *spec.Network) func(from, to Machine) bool {
	holds := func(vpc spec.VPCID, a netip.Addr) bool {
		v := net.VPCs[vpc]
		return v != nil && slices.ContainsFunc(v.Subnets, func(s spec.Subnet) bool { return s.CIDR.Contains(a) })
	}
	return func(from, to Machine) bool {
		switch {
		case from.VPC == "" || from.VPC == to.VPC:
			return true
		case to.VPC != "":
			return net.Peered(from.VPC, to.VPC)
		}
		return !holds(from.VPC, to.Addr) && !slices.ContainsFunc(net.Peers[from.VPC], func(p spec.VPCID) bool { return holds(p, to.Addr) })
	}
}

// ask answers all questions, some at a time.
func (b *board) ask(ctx context.Context, questions []*question, opt Options) error {
	slots := make(chan struct{}, opt.Parallel)
	pace := time.NewTicker(startEvery)
	defer pace.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, q := range questions {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			b.answer(ctx, q)
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// answer asks a question until its verdict is known or its time is up. It asks
// again after some hundredths of that, and an early try that is answered late
// counts as well.
func (b *board) answer(ctx context.Context, q *question) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	start := time.Now()
	for _, at := range [...]time.Duration{0, 15, 35, 60} {
		next := time.NewTimer(time.Until(start.Add(b.timeout * at / 100)))
		select {
		case <-next.C:
		case <-q.decided:
			next.Stop()
			return
		case <-ctx.Done():
			next.Stop()
			return
		}
		wg.Go(func() { b.try(ctx, q) })
	}
	select {
	case <-q.decided:
	case <-ctx.Done():
	}
}

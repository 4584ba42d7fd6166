package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/inventory"
)

// fleetSize is how many switches a fleet has: as many as ovs-testcontroller
// takes.
const fleetSize = 16

// fleet is a running controller with switches and hosts that only pretend.
type fleet struct {
	hosts    []inventory.HostReport
	switches []*fakeSwitch
	tables   []*flowTable // of the switches, by number; they outlive connections
	links    []*grpc.ClientConn
	proofs   []*identity.Identity // of the hosts, by number, once they have joined
	acked    chan string
	wg       sync.WaitGroup
}

// newFleet returns a fleet that is not connected, with so many endpoints a host.
func newFleet(endpoints int) *fleet { return newFleetOf(fleetSize, endpoints) }

func newFleetOf(hosts, endpoints int) *fleet {
	f := &fleet{hosts: fakeHosts(hosts, endpoints), acked: make(chan string, hosts)}
	for range f.hosts {
		f.tables = append(f.tables, newFlowTable())
	}
	return f
}

// close ends all connections and waits for them.
func (f *fleet) close() {
	for _, s := range f.switches {
		s.conn.Close() // its serve returns
	}
	for _, l := range f.links {
		l.Close() // its stream ends
	}
	f.wg.Wait()
	f.switches, f.links = nil, nil
}

// addSwitch starts a switch on a connection.
func (f *fleet) addSwitch(dpid uint64, conn net.Conn, flows *flowTable) {
	s := newFakeSwitch(dpid, conn, flows)
	f.switches = append(f.switches, s)
	f.wg.Go(func() {
		if err := s.serve(); err != nil {
			fmt.Fprintln(os.Stderr, "daoli-bench: fake switch:", err)
		}
	})
}

// answers is how many PacketOuts all switches got so far.
func (f *fleet) answers() (n uint64) {
	for _, s := range f.switches {
		n += s.answers.Load()
	}
	return n
}

// join gives each host an identity in the controller's cluster, below dir, by a
// token for all of them. One that has joined keeps it.
func (f *fleet) join(ctx context.Context, dir string, controller *api.Client) error {
	if len(f.proofs) > 0 {
		return nil
	}
	t, err := controller.CreateJoinToken(ctx, api.JoinTokenRequest{Uses: len(f.hosts)})
	if err != nil {
		return err
	}
	for i := range f.hosts {
		id, err := identity.Join(ctx, identity.JoinConfig{
			Dir: filepath.Join(dir, f.hosts[i].Name), Controller: t.Controllers[0], Token: t.Token, CAHash: t.CAHash, Host: f.hosts[i].Name,
		})
		if err != nil {
			return err
		}
		f.proofs = append(f.proofs, id)
	}
	return nil
}

// dialSwitch connects as the switch of host i does.
func (f *fleet) dialSwitch(ctx context.Context, i int, addr string) (net.Conn, error) {
	c := f.proofs[i].TLS()
	c.NextProtos = nil // OpenFlow has no name there
	d := tls.Dialer{Config: c}
	return d.DialContext(ctx, "tcp", addr)
}

// addHost reports a host, with its endpoints, until the fleet is closed.
func (f *fleet) addHost(ctx context.Context, addr string, i int) error {
	r := &f.hosts[i]
	cc, err := grpc.NewClient("passthrough:"+addr, grpc.WithTransportCredentials(credentials.NewTLS(f.proofs[i].TLS())))
	if err != nil {
		return fmt.Errorf("connect host %s: %w", r.Name, err)
	}
	f.links = append(f.links, cc)
	stream, err := hostpb.NewHostLinkClient(cc).Connect(ctx)
	if err == nil {
		err = stream.Send(&hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: helloOf(r)}})
	}
	if err != nil {
		return fmt.Errorf("connect host %s: %w", r.Name, err)
	}
	f.wg.Go(func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return // the fleet is closed, or the controller ended
			}
			if a := m.GetAck(); a != nil {
				problem := ""
				if len(a.GetErrors()) > 0 {
					problem = a.GetErrors()[0].GetText()
				}
				f.acked <- problem
			}
		}
	})
	return nil
}

func helloOf(r *inventory.HostReport) *hostpb.Hello {
	u := &r.Uplink
	h := &hostpb.Hello{Host: r.Name, BootId: r.BootID, Dpid: r.DPID, Uplink: &hostpb.Uplink{
		Ofport: u.Port, Mac: u.MAC[:], Ip: u.Addr.Addr().AsSlice(), PrefixLen: uint32(u.Addr.Bits()),
		NextHopIp: u.NextHop.AsSlice(), NextHopMac: u.NextHopMAC[:], Mtu: uint32(u.MTU),
	}}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		h.Endpoints = append(h.Endpoints, &hostpb.Endpoint{
			Name: e.Name, Tenant: e.Tenant, Vpc: e.VPC, Subnet: e.Subnet, Ip: e.IP.AsSlice(), Mac: e.MAC[:], Ofport: e.Port,
		})
	}
	return h
}

// ours is a real controller process and its fleet, on loopback.
type ours struct {
	*fleet
	process *child
	dir     string
	specs   string // the directory that it watches

	binaries string
}

var listens = regexp.MustCompile(`msg="controller started".* openflow=(\S+) hosts=(\S+)`)

// startOurs starts daoli-reconcile and connects a fleet to it; when it returns,
// all endpoints' flows are in the switches.
func startOurs(ctx context.Context, binaries string, endpoints int, rules ...string) (*ours, error) {
	return startOursOf(ctx, binaries, fleetSize, endpoints, rules...)
}

// startOursOf is startOurs with so many hosts.
func startOursOf(ctx context.Context, binaries string, hosts, endpoints int, rules ...string) (o *ours, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not ready within 30 s"))
	defer cancel()
	dir, err := os.MkdirTemp("", "dlb")
	if err != nil {
		return nil, err
	}
	o = &ours{fleet: newFleetOf(hosts, endpoints), dir: dir, specs: filepath.Join(dir, "specs")}
	defer func() {
		if err != nil {
			o.stop()
		}
	}()
	if err := os.CopyFS(o.specs, oneTenant(rules...)); err != nil {
		return nil, err
	}
	o.binaries = binaries
	return o, o.start(ctx)
}

// start starts the controller, and connects a switch and a host of each report.
func (o *ours) start(ctx context.Context) error {
	var err error
	o.process, err = startChild("", filepath.Join(o.binaries, "daoli-reconcile"), "--watch", o.specs,
		"--openflow", "127.0.0.1:0", "--hosts-listen", "127.0.0.1:0", "--advertise", "127.0.0.1",
		"--socket", filepath.Join(o.dir, "s"), "--state-dir", filepath.Join(o.dir, "state"))
	if err != nil {
		return err
	}
	var at []string
	if err := o.process.await(ctx, "the controller's addresses", func() error {
		if at = listens.FindStringSubmatch(o.process.log.String()); at == nil {
			return errors.New("not logged yet")
		}
		return nil
	}); err != nil {
		return err
	}
	if err := o.join(ctx, filepath.Join(o.dir, "hosts"), api.NewClient(filepath.Join(o.dir, "s"))); err != nil {
		return fmt.Errorf("have the hosts join: %w", err)
	}
	return o.connect(ctx, at[1], at[2])
}

// connect connects a switch and a host of each report, and waits until the
// controller has said that their endpoints are in.
func (o *ours) connect(ctx context.Context, openflowAddr, hostsAddr string) error {
	for i := range o.hosts {
		conn, err := o.dialSwitch(ctx, i, openflowAddr)
		if err != nil {
			return fmt.Errorf("connect a switch: %w", err)
		}
		o.addSwitch(o.hosts[i].DPID, conn, o.tables[i])
		// The stream outlives ctx: the fleet's end is its end.
		if err := o.addHost(context.WithoutCancel(ctx), hostsAddr, i); err != nil {
			return err
		}
	}
	for range o.hosts {
		select {
		case problem := <-o.acked:
			if problem != "" {
				return fmt.Errorf("the controller refused an endpoint: %s", problem)
			}
		case <-o.process.done:
			return fmt.Errorf("the controller ended:\n%s", o.process.log.tail(2000))
		case <-ctx.Done():
			return fmt.Errorf("wait for the hosts to be acknowledged: %w:\n%s", context.Cause(ctx), o.process.log.tail(2000))
		}
	}
	return nil
}

func (o *ours) stop() {
	o.close()
	if o.process != nil {
		o.process.stop()
	}
	os.RemoveAll(o.dir)
}

package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// window is how many lifted frames of a switch wait for an answer at a time.
const window = 64

// load is what a controller did under a fleet's load.
type load struct {
	answers float64 // a second
	cpu     float64 // microseconds an answer
}

// measureSockets has 16 fake switches lift frames as fast as a controller
// answers them, each the first of a session between two hosts: ours decides, and
// answers with flows for two switches and the packet; ovs-testcontroller learns
// an address, and answers with a flow for one.
func measureSockets(ctx context.Context, e *Env) ([]Value, error) {
	if _, err := exec.LookPath("ovs-testcontroller"); err != nil {
		return nil, fmt.Errorf("%w: install openvswitch-testcontroller (make bench does)", err)
	}
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	var cpuOurs, cpuTheirs []float64
	side := func(run func(context.Context, *Env) (load, error), cpu *[]float64) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			l, err := run(ctx, e)
			*cpu = append(*cpu, l.cpu)
			return l.answers, err
		}
	}
	ratio, a, b, err := alternate(ctx, e.Effort.Rounds,
		side(func(ctx context.Context, e *Env) (load, error) { return loadOurs(ctx, e, binaries) }, &cpuOurs),
		side(loadTestcontroller, &cpuTheirs))
	if err != nil {
		return nil, err
	}
	var ratios []float64
	for i := range cpuOurs {
		ratios = append(ratios, cpuOurs[i]/cpuTheirs[i])
	}
	return []Value{
		{Line: "sockets-answers", Quantity: Quantity{ratio, Ratio},
			Note: fmt.Sprintf("%s; ovs-testcontroller %s", Quantity{a, PerSecond}, Quantity{b, PerSecond})},
		{Line: "sockets-cpu", Quantity: Quantity{median(ratios), Ratio},
			Note: fmt.Sprintf("%s; ovs-testcontroller %s", Quantity{median(cpuOurs), Microseconds}, Quantity{median(cpuTheirs), Microseconds})},
	}, nil
}

func loadOurs(ctx context.Context, e *Env, binaries string) (load, error) {
	const endpoints = 8
	o, err := startOurs(ctx, binaries, endpoints)
	if err != nil {
		return load{}, err
	}
	defer o.stop()
	return o.run(ctx, e.Effort.Round, o.process, func(i int) func(int) (uint32, []byte) {
		return func(n int) (uint32, []byte) { return crossHost(o.hosts, i, n) }
	})
}

// crossHost is the n-th opener of host i, each of another session to another
// host than the one before.
func crossHost(hosts []inventory.HostReport, i, n int) (uint32, []byte) {
	others := len(hosts) - 1
	to := &hosts[(i+1+n%others)%len(hosts)]
	n /= others
	from := &hosts[i].Endpoints[n%len(hosts[i].Endpoints)]
	n /= len(hosts[i].Endpoints)
	server := &to.Endpoints[n%len(to.Endpoints)]
	n /= len(to.Endpoints)
	if n >= 65000 {
		return 0, nil
	}
	return from.Port, opener(from, server, packet.TCP, 40000, uint16(1+n))
}

// loadTestcontroller starts ovs-testcontroller, which connects to switches that
// listen on loopback, by TLS as ours does.
func loadTestcontroller(ctx context.Context, e *Env) (load, error) {
	f := newFleet(8)
	defer f.close()
	dir, err := os.MkdirTemp("", "dlb")
	if err != nil {
		return load{}, err
	}
	defer os.RemoveAll(dir)
	server, files, err := testcontrollerTLS(dir)
	if err != nil {
		return load{}, err
	}
	argv := append([]string{"ovs-testcontroller", "-O", "OpenFlow13", "--unixctl=none"}, files...)
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for range fleetSize {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return load{}, err
		}
		listeners = append(listeners, l)
		argv = append(argv, "ssl:"+l.Addr().String())
	}
	c, err := startChild("", argv...)
	if err != nil {
		return load{}, err
	}
	defer c.stop()
	for i, l := range listeners {
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return load{}, err
		}
		conn, err := l.Accept()
		if err != nil {
			return load{}, fmt.Errorf("wait for ovs-testcontroller: %w: %s", err, c.log.tail(500))
		}
		f.addSwitch(f.hosts[i].DPID, tls.Server(conn, server), f.tables[i])
	}
	if err := f.teach(ctx, c); err != nil {
		return load{}, err
	}
	return f.run(ctx, e.Effort.Round, c, func(i int) func(int) (uint32, []byte) {
		return func(n int) (uint32, []byte) { return local(&f.hosts[i], n) }
	})
}

// testcontrollerTLS makes a CA of its own: for the switches, and in files for
// ovs-testcontroller, whose arguments for them it returns.
func testcontrollerTLS(dir string) (*tls.Config, []string, error) {
	now := time.Now()
	ca, err := trust.NewCA(rand.Reader, now)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := ca.SignHost(rand.Reader, "testcontroller", &key.PublicKey, now, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	ours, err := ca.SignController(rand.Reader, "switches", []string{"127.0.0.1"}, &key.PublicKey, now, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	var argv []string
	for option, text := range map[string][]byte{
		"--private-key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"--certificate": trust.CertificatePEM(theirs),
		"--ca-cert":     trust.CertificatePEM(ca.Cert),
	} {
		file := filepath.Join(dir, option[2:]+".pem")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, nil, err
		}
		argv = append(argv, option+"="+file)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{ours.Raw}, PrivateKey: key}},
		ClientAuth:   tls.RequireAnyClientCert,
	}, argv, nil
}

// local is the n-th frame between two endpoints of one host, addressed by their
// hardware addresses.
func local(h *inventory.HostReport, n int) (uint32, []byte) {
	k := len(h.Endpoints)
	from, to := &h.Endpoints[n%k], &h.Endpoints[(n+1+n/k%(k-1))%k]
	return from.Port, bridged(from, to, uint16(n))
}

// bridged is an opener that a bridge takes to its destination.
func bridged(from, to *inventory.EndpointReport, port uint16) []byte {
	frame := opener(from, to, packet.TCP, 40000, port)
	copy(frame, to.MAC[:])
	return frame
}

// teach lets a learning switch see each endpoint once.
func (f *fleet) teach(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for i, s := range f.switches {
		select {
		case <-s.up: // before, it would drop what is lifted
		case <-ctx.Done():
			return fmt.Errorf("wait for ovs-testcontroller to greet: %w: %s", ctx.Err(), c.log.tail(500))
		}
		h := &f.hosts[i]
		if err := s.lift(len(h.Endpoints), func(n int) (uint32, []byte) {
			if n >= len(h.Endpoints) {
				return 0, nil
			}
			return local(h, n)
		}); err != nil {
			return err
		}
	}
	return c.await(ctx, "ovs-testcontroller to learn", func() error {
		if n, want := f.answers(), uint64(len(f.switches)*len(f.hosts[0].Endpoints)); n < want {
			return fmt.Errorf("%d of %d frames answered", n, want)
		}
		return nil
	})
}

// run loads a controller for about d. frames gives the frames of switch i.
func (f *fleet) run(ctx context.Context, d time.Duration, c *child, frames func(i int) func(n int) (uint32, []byte)) (load, error) {
	for i, s := range f.switches {
		s.rest()
		if err := s.lift(window, frames(i)); err != nil {
			return load{}, err
		}
	}
	if err := pause(ctx, d/4); err != nil { // until all is warm
		return load{}, err
	}
	cpu, err := c.cpu()
	if err != nil {
		return load{}, err
	}
	before, begin := f.answers(), time.Now()
	if err := pause(ctx, d); err != nil {
		return load{}, err
	}
	after, spent := f.answers(), time.Since(begin)
	end, err := c.cpu()
	if err != nil {
		return load{}, err
	}
	if after == before {
		return load{}, errors.New("no frame was answered: " + filepath.Base(c.name) + ": " + c.log.tail(1000))
	}
	n := float64(after - before)
	return load{answers: n / spent.Seconds(), cpu: (end - cpu).Seconds() * 1e6 / n}, nil
}

// pause lets time pass while others work.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// settleTime bounds how long after a restart anything may still not work. TCP
// and Open vSwitch both wait longer and longer between two tries, and without
// its database Open vSwitch's userspace datapath stands still.
const settleTime = time.Minute

// The VPC of these tests: clients may speak to servers, servers to nobody, so a
// packet of a server that finds no session is nothing but an answer.
const (
	killFile  = "tenants/acme/kill.yaml"
	killSpecs = `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: kill, tenant: acme}
spec:
  subnets: [{name: one, cidr: 10.4.0.0/24}, {name: two, cidr: 10.4.1.0/24}]
  default: deny
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: servers, tenant: acme, vpc: kill}
spec:
  ingress:
    - {from: [{subnet: one}], ports: [tcp/9001]}
    - {from: [{subnet: one}], ports: [tcp/9002, tcp/9003, udp/9004]}
    - {from: [{subnet: one}], ports: [tcp/10000-10999]}
`
	streamPort, clientFirstPort, serverFirstPort, askPort, forbiddenPort = 9001, 9002, 9003, 9004, 9005
)

// startKill brings up two hosts for these tests.
func startKill(t *testing.T, d time.Duration) *fabric {
	t.Helper()
	f := start(t, 2)
	f.forKilling(d)
	return f
}

// forKilling gives a fabric the VPC of these tests, and d.
func (f *fabric) forKilling(d time.Duration) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	f.t.Cleanup(cancel)
	f.ctx = ctx
	first := f.revision()
	f.write(killFile, killSpecs)
	f.next(first)
}

// killing is a fabric with connections that outlive what is done to it.
type killing struct {
	*fabric
	streams      []*stream
	clientsFirst []link
	serversFirst []link
	askers       []*asker
	pairs        [][2]*netns.Endpoint // client and server
	clean        []string             // the state, before anything died
}

func startKilling(t *testing.T, d time.Duration) *killing {
	t.Helper()
	f := startKill(t, d)
	near, far := f.attach("h1:acme/kill/one/client1"), f.attach("h2:acme/kill/one/client2")
	routed, bridged := f.attach("h1:acme/kill/two/server1", "servers"), f.attach("h2:acme/kill/one/server2", "servers")
	return f.killing(near, far, routed, bridged)
}

// killing connects clients and servers: a client on each host, a server in
// another subnet beside the first, and one in theirs beside the second.
func (f *fabric) killing(near, far, routed, bridged *netns.Endpoint) *killing {
	f.t.Helper()
	k := &killing{fabric: f}
	k.join(routed, near, far)
	k.join(bridged, near)
	for _, s := range k.streams {
		s.flow(true)
	}
	for _, a := range k.askers {
		a.on.Store(true)
	}
	k.progress()
	k.hush()
	k.speak("hello")
	f.within(settleTime, "all sessions", func() (err error) {
		k.clean, err = f.state()
		if n := len(f.sessions()); err == nil && n != 12 {
			err = fmt.Errorf("%d sessions; want 12", n)
		}
		return err
	})
	k.asBefore("right after the start")
	return k
}

// join makes the connections between a server and its clients. Those whose
// client speaks first come from a low source port, which has a wire port of its
// own.
func (k *killing) join(server *netns.Endpoint, clients ...*netns.Endpoint) {
	k.t.Helper()
	streams, first, second := k.listen(server, streamPort), k.listen(server, clientFirstPort), k.listen(server, serverFirstPort)
	k.serveUDP(server, askPort, "")
	for _, c := range clients {
		k.pairs = append(k.pairs, [2]*netns.Endpoint{c, server})
		s := k.startStream(k.connect(c, server, 0, streams))
		k.streams = append(k.streams, s)
		k.clientsFirst = append(k.clientsFirst, k.connect(c, server, 999, first))
		k.serversFirst = append(k.serversFirst, k.connect(c, server, 0, second))
		a := k.startAsker(c, server, askPort)
		k.t.Cleanup(a.close)
		k.askers = append(k.askers, a)
	}
}

func (k *killing) with(t *testing.T) *killing {
	sub := *k
	sub.fabric = k.fabric.with(t)
	return &sub
}

func (k *killing) traffic(on bool) {
	for _, s := range k.streams {
		s.flow(on)
	}
	for _, a := range k.askers {
		a.on.Store(on)
	}
}

// progress waits until each transfer got on and each asker has a new answer.
func (k *killing) progress() {
	k.t.Helper()
	streams, asked := make([]int64, len(k.streams)), make([]int64, len(k.askers))
	for i, s := range k.streams {
		streams[i] = s.sent.Load() + streamChunk // what was under way when it broke off came too
	}
	for i, a := range k.askers {
		asked[i] = a.asked.Load()
	}
	k.within(settleTime, "transfers and datagrams to go on", func() error {
		var errs []error
		for i, s := range k.streams {
			errs = append(errs, s.moved(streams[i]))
		}
		for i, a := range k.askers {
			if got := a.answered.Load(); got <= asked[i] {
				errs = append(errs, fmt.Errorf("%s: %d of %d answered", a.name, got, a.asked.Load()))
			}
		}
		return errors.Join(errs...)
	})
}

// hush stops all traffic, and waits until what is under way has come.
func (k *killing) hush() {
	k.t.Helper()
	k.traffic(false)
	k.within(settleTime, "the traffic's end", func() error {
		var errs []error
		for _, s := range k.streams {
			errs = append(errs, s.moved(s.sent.Load()-1))
		}
		for _, a := range k.askers {
			errs = append(errs, a.wrong())
		}
		return errors.Join(errs...)
	})
}

// speak has all idle connections used at once, each by the end whose turn it is.
func (k *killing) speak(text string) {
	k.t.Helper()
	errs := make([]error, len(k.clientsFirst)+len(k.serversFirst))
	var all sync.WaitGroup
	for i, c := range k.clientsFirst {
		all.Go(func() { errs[i] = c.speak(false, text, settleTime) })
	}
	for i, c := range k.serversFirst {
		all.Go(func() { errs[len(k.clientsFirst)+i] = c.speak(true, text, settleTime) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		k.t.Fatal(err)
	}
}

// judges sees that each client is told of what it may not open, which nothing but
// the controller knows: new packets reach it, and its answers the client.
func (k *killing) judges() {
	k.t.Helper()
	for _, p := range k.pairs {
		if _, err := k.tryDial(p[0], "tcp4", 0, p[1].AddrPort(forbiddenPort), settleTime); !errors.Is(err, syscall.ECONNREFUSED) {
			k.t.Errorf("%s opens what it may not at %s: %v; want connection refused", p[0].Name, p[1].Name, err)
		}
	}
}

// asBefore waits until all is as it was before anything died.
func (k *killing) asBefore(when string) {
	k.t.Helper()
	k.within(settleTime, "the state of a clean start "+when, func() error {
		now, err := k.state()
		if err == nil {
			err = differ(k.clean, now)
		}
		return err
	})
}

// within is eventually with a time of its own.
func (f *fabric) within(d time.Duration, what string, ready func() error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, d)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.t.Fatalf("wait for %s: %v", what, err)
		}
	}
}

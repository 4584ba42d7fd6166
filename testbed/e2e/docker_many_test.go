//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

var dockerMany = flag.Int("docker-many", 20, "containers that one host has at once, and that come and go")

// TestDockerManyContainersComeAndGo has one host have many containers at once,
// each of which another host reaches, and then as many come and go one by one on
// both. Nothing of any of them is left.
func TestDockerManyContainersComeAndGo(t *testing.T) {
	f := startDocker(t, netns.Options{Hosts: 2})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute+time.Duration(*dockerMany)*4*time.Second)
	defer cancel()
	f.ctx = ctx
	peer := f.in(f.run("h2", "peer", acmeWide), acmeWide)
	before := f.left()
	began := time.Now()
	const abreast = 4
	errs := make([]error, abreast)
	var wg sync.WaitGroup
	for worker := range abreast {
		wg.Go(func() {
			for i := worker; i < *dockerMany && errs[worker] == nil; i += abreast {
				errs[worker] = f.joins(peer, fmt.Sprint("many", i))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d containers on one host, each reached, after %s: %s each", *dockerMany, time.Since(began).Round(time.Millisecond),
		(time.Since(began) / time.Duration(*dockerMany)).Round(time.Millisecond))
	names := []string{"rm", "--force"}
	for i := range *dockerMany {
		names = append(names, fmt.Sprint("many", i))
	}
	began = time.Now()
	for batch := range slices.Chunk(names[2:], 25) {
		f.do("h1", slices.Concat(names[:2], batch)...)
	}
	f.leaves(before)
	t.Logf("nothing was left of them %s after the first was removed", time.Since(began).Round(time.Millisecond))
	f.comeAndGo(min(*dockerMany/2, 20)) // on each host: the subnet has 254 addresses, and those given back rest
	f.leaves(before)
}

// joins runs a container on h1, which peer must reach.
func (f *fabric) joins(peer *netns.Endpoint, name string) error {
	c, err := f.docker("h1").Run(f.ctx, name, acmeWide, greeting(80)...)
	if err != nil {
		return err
	}
	// By TCP: one client may hold no more than 128 ping sessions.
	ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := inside.Dial(ctx, peer.Namespace, "tcp4", 0, c.Endpoint(acmeWide).AddrPort(80))
		if err == nil {
			return conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // it does not listen yet
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

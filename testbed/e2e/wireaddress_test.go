//go:build e2e

package e2e_test

import (
	"testing"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// TestWireAddressesOfTheirOwnCarryEverything: hosts whose wire has an address of
// its own, on a macvlan, reach each other by it alone.
func TestWireAddressesOfTheirOwnCarryEverything(t *testing.T) {
	f := startWith(t, netns.Options{Hosts: 2, WireAddresses: true})
	client, server := f.attach("h1:acme/wide/one/client"), f.attach("h2:acme/wide/two/server")
	wire := f.capture(f.Hosts[1].Namespace, netns.Uplink)
	f.serveTCP(server, 80, "tcp ")
	f.serveUDP(server, 53, "udp ")
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(80)), "tcp ", "hello")
	f.exchange(f.dial(client, "udp4", 0, server.AddrPort(53)), "udp ", "hello")
	if err := f.ping(client, server.Addr); err != nil {
		t.Error(err)
	}
	f.transfer(client, server)
	f.await(wire, "a packet between the wire's addresses", func(c *inside.Captured) bool {
		return c.Src == f.Hosts[0].WireAddr().Addr() && c.Dst == f.Hosts[1].WireAddr().Addr()
	})
	if got := len(f.flows("h1", "cookie=0x100000000000000/-1")); got != 18 {
		t.Errorf("%d base flows; want 18", got)
	}
}

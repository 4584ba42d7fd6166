//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// An address of a host or of a controller is never outside: packets to it meet
// silence, whatever it is on the underlay. Outside, with no egress, they would
// meet a reject; that an address beside does.
func TestAddressesOfHostsAndControllersAreDroppedInSilence(t *testing.T) {
	f := start(t, 2)
	client, server := f.attach("h1:acme/wide/one/client"), f.attach("h2:acme/wide/two/server")
	f.serveUDP(server, 53, "")
	controller, second := f.Controller.Addr().Addr(), netip.MustParseAddr("198.51.100.9")

	f.refused(client, controller.Next())
	f.refused(client, second)
	f.inHost("h2", "ip", "addr", "add", second.String()+"/32", "dev", "lo")
	f.eventually("the report of another address", func() error {
		_, err := f.tryDial(client, "tcp4", 0, netip.AddrPortFrom(second, 81), 300*time.Millisecond)
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("connect to it = %v", err)
		}
		return nil
	})
	for name, addr := range map[string]netip.Addr{
		"controller": controller, "another address of a host": second, "a host": f.Host("h2").Addr.Addr(),
	} {
		t.Run(name, func(t *testing.T) { f.with(t).silent(client, addr, server.AddrPort(53)) })
	}

	f.inHost("h2", "ip", "addr", "del", second.String()+"/32", "dev", "lo")
	f.eventually("the report of an address less", func() error {
		_, err := f.tryDial(client, "tcp4", 0, netip.AddrPortFrom(second, 82), 300*time.Millisecond)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("connect to it = %v", err)
		}
		return nil
	})
}

// inHost runs a command in a host's namespace.
func (f *fabric) inHost(host string, argv ...string) {
	f.t.Helper()
	var out []byte
	err := inside.Do(f.Host(host).Namespace, func() (err error) {
		out, err = exec.CommandContext(f.ctx, argv[0], argv[1:]...).CombinedOutput()
		return err
	})
	if err != nil {
		f.t.Fatalf("%v on %s: %v: %s", argv, host, err, out)
	}
}

// refused expects the answer that an address outside gives where no egress is.
func (f *fabric) refused(client *netns.Endpoint, addr netip.Addr) {
	f.t.Helper()
	if _, err := f.tryDial(client, "tcp4", 0, netip.AddrPortFrom(addr, 80), 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		f.t.Errorf("connect to %s = %v; want connection refused", addr, err)
	}
}

// silent sends packets of all protocols to an address, and expects that they are
// counted as address-reserved, that nothing answers and that nothing of them is
// on the wire.
func (f *fabric) silent(client *netns.Endpoint, addr netip.Addr, honest netip.AddrPort) {
	f.t.Helper()
	before := f.denied("address-reserved")
	answers, wire, dev := f.capture(client.Namespace, "eth0"), f.wire("h1"), f.device(client)
	for _, fr := range ofAllProtocols(client, addr, gatewayMAC) {
		if err := dev.Send(fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
	f.eventually("three decisions", func() error {
		if n := f.denied("address-reserved") - before; n != 3 {
			return fmt.Errorf("%d packets were denied with address-reserved", n)
		}
		return nil
	})
	c := f.dial(client, "udp4", 0, honest)
	f.exchange(c, "", "first") // delivered by the controller, behind any answer of its
	f.exchange(c, "", "is honest")
	for _, got := range f.upTo(answers, "is honest") {
		if got.EthType == inside.EtherIPv4 && got.Dst == client.Addr && got.Src != honest.Addr() {
			f.t.Errorf("answer: %s", &got.Frame)
		}
	}
	for _, got := range f.upTo(wire, "is honest") {
		if got.Src == client.Addr || got.Dst == client.Addr || got.SrcPort == knownPort || net.HardwareAddr(got.EthSrc).String() == client.HWAddr {
			f.t.Errorf("on the wire: %s", &got.Frame)
		}
	}
}

// denied returns how many packets the controller denied for that reason.
func (f *fabric) denied(reason string) uint64 {
	f.t.Helper()
	s, err := f.Controller.API().Status(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.Decisions.Reasons[reason]
}

//go:build e2e

package e2e_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func TestRandomFramesAndMessagesStopNothing(t *testing.T) {
	f := start(t, 2)
	client := f.attach("h1:acme/wide/one/client")
	server := f.attach("h2:acme/wide/two/server")
	villain := f.attach("h1:acme/wide/one/villain")
	f.serveTCP(server, 80, "")
	f.serveTCP(server, 81, "")
	live := f.dial(client, "tcp4", 0, server.AddrPort(80))
	f.exchange(live, "", "before")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	dev := f.device(villain)
	for _, frame := range knownKillers(villain) {
		if err := dev.Send(frame); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		// A full queue of the device is no failure of the fabric.
		dev.Send(randomFrame(rng, villain, server))
	}
	f.exchange(live, "", "after random frames")

	for i := range 200 {
		f.sendGarbage(rng, "h2", netns.OpenFlowPort, openFlowGarbage(rng, i%4))
		f.sendGarbage(rng, "h2", netns.HostsPort, randomBytes(rng, 1+rng.IntN(4000)))
	}
	f.exchange(live, "", "after random messages")
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(81)), "", "and new ones start")
	if err := f.Controller.AwaitHosts(f.ctx, 2); err != nil {
		t.Error(err)
	}
	if err := f.Controller.Process().Crashed(); err != nil {
		t.Error(err)
	}
}

// sendGarbage connects from a host to a port of the controller, sends, and
// hangs up, sometimes without a word.
func (f *fabric) sendGarbage(rng *rand.Rand, host string, port uint16, garbage []byte) {
	f.t.Helper()
	e := &netns.Endpoint{Namespace: f.Host(host).Namespace}
	addr := f.Controller.Addr().Addr()
	c, err := f.tryDial(e, "tcp4", 0, netip.AddrPortFrom(addr, port), 5*time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(garbage) // the controller may hang up first
	if rng.IntN(10) > 0 {
		c.Close()
	}
}

// openFlowGarbage is bytes of a connection: pure noise, or messages with a
// right header and a random body, behind a right HELLO or without.
func openFlowGarbage(rng *rand.Rand, kind int) []byte {
	if kind == 0 {
		return randomBytes(rng, 1+rng.IntN(3000))
	}
	var b []byte
	if kind > 1 {
		b = append(b, 4, 0, 0, 8, 0, 0, 0, 1)
	}
	if kind > 2 { // FEATURES_REPLY of a switch nobody knows
		b = append(b, 4, 6, 0, 32, 0, 0, 0, 2)
		b = append(b, randomBytes(rng, 24)...)
	}
	for range 20 {
		body := randomBytes(rng, rng.IntN(200))
		b = append(b, 4, byte(rng.IntN(32)))
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(body)))
		b = append(append(b, 0, 0, 0, 9), body...)
	}
	return b
}

// knownKillers are frames that stop decoders which trust lengths: IPv4 with
// impossible header lengths, an 802.1Q header at the frame's end, an IPv6
// option of length 254.
func knownKillers(e *netns.Endpoint) [][]byte {
	ip := (&inside.Frame{
		EthSrc: mac(e.HWAddr), EthDst: mac(gatewayMAC), EthType: inside.EtherIPv4, Proto: inside.UDP,
		Src: e.Addr, Dst: e.Addr, SrcPort: 1, DstPort: 2, Payload: make([]byte, 30),
	}).Bytes()
	var frames [][]byte
	for _, ihl := range []byte{0, 4, 15} {
		b := append([]byte(nil), ip...)
		b[14] = 0x40 | ihl
		frames = append(frames, b)
	}
	for _, n := range []int{14, 16, 18, 20, 33, 34, 35, 41} {
		frames = append(frames, append([]byte(nil), ip[:n]...))
	}
	vlan := append(append([]byte(nil), ip[:12]...), 0x81, 0)
	ipv6 := append(append([]byte(nil), ip[:12]...), 0x86, 0xdd, 0x60, 0, 0, 0, 2, 0, 0, 64)
	ipv6 = append(append(ipv6, make([]byte, 32)...), 59, 31, 1, 254)
	return append(frames, vlan, append(ipv6, make([]byte, 508)...))
}

// randomFrame is noise that gets past the port's check the more often the
// deeper its noise begins.
func randomFrame(rng *rand.Rand, from, to *netns.Endpoint) []byte {
	fr := dataFrame(from, to, uint16(rng.Uint32()), uint16(rng.Uint32()))
	fr.Proto = []byte{inside.ICMP, inside.TCP, inside.UDP, byte(rng.Uint32())}[rng.IntN(4)]
	fr.Flags, fr.ICMPType, fr.ICMPCode = byte(rng.Uint32()), byte(rng.IntN(16)), byte(rng.IntN(8))
	fr.TTL = byte(1 + rng.IntN(3))
	fr.Payload = randomBytes(rng, rng.IntN(200))
	b := fr.Bytes()
	noise := []int{0, 12, 14, 22, 34, len(b)}[rng.IntN(6)]
	if noise >= 34 && rng.IntN(2) == 0 {
		b = b[:14+rng.IntN(len(b)-14)]
	}
	copy(b[min(noise, len(b)):], randomBytes(rng, 20))
	return b
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

//go:build e2e

package e2e_test

import "testing"

// hazard is one thing that must not happen, in DESIGN's words. see makes the
// occasion for it, with its guard in force or taken out, and reports what it saw
// of it, or "".
type hazard struct {
	name string
	see  func(f *fabric, guarded bool) string
}

// TestHazards runs each hazard as built, and once with its guard taken out.
func TestHazards(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	hazards := []hazard{
		{"an expired NAT-in flow lets the host's stack answer", expiredFlow},
		{"two containers with the same source port to the same destination port", equalSourcePorts},
		{"a source port below 32768", lowSourcePort},
		{"overlapping addresses in two VPCs on one host", overlappingAddresses},
		{"a container that spoofs IP", spoofedIP},
		{"a container that spoofs MAC", spoofedMAC},
		{"a container that spoofs ARP", spoofedARP},
		{"a container that tags its frames", vlanTag},
		{"a wire packet forged by a container", forgedWirePacket},
		{"a wire packet forged by a container of the receiving host", forgedAtReceiver},
		{"a container talking to its host's address", talkingToItsHost},
		{"a container talking to another host's address", talkingToAnotherHost},
		{"a container talking to the controllers", talkingToTheControllers},
		{"a container talking to 169.254.x.x", talkingToLinkLocal},
		{"a container talking to broadcast and multicast", talkingToAll},
		{"B opening towards A through a reply flow", backwardsOpening},
		{"both ends opening from the same port", mirroredPorts},
		{"a revision that arrives half written", halfWritten},
		{"a container restarted with another address while sessions live", otherAddress},
		{"a decision that arrives after its revision", staleDecision},
		{"server's push on a connection whose flows are gone", pushWithoutFlows},
		{"a host process sending to a live wire port", hostProcess},
		{"a SYN from a client port in the wire range to a host service", clientInWireRange},
		{"UDP listeners in the wire range", udpListeners},
	}
	for _, h := range hazards {
		t.Run(h.name, func(t *testing.T) { bothWays(t, f, h) })
	}
}

// bothWays runs a hazard's two tests.
func bothWays(t *testing.T, f *fabric, h hazard) {
	t.Run("guarded", func(t *testing.T) {
		if seen := h.see(f.with(t), true); seen != "" {
			t.Errorf("saw the hazard: %s", seen)
		}
	})
	t.Run("unguarded", func(t *testing.T) {
		seen := h.see(f.with(t), false)
		if seen == "" && !t.Failed() {
			t.Error("did not see the hazard though nothing guards against it: the test is blind")
		}
		t.Log(seen)
	})
}

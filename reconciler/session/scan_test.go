package session_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// scan has web1 send a packet to each of so many ports of a server, and returns
// what became of them.
func (b *bench) scan(to string, from, n uint16, head func(sport, dport uint16) packet.Headers) (opened, denied int, drops []session.InstallDrop) {
	b.Helper()
	for port := range n {
		got := b.arrive(b.packet("web1", to, head(40000, from+port)))
		opened += len(all[session.Install](got))
		drops = append(drops, all[session.InstallDrop](got)...)
		for _, d := range all[session.Denied](got) {
			denied++
			if d.Result.Decision.Reason != policy.ReasonScan || d.Result.Decision.Verdict != policy.Drop {
				b.Errorf("denied: %+v; want a drop because of a scan", d.Result.Decision)
			}
		}
	}
	return opened, denied, drops
}

func TestScanOfAllowedPortsOpensFewSessionsAndIsDroppedInTheSwitch(t *testing.T) {
	for name, head := range map[string]func(sport, dport uint16) packet.Headers{"tcp": syn, "udp": udp} {
		for _, to := range []string{"web2", "db1"} { // on another host, and on the same
			t.Run(name+" to "+to, func(t *testing.T) {
				b := newBench(t)
				opened, denied, drops := b.scan(to, 1, 1000, head)
				if opened != 256 || denied != 744 {
					t.Errorf("opened %d sessions, denied %d packets; want 256, 744", opened, denied)
				}
				if len(drops) != 1 || !drops[0].Drop.AllPorts || !b.table.Dropping(drops[0].Drop.ID) {
					t.Fatalf("drops = %+v; want one of all ports", drops)
				}
				b.after(time.Second)
				if b.table.Dropping(drops[0].Drop.ID) {
					t.Error("the drop stands longer than a second")
				}
				if opened, _, drops = b.scan(to, 2000, 1000, head); opened != 32 || len(drops) != 1 {
					t.Errorf("a second later: opened %d, %d drops; want 32, 1", opened, len(drops))
				}
			})
		}
	}
}

func TestScanOfOneServerKeepsNobodyElseFromOpening(t *testing.T) {
	b := newBench(t)
	b.scan("web2", 1, 300, syn)
	for _, p := range []session.Packet{b.packet("web1", "db2", syn(40000, 80)), b.packet("db1", "web2", syn(40000, 80))} {
		if got := all[session.Install](b.arrive(p)); len(got) != 1 {
			t.Errorf("%s to %s opened nothing", p.Headers.Src, p.Headers.Dst)
		}
	}
}

// A client that opens no faster than that may go on for ever.
func TestSessionsOfAnUnhurriedClientAreNoScan(t *testing.T) {
	b := newBench(t)
	for port := range uint16(1000) {
		b.now = b.now.Add(unhurried)
		if got := all[session.Install](b.arrive(b.packet("web1", "db1", syn(40000, 1+port)))); len(got) != 1 {
			t.Fatalf("session %d was not opened", port)
		}
	}
}

// Live sessions between the two go on, with all their connections.
func TestScanLeavesLiveSessionsAlone(t *testing.T) {
	b := newBench(t)
	b.scan("web2", 1, 300, syn)
	b.now = b.now.Add(2 * time.Second)
	if got := b.arrive(b.packet("web1", "web2", syn(40001, 80))); len(all[session.Denied](got)) != 0 {
		t.Errorf("a further connection of a live session: %#v", got)
	}
}

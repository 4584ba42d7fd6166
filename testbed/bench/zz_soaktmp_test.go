package bench

import (
	"context"
	"testing"
	"time"
	"os"
	"os/exec"
	"fmt"
	"net/netip"
	"github.com/daolinet/daolinet/testbed/netns"
)

func TestTmpScale(t *testing.T) {
	ctx := context.Background()
	b, err := newBed(ctx, "/tmp/soakbin")
	if err != nil { t.Fatal(err) }
	defer b.Close()
	b.Hosts[0].Hostd().Kill()
	i := &impostor{from: b.Hosts[0].Namespace, to: netip.AddrPortFrom(b.Controller.Addr().Addr(), netns.HostsPort)}
	defer i.close()
	cpu := func(what string, f func()) {
		p := func() (c, v, v2 time.Duration) {
			c, _ = processCPU(b.Controller.Process().PID()); v, _ = processCPU(b.Hosts[0].Switch().PID()); v2, _ = processCPU(b.Hosts[1].Switch().PID()); return }
		c0, v0, w0 := p(); t0 := time.Now(); f(); c1, v1, w1 := p(); d := time.Since(t0)
		t.Logf("%s took %s: controller %.0f%% vswitchd1 %.0f%% vswitchd2 %.0f%%", what, d, 100*float64(c1-c0)/float64(d), 100*float64(v1-v0)/float64(d), 100*float64(w1-w0)/float64(d))
	}
	many := fullOf(b.reports[0], 2000)
	round := func(what string) { cpu(what, func() { l, err := paced(ctx, b, 200, 600); t.Log(what, l, err) }) }
	round("few")
	cpu("idle few", func() { time.Sleep(4*time.Second) })
	b.forget(ctx)
	cpu("report", func() { if err := i.report(ctx, &many); err != nil { t.Fatal(err) } })
	cpu("idle many", func() { time.Sleep(4*time.Second) })
	round("many")
	b.forget(ctx)
	cpu("open", func() { if err := b.openLocal(ctx, 10000); err != nil { t.Fatal(err) } })
	go func() {
		time.Sleep(500*time.Millisecond)
		out, err := exec.Command("perf", "record", "-o", "/tmp/soak.perf", "-g", "-p", fmt.Sprint(b.Hosts[0].Switch().PID()), "--", "sleep", "3").CombinedOutput()
		t.Log(string(out), err)
	}()
	cpu("idle sessions", func() { time.Sleep(4*time.Second) })
	round("many+sessions")
	round("many+sessions")
	out, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Hosts[0].Switch().PID()))
	_ = out
}

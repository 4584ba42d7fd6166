//go:build e2e

package e2e_test

import (
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

var dockerStarts = flag.Int("docker-starts", 100, "containers of each kind that speak the moment they start")

// TestDockerFirstPacketMeetsItsPolicy starts containers whose process does
// nothing but connect, the moment it starts. Those that may are never denied,
// also not because they are not known yet. Those that may not never get through,
// also not for a moment: they have, in turn, the very names and addresses of those
// that may, on the same host and on the other.
func TestDockerFirstPacketMeetsItsPolicy(t *testing.T) {
	f := startDocker(t, netns.Options{Hosts: 2})
	const lanes, port = 10, 5432
	db := f.in(f.run("h2", "db1", acmeDB), acmeDB)
	server, err := inside.ServeTCP(db.Namespace, netip.AddrPortFrom(netip.IPv4Unspecified(), port), "welcome")
	f.served(server, err)
	var wg sync.WaitGroup
	allowed := make([]int, lanes)
	for lane := range lanes {
		wg.Go(func() {
			host := f.Hosts[lane%2].Name
			for i := range *dockerStarts / lanes {
				if said, err := f.speaksAtOnce(host, lane, db.AddrPort(port), "web"); err != nil || said != "welcome" {
					t.Errorf("lane %d, container %d: may connect, and got %q, %v", lane, i, said, err)
					return
				}
				allowed[lane]++
				if said, err := f.speaksAtOnce(host, lane, db.AddrPort(port), "others"); err == nil || said != "" {
					t.Errorf("lane %d, container %d: may not connect, and got %q, %v", lane, i, said, err)
					return
				}
				host = f.Hosts[(lane+i)%2].Name
			}
		})
	}
	wg.Wait()
	came := map[netip.Addr]int{}
	for _, p := range server.Peers() {
		came[p.Addr()]++
	}
	for lane, n := range allowed {
		if got := came[netip.MustParseAddr(laneAddr(lane))]; got != n {
			t.Errorf("%d connections came from %s, and %d of its containers might connect", got, laneAddr(lane), n)
		}
	}
	for reason, n := range f.status().Decisions.Reasons {
		if strings.Contains(reason, "unknown") && n != 0 {
			t.Errorf("%d packets were denied as of an %s", n, reason)
		}
	}
}

func laneAddr(lane int) string { return fmt.Sprintf("10.1.0.%d", 100+lane) }

// speaksAtOnce runs a container of a group whose process connects and says what
// it hears. Those of others, who are not answered, don't wait long: what counts is
// their first packet.
func (f *fabric) speaksAtOnce(host string, lane int, to netip.AddrPort, group string) (string, error) {
	wait := "3"
	if group == "others" {
		wait = "1"
	}
	return f.docker(host).Do(f.ctx, "run", "--rm", "--network", acmeWeb, "--name", fmt.Sprint("lane", lane), "--ip", laneAddr(lane), "--label", "daoli.groups="+group,
		netns.Image, "nc", "-w", wait, to.Addr().String(), fmt.Sprint(to.Port()))
}

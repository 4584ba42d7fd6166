//go:build e2e

package scenario_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/scenario"
)

// TestScenariosOnRealSwitches runs each scenario on namespaces with real Open
// vSwitch and the real programs: what arrives where, what becomes of
// connections, which flows come and go must be as in memory. Within a step the
// order is the machines' own.
func TestScenariosOnRealSwitches(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("namespaces need root")
	}
	binaries := os.Getenv("DAOLI_E2E_BINARIES")
	if binaries == "" {
		binaries = t.TempDir()
		if err := netns.Build(t.Context(), binaries); err != nil {
			t.Fatal(err)
		}
	}
	// Most of them wait most of the time, so several run side by side; t.Parallel
	// would allow no more than there are cores. Those that wait for minutes come
	// first: with one of them last, all wait for it.
	var wg sync.WaitGroup
	room := make(chan struct{}, 5)
	all := archives(t)
	longest := func(a, b string) int { return int(waits(t, all[b]) - waits(t, all[a])) }
	for _, name := range slices.SortedStableFunc(maps.Keys(all), longest) {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			t.Run(name, func(t *testing.T) { onReal(t, all[name], binaries) })
		})
	}
	wg.Wait()
}

// waits returns for how long a scenario lets time pass.
func waits(t *testing.T, path string) (sum time.Duration) {
	t.Helper()
	s, _ := load(t, path)
	for _, step := range s.Steps {
		if tick, ok := step.Step.(scenario.Tick); ok {
			sum += tick.D
		}
	}
	return sum
}

// flowsEnd is after how long some flows end by themselves: what drops, and what
// nobody answered.
const flowsEnd = 10 * time.Second

// onReal runs a scenario, and again if its steps took so long beyond what they wait
// for that flows ended of which memory, where they take no time, knows nothing.
func onReal(t *testing.T, path, binaries string) {
	for tries := 3; ; tries-- {
		began := time.Now()
		difference, logs := onceOnReal(t, path, binaries)
		took := (time.Since(began) - waits(t, path)).Round(time.Millisecond)
		if difference == "" || t.Failed() {
			return
		}
		if took < flowsEnd || tries == 1 {
			t.Fatalf("real switches and memory differ after %s (-memory +real):\n%s\n%s", took, difference, logs)
		}
		t.Logf("the steps took %s, in which flows end: once more, this differs:\n%s", took, difference)
	}
}

// onceOnReal returns how real switches and memory differ.
func onceOnReal(t *testing.T, path, binaries string) (difference, logs string) {
	t.Helper()
	s, _ := load(t, path)
	r, err := scenario.NewReal(t.Context(), t.TempDir(), binaries)
	if err != nil {
		t.Fatal(err)
	}
	got, err := scenario.Run(s, r)
	if err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log(r.Logs())
	}
	logs = r.Logs()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return cmp.Diff(shared(s.Want), shared(got)), logs
}

// shared returns what of a transcript both kinds of network must agree on, the
// lines of each step sorted: flows, connections, revisions, and which frames
// arrived where. Left out are the TTL of frames, since a packet that is lifted
// passes fewer routers and which are lifted is a race; and what stacks say to a
// TCP segment without SYN that arrived, which depends on the state that kernels
// keep of connections and Sim's stacks do not.
func shared(transcript string) []string {
	var out, step []string
	var head string
	flush := func() {
		step = withoutStacksOwn(strings.Fields(head), step)
		for i := range step {
			step[i] = ttl.ReplaceAllString(step[i], "")
		}
		slices.Sort(step)
		out, step = append(out, step...), nil
	}
	for line := range strings.Lines(scenario.Filter(transcript, scenario.Flows)) {
		if !strings.HasPrefix(line, "  ") {
			flush()
			head = line
			out = append(out, line)
			continue
		}
		step = append(step, line)
	}
	flush()
	return out
}

var ttl = regexp.MustCompile(` ttl=\d+`)

// withoutStacksOwn leaves out the arrivals of a packet step that follow from
// its frame's arrival, but for those with SYN.
func withoutStacksOwn(sent, lines []string) []string {
	if len(sent) < 4 || sent[0] != "packet" {
		return lines
	}
	tcpAt := func(line string) (at, flags string) {
		f := strings.Fields(line)
		if f[0] != "delivered" && f[0] != "local" || f[2] != "tcp" {
			return "", ""
		}
		return f[1], f[6]
	}
	first := func(line string) bool {
		at, flags := tcpAt(line)
		return at == sent[3] && slices.Contains(sent, flags)
	}
	if !slices.ContainsFunc(lines, first) {
		return lines
	}
	return slices.DeleteFunc(lines, func(line string) bool {
		at, flags := tcpAt(line)
		return at != "" && !first(line) && !strings.Contains(flags, "syn")
	})
}

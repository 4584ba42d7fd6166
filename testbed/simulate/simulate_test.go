package simulate_test

import (
	"flag"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/simulate"
)

var (
	span  = flag.Duration("simulate.for", 60*time.Second, "how long TestFreshSeeds runs; a second with -short")
	seeds = flag.Uint64("simulate.seed", 0, "its first seed; 0: the time")
)

// TestFreshSeeds runs seeds that nobody ran before.
func TestFreshSeeds(t *testing.T) {
	t.Parallel() // its time is fixed, whoever runs beside it
	library, err := simulate.NewLibrary()
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		*span = time.Second
	}
	first := *seeds
	if first == 0 {
		first = uint64(time.Now().UnixNano()) / 1e6 * 1000
	}
	const steps = 10_000
	var sum simulate.Stats
	seed := first
	for began := time.Now(); time.Since(began) < *span; seed++ {
		o := simulate.Options{Library: library, Seed: seed, Steps: steps}
		stats, f := simulate.Run(o)
		sum.Add(stats)
		if f != nil {
			_, trace := simulate.Repeat(o, 100)
			t.Fatalf("%s\n%v\nrepeat it with: make simulate SEED=%d STEPS=%d", strings.Join(trace, "\n"), f, seed, steps)
		}
	}
	t.Logf("seeds %d to %d: %+v", first, seed-1, sum)
	if sum.Worked == 0 || sum.Delivered == 0 {
		t.Errorf("%+v: nothing worked", sum)
	}
}

func TestSameSeedIsTheSameRun(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) uint64 {
		library, err := simulate.NewLibrary()
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		simulate.Run(simulate.Options{Library: library, Seed: seed, Steps: 5_000, Trace: func(line string) { h.Write([]byte(line)) }})
		return h.Sum64()
	}
	for seed := uint64(1); seed <= 3; seed++ {
		if first, second := run(seed), run(seed); first != second {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
	if run(1) == run(2) {
		t.Error("two seeds are the same run")
	}
}

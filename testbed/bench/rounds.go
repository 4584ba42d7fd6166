package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// percentile returns the value below which a share p, from 0 to 1, of all lies
// (nearest rank); NaN of none. It sorts v.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	rank := int(math.Ceil(p*float64(len(v)))) - 1
	return v[min(max(rank, 0), len(v)-1)]
}

// median returns the middle of v, for an even count the mean of the middle two;
// NaN of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	m := len(v) / 2
	if len(v)%2 == 1 {
		return v[m]
	}
	return (v[m-1] + v[m]) / 2
}

// alternate measures the subject and its peer in turns, first the one and then
// the other first, and returns the medians of the rounds' ratios, of the
// subject's and of the peer's numbers.
func alternate(ctx context.Context, rounds int, subject, peer func(context.Context) (float64, error)) (ratio, ours, theirs float64, err error) {
	var ratios, a, b []float64
	for i := range rounds {
		one, other, oneTo, otherTo := subject, peer, &a, &b
		if i%2 == 1 {
			one, other, oneTo, otherTo = peer, subject, &b, &a
		}
		for _, side := range []struct {
			run func(context.Context) (float64, error)
			to  *[]float64
		}{{one, oneTo}, {other, otherTo}} {
			v, err := side.run(ctx)
			if err != nil {
				return 0, 0, 0, fmt.Errorf("round %d of %d: %w", i+1, rounds, err)
			}
			*side.to = append(*side.to, v)
		}
		ratios = append(ratios, a[i]/b[i])
	}
	return median(ratios), median(a), median(b), nil
}

// cpuTime is what this process has used of all cores, so that what is measured
// by it doesn't depend on what else the machine does.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage of this process: %v", err)) // getrusage(2): only for wrong arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rate runs batches of an operation for about d of CPU time and returns
// operations a second of it. The batch returns how many it did.
func rate(ctx context.Context, d time.Duration, batch func() (int, error)) (float64, error) {
	n, begin := 0, cpuTime()
	for {
		done, err := batch()
		if err != nil {
			return 0, err
		}
		n += done
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if spent := cpuTime() - begin; spent >= d {
			return float64(n) / spent.Seconds(), nil
		}
	}
}

package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		v    []float64
		p    float64
		want float64
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
		{[]float64{7}, 0.99, 7}, {[]float64{3, 1, 2}, 0.99, 3}, {nil, 0.5, math.NaN()},
	} {
		if got := percentile(slices.Clone(c.v), c.p); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("percentile of %d values at %v = %v; want %v", len(c.v), c.p, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{9}, 9}} {
		if got := median(c.v); got != c.want {
			t.Errorf("median(%v) = %v; want %v", c.v, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v; want none", got)
	}
}

func TestAlternateTakesTurnsAndTheMedianOfRatios(t *testing.T) {
	var order strings.Builder
	next := func(name string, values ...float64) func(context.Context) (float64, error) {
		return func(context.Context) (float64, error) {
			order.WriteString(name)
			v := values[0]
			values = values[1:]
			return v, nil
		}
	}
	// Ratios 2, 1 and 10: a machine that is slow in one round meets both.
	ratio, ours, theirs, err := alternate(t.Context(), 3, next("s", 20, 1, 50), next("p", 10, 1, 5))
	if err != nil || ratio != 2 || ours != 20 || theirs != 5 || order.String() != "sppssp" {
		t.Errorf("alternate = %v, %v, %v, %v in the order %s; want 2, 20, 5 in the order sppssp", ratio, ours, theirs, err, &order)
	}
}

func TestAlternateStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	_, _, _, err := alternate(t.Context(), 3, func(context.Context) (float64, error) { return 1, nil },
		func(context.Context) (float64, error) { return 0, broken })
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "round 1 of 3") {
		t.Errorf("alternate = %v; want the error, with its round", err)
	}
}

func TestRateEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := rate(ctx, time.Hour, func() (int, error) {
		if n++; n == 3 {
			cancel()
		}
		return 1, nil
	})
	if !errors.Is(err, context.Canceled) || n != 3 {
		t.Errorf("rate = %v after %d batches; want canceled after 3", err, n)
	}
}

func TestCollectRefusesAValueInAnotherUnit(t *testing.T) {
	lines := []Line{{Name: "a", Target: atMost(1, Seconds)}}
	m := Measurement{Name: "m", Lines: []string{"a"}}
	for _, c := range []struct {
		name   string
		values []Value
		failed error
		want   string
	}{
		{"another unit", []Value{{Line: "a", Quantity: Quantity{3, Milliseconds}}}, nil, `line a is measured in "ms", its target in "s"`},
		{"no value", nil, nil, "measurement m gave no value for its line a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := collect(map[string]Row{}, lines, m, c.values, c.failed)
			if err == nil || err.Error() != c.want {
				t.Errorf("collect = %v; want %s", err, c.want)
			}
		})
	}
}

func TestAFailedMeasurementIsItsLinesError(t *testing.T) {
	failed := errors.New("no root")
	found := map[string]Row{}
	m := Measurement{Name: "m", Lines: []string{"a"}}
	values := []Value{{Line: "a"}} // half a measurement is none
	if err := collect(found, []Line{{Name: "a"}}, m, values, failed); err != nil || found["a"].Err != failed {
		t.Errorf("collect = %v, row %+v; want the row to carry the error", err, found["a"])
	}
}

func TestProcessCPUAndMemoryAreRead(t *testing.T) {
	if mb, err := residentMB(1); err != nil && !strings.Contains(err.Error(), "process 1") {
		t.Errorf("residentMB(1) = %v, %v", mb, err)
	}
	if _, err := processCPU(1 << 30); err == nil {
		t.Error("processCPU of no process gave no error")
	}
	if cpuTime() <= 0 {
		t.Error("this process has used no CPU")
	}
}

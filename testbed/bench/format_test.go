package bench_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/bench"
)

func TestQuantitiesHaveThreeDigits(t *testing.T) {
	for _, c := range []struct {
		q    bench.Quantity
		want string
	}{
		{bench.Quantity{Number: 0.81234, Unit: bench.Ratio}, "0.812x"},
		{bench.Quantity{Number: 1, Unit: bench.Ratio}, "1x"},
		{bench.Quantity{Number: 26.04, Unit: bench.Ratio}, "26x"},
		{bench.Quantity{Number: 400_000, Unit: bench.PerSecond}, "400,000/s"},
		{bench.Quantity{Number: 65_432.1, Unit: bench.PerSecond}, "65,400/s"},
		{bench.Quantity{Number: 1_234_567, Unit: bench.PerSecond}, "1,230,000/s"},
		{bench.Quantity{Number: 999.6, Unit: bench.PerSecond}, "1,000/s"},
		{bench.Quantity{Number: 999.4, Unit: bench.PerSecond}, "999/s"},
		{bench.Quantity{Number: 0.00012345, Unit: bench.Seconds}, "0.000123 s"},
		{bench.Quantity{Number: 2.5, Unit: bench.Milliseconds}, "2.5 ms"},
		{bench.Quantity{Number: 0, Unit: bench.Lost}, "0 packets"},
		{bench.Quantity{Number: 0.5, Unit: bench.Percent}, "0.5%"},
		{bench.Quantity{Number: math.NaN(), Unit: bench.Seconds}, "none s"},
		{bench.Quantity{Number: -1500, Unit: bench.Microseconds}, "-1,500 us"},
	} {
		if got := c.q.String(); got != c.want {
			t.Errorf("%v %s = %q; want %q", c.q.Number, c.q.Unit, got, c.want)
		}
	}
}

func target(b bench.Bound, n float64, u bench.Unit) bench.Target {
	return bench.Target{Bound: b, Limit: bench.Quantity{Number: n, Unit: u}}
}

func TestVerdictComparesValueAndTarget(t *testing.T) {
	for _, c := range []struct {
		name   string
		target bench.Target
		value  float64
		err    error
		want   bench.Verdict
	}{
		{"at least, above", target(bench.AtLeast, 0.8, bench.Ratio), 0.9, nil, bench.OK},
		{"at least, just met", target(bench.AtLeast, 0.8, bench.Ratio), 0.8, nil, bench.OK},
		{"at least, below", target(bench.AtLeast, 0.8, bench.Ratio), 0.799, nil, bench.Miss},
		{"at most, below", target(bench.AtMost, 6, bench.Milliseconds), 5.9, nil, bench.OK},
		{"at most, just met", target(bench.AtMost, 0, bench.Lost), 0, nil, bench.OK},
		{"at most, above", target(bench.AtMost, 0, bench.Lost), 1, nil, bench.Miss},
		{"what is not a number is missed", target(bench.AtMost, 1, bench.Seconds), math.NaN(), nil, bench.Miss},
		{"without a target there is none", bench.Target{}, 39, nil, ""},
		{"what was not measured failed", target(bench.AtLeast, 1, bench.Ratio), 2, errors.New("x"), bench.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bench.Row{Line: bench.Line{Target: c.target}, Value: bench.Quantity{Number: c.value, Unit: c.target.Limit.Unit}, Err: c.err}
			if got := r.Verdict(); got != c.want {
				t.Errorf("verdict = %q; want %q", got, c.want)
			}
		})
	}
}

func rows() []bench.Row {
	return []bench.Row{
		{
			Line:  bench.Line{Name: "sessions", What: "sessions a second | of a peer's", Target: target(bench.AtLeast, 0.8, bench.Ratio)},
			Value: bench.Quantity{Number: 0.91, Unit: bench.Ratio}, Note: "7,100/s; peer 7,800/s",
		},
		{
			Line:  bench.Line{Name: "latency-p99", What: "first packet", Target: target(bench.AtMost, 6, bench.Milliseconds)},
			Value: bench.Quantity{Number: 9.69, Unit: bench.Milliseconds},
		},
		{Line: bench.Line{Name: "allocated", What: "allocations"}, Value: bench.Quantity{Number: 39, Unit: bench.Each}},
		{Line: bench.Line{Name: "sockets", What: "answers", Target: target(bench.AtLeast, 1, bench.Ratio)}, Err: errors.New("no such program\nand what it logged")},
	}
}

func TestTable(t *testing.T) {
	const want = `LINE         VALUE    TARGET           BESIDE IT
sessions     0.91x    >= 0.8x  ok      7,100/s; peer 7,800/s
latency-p99  9.69 ms  <= 6 ms  MISS
allocated    39 each
sockets      -        >= 1x    FAILED  no such program
`
	if d := cmp.Diff(want, bench.Table(rows())); d != "" {
		t.Errorf("Table (-want +got):\n%s", d)
	}
}

func TestMarkdown(t *testing.T) {
	const want = `A machine, 2 cores

| what | value | target | | beside it |
| --- | --- | --- | --- | --- |
| sessions a second \| of a peer's | 0.91x | >= 0.8x | ok | 7,100/s; peer 7,800/s |
| first packet | 9.69 ms | <= 6 ms | MISS |  |
| allocations | 39 each |  |  |  |
| answers | - | >= 1x | FAILED | no such program |
`
	if d := cmp.Diff(want, bench.Markdown(rows(), "A machine, 2 cores")); d != "" {
		t.Errorf("Markdown (-want +got):\n%s", d)
	}
}

func TestJSONHasNoValueWhereNothingWasMeasured(t *testing.T) {
	b, err := bench.JSON(append(rows(), bench.Row{Value: bench.Quantity{Number: math.Inf(1), Unit: bench.Ratio}}), "A machine")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine string
		Rows    []struct {
			Line, Unit, Target, Verdict, Note, Error string
			Value                                    *float64
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var has []bool
	var verdicts []string
	for _, r := range got.Rows {
		has, verdicts = append(has, r.Value != nil), append(verdicts, r.Verdict)
	}
	if d := cmp.Diff([]bool{true, true, true, false, false}, has); d != "" {
		t.Errorf("rows with a value (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"ok", "MISS", "", "FAILED", ""}, verdicts); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
	if r := got.Rows[0]; got.Machine != "A machine" || *r.Value != 0.91 || r.Unit != "x" || r.Target != ">= 0.8x" || r.Note == "" || !strings.HasPrefix(got.Rows[3].Error, "no such program") {
		t.Errorf("JSON = %s", b)
	}
}

func TestMachineIsOneLine(t *testing.T) {
	m := bench.Machine()
	if strings.Count(m, ", ") < 6 || strings.Contains(m, "\n") || strings.Contains(m, "unknown") {
		t.Errorf("Machine() = %q; want seven parts in one line, all known", m)
	}
}

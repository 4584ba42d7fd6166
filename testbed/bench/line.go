package bench

import "fmt"

// Unit is what a number counts.
type Unit string

// Units of the report.
const (
	PerSecond    Unit = "/s"
	Milliseconds Unit = "ms"
	Microseconds Unit = "us"
	Seconds      Unit = "s"
	Ratio        Unit = "x"       // ours divided by the peer's
	Percent      Unit = "%"       // of one core
	Each         Unit = "each"    // of what the line speaks of
	Lost         Unit = "packets" // that did not arrive
	Megabytes    Unit = "MB"      // of 1,000,000 bytes
)

// Quantity is a number with its unit.
type Quantity struct {
	Number float64
	Unit   Unit
}

// Bound says on which side of its limit a good value lies.
type Bound uint8

// Bounds. None is a line that is only told.
const (
	None Bound = iota
	AtLeast
	AtMost
)

// Target is what a line promises.
type Target struct {
	Bound Bound
	Limit Quantity
}

// Line is one row of the report before it is measured.
type Line struct {
	Name   string // in lower case with dashes; --run matches it
	What   string // what is measured, for a reader who sees only the report
	Target Target
}

// Value is what was measured for a line.
type Value struct {
	Line string
	Quantity
	Note string // what the same run saw beside it, such as the peer's number
}

// Verdict says whether a target is met.
type Verdict string

// Verdicts. A line without a target has none.
const (
	OK     Verdict = "ok"
	Miss   Verdict = "MISS"
	Failed Verdict = "FAILED" // could not be measured
)

// Row is a measured line.
type Row struct {
	Line
	Value Quantity
	Note  string
	Err   error // why there is no value
}

// Verdict compares a row's value with its target.
func (r Row) Verdict() Verdict {
	switch {
	case r.Err != nil:
		return Failed
	case r.Target.Bound == AtLeast && r.Value.Number >= r.Target.Limit.Number:
		return OK
	case r.Target.Bound == AtMost && r.Value.Number <= r.Target.Limit.Number:
		return OK
	case r.Target.Bound == None:
		return ""
	}
	return Miss // also what is not a number
}

// join makes a value the row of its line.
func join(l Line, v Value) (Row, error) {
	if l.Target.Bound != None && v.Unit != l.Target.Limit.Unit {
		return Row{}, fmt.Errorf("line %s is measured in %q, its target in %q", l.Name, v.Unit, l.Target.Limit.Unit)
	}
	return Row{Line: l, Value: v.Quantity, Note: v.Note}, nil
}

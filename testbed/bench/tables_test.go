package bench_test

import (
	"regexp"
	"testing"

	"github.com/daolinet/daolinet/testbed/bench"
)

func TestEveryLineIsMeasuredByOneMeasurement(t *testing.T) {
	measured := map[string]string{}
	for _, m := range bench.Measurements() {
		for _, name := range m.Lines {
			if by, twice := measured[name]; twice {
				t.Errorf("line %s is measured by %s and by %s", name, by, m.Name)
			}
			measured[name] = m.Name
		}
	}
	for _, l := range bench.Lines() {
		if measured[l.Name] == "" {
			t.Errorf("line %s is measured by nobody", l.Name)
		}
		delete(measured, l.Name)
	}
	for name, by := range measured {
		t.Errorf("%s measures %s, which is no line of the table, or one that stands in it twice", by, name)
	}
}

func TestLinesAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)
	for _, l := range bench.Lines() {
		if !name.MatchString(l.Name) || l.What == "" {
			t.Errorf("line %q (%q): want a name in lower case with dashes, and what it is", l.Name, l.What)
		}
		if limit := l.Target.Limit; (l.Target.Bound == bench.None) != (limit == bench.Quantity{}) || l.Target.Bound != bench.None && limit.Unit == "" {
			t.Errorf("line %s has the target %+v; want a bound with a unit, or nothing", l.Name, l.Target)
		}
	}
}

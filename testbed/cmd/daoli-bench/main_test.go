package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/testbed/bench"
)

func run(args ...string) (stdout string, err error) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err = cmd.Execute()
	return out.String(), err
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want int
		text string
	}{
		{"a list", []string{"--list"}, 0, ""},
		{"an argument", []string{"fast"}, 2, "fast"},
		{"an unknown flag", []string{"--fast"}, 2, "--fast"},
		{"a broken expression", []string{"--run", "("}, 2, "--run"},
		{"an unknown format", []string{"-o", "xml"}, 2, `"xml": must be table, json or markdown`},
		{"no line", []string{"--run", "nothing-has-this-name"}, 2, "matches no line"},
		{"a null controller without hosts", []string{bench.NullCommand, "--hosts", "/no/such/file"}, 1, "/no/such/file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := run(c.args...)
			if got := exitCode(err); got != c.want {
				t.Errorf("exit code = %d (%v); want %d", got, err, c.want)
			}
			if c.text != "" && !strings.Contains(err.Error(), c.text) {
				t.Errorf("error = %q; want it to say %q", err, c.text)
			}
		})
	}
}

func TestListNamesLinesAndTargets(t *testing.T) {
	out, err := run("--list", "--run", "^engine-cached$|^idle-cpu$")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "engine-cached") || !strings.Contains(lines[0], ">= 400,000/s") || !strings.HasPrefix(lines[1], "idle-cpu") {
		t.Errorf("--list printed\n%s", out)
	}
}

func TestMissedTargetsFailOnlyIfStrict(t *testing.T) {
	row := func(v float64, err error) bench.Row {
		limit := bench.Quantity{Number: 1, Unit: bench.Ratio}
		return bench.Row{Line: bench.Line{Target: bench.Target{Bound: bench.AtLeast, Limit: limit}}, Value: bench.Quantity{Number: v, Unit: bench.Ratio}, Err: err}
	}
	missed, failed := []bench.Row{row(2, nil), row(0.5, nil)}, []bench.Row{row(2, nil), row(2, errors.New("no root"))}
	for _, c := range []struct {
		name   string
		rows   []bench.Row
		strict bool
		want   int
	}{
		{"all met", missed[:1], true, 0}, {"a miss", missed, false, 0}, {"a miss, strict", missed, true, 1}, {"a failure", failed, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(judge(c.rows, c.strict)); got != c.want {
				t.Errorf("exit code = %d; want %d", got, c.want)
			}
		})
	}
}

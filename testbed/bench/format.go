package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// String writes a quantity with three significant digits, thousands parted.
func (q Quantity) String() string {
	n := number(q.Number)
	switch q.Unit {
	case PerSecond, Percent, Ratio:
		return n + string(q.Unit)
	}
	return n + " " + string(q.Unit)
}

func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "none"
	case v == 0:
		return "0"
	case math.Abs(v) >= 999.5: // which three digits make 1,000
		digits := max(int(math.Floor(math.Log10(math.Abs(v)))), 3)
		unit := math.Pow(10, float64(digits-2))
		return thousands(int64(math.Round(v/unit) * unit))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func thousands(v int64) string {
	s := strconv.FormatInt(v, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// String writes a target as a reader compares it; "" without one.
func (t Target) String() string {
	switch t.Bound {
	case AtLeast:
		return ">= " + t.Limit.String()
	case AtMost:
		return "<= " + t.Limit.String()
	}
	return ""
}

func (r Row) cells() [5]string {
	value, note := r.Value.String(), r.Note
	if r.Err != nil {
		value = "-"
		note, _, _ = strings.Cut(r.Err.Error(), "\n") // the rest are programs' logs
	}
	return [5]string{r.Name, value, r.Target.String(), string(r.Verdict()), note}
}

// Table writes rows for a terminal.
func Table(rows []Row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LINE\tVALUE\tTARGET\t\tBESIDE IT")
	for _, r := range rows {
		c := r.cells()
		fmt.Fprintln(w, strings.Join(c[:], "\t"))
	}
	w.Flush() // cannot fail: it writes to memory
	return trimLines(b.String())
}

// trimLines takes the spaces off the ends of lines.
func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// Markdown writes rows, with what they mean, as the README holds them.
func Markdown(rows []Row, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| what | value | target | | beside it |\n| --- | --- | --- | --- | --- |\n", machine)
	for _, r := range rows {
		c := r.cells()
		c[0] = r.What
		for i := range c {
			c[i] = strings.ReplaceAll(c[i], "|", `\|`)
		}
		b.WriteString(strings.TrimRight("| "+strings.Join(c[:], " | ")+" |", " ") + "\n")
	}
	return b.String()
}

// JSON writes rows for programs.
func JSON(rows []Row, machine string) ([]byte, error) {
	type row struct {
		Line    string   `json:"line"`
		What    string   `json:"what"`
		Value   *float64 `json:"value"` // null: could not be measured
		Unit    Unit     `json:"unit,omitempty"`
		Target  string   `json:"target,omitempty"`
		Verdict Verdict  `json:"verdict,omitempty"`
		Note    string   `json:"note,omitempty"`
		Err     string   `json:"error,omitempty"`
	}
	out := struct {
		Machine string `json:"machine"`
		Rows    []row  `json:"rows"`
	}{machine, []row{}}
	for _, r := range rows {
		j := row{Line: r.Name, What: r.What, Unit: r.Value.Unit, Target: r.Target.String(), Verdict: r.Verdict(), Note: r.Note}
		if v := r.Value.Number; r.Err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			j.Value = &v
		}
		if r.Err != nil {
			j.Err = r.Err.Error()
		}
		out.Rows = append(out.Rows, j)
	}
	return json.MarshalIndent(out, "", "  ")
}

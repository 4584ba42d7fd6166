package probe

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Verdicts, as matrix writes them.
const (
	Allow  = "allow"
	Drop   = "drop"
	Reject = "reject"
)

// Matrix is the verdicts of all pairs and ports: what probe measured, or that
// part of what `daoli-reconcile matrix -o json` answers.
type Matrix struct {
	Pairs []Pair `json:"pairs"`
}

// Pair is the verdict of one ordered pair of names on one port.
type Pair struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Port    string `json:"port"`
	Verdict string `json:"verdict"`
}

// Difference is a pair and port on which two matrices do not agree. A verdict
// is "" where a matrix lacks the pair.
type Difference struct {
	From, To, Port string
	Want, Got      string
}

// Tolerate returns the matrix as a network without a way out or in would
// measure: pairs with one of the names outside are dropped where it says allow.
func (m Matrix) Tolerate(outside []string) Matrix {
	is := map[string]bool{}
	for _, n := range outside {
		is[n] = true
	}
	var t Matrix
	for _, p := range m.Pairs {
		if p.Verdict == Allow && (is[p.From] || is[p.To]) {
			p.Verdict = Drop
		}
		t.Pairs = append(t.Pairs, p)
	}
	return t
}

// Compare returns where got differs from want: in want's order, then what only
// got has. A pair that a matrix names twice counts as its last.
func Compare(want, got Matrix) []Difference {
	type key struct{ from, to, port string }
	measured := map[key]string{}
	for _, p := range got.Pairs {
		measured[key{p.From, p.To, p.Port}] = p.Verdict
	}
	var list []Difference
	asked := map[key]bool{}
	for _, p := range want.Pairs {
		k := key{p.From, p.To, p.Port}
		asked[k] = true
		if g := measured[k]; g != p.Verdict {
			list = append(list, Difference{p.From, p.To, p.Port, p.Verdict, g})
		}
	}
	for _, p := range got.Pairs {
		if !asked[key{p.From, p.To, p.Port}] {
			list = append(list, Difference{p.From, p.To, p.Port, "", p.Verdict})
		}
	}
	return list
}

// String is one line: the pair, and both verdicts.
func (d Difference) String() string {
	return fmt.Sprintf("%s > %s %s: want %s, got %s", d.From, d.To, d.Port, orMissing(d.Want), orMissing(d.Got))
}

func orMissing(verdict string) string {
	if verdict == "" {
		return "no such pair"
	}
	return verdict
}

// WriteTable writes one line a pair, with a column for each port.
func (m Matrix) WriteTable(w io.Writer) error {
	var ports []string
	column := map[string]int{}
	var rows [][]string
	for _, p := range m.Pairs {
		if _, found := column[p.Port]; !found {
			column[p.Port] = len(ports)
			ports = append(ports, p.Port)
		}
	}
	for _, p := range m.Pairs {
		if n := len(rows); n == 0 || rows[n-1][0] != p.From || rows[n-1][1] != p.To {
			rows = append(rows, append([]string{p.From, p.To}, make([]string, len(ports))...))
		}
		rows[len(rows)-1][2+column[p.Port]] = p.Verdict
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "FROM\tTO\t%s\n", strings.ToUpper(strings.Join(ports, "\t")))
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

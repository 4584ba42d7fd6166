package matrix

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Style says how a table is written.
type Style int

// Styles of a table.
const (
	Plain  Style = iota
	Colour       // verdicts in colours, for a terminal
)

// Escape sequences of ECMA-48, 8.3.117.
const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

// columns are the names of a Pair's fields, as in JSON.
var columns = []string{"from", "to", "port", "verdict", "reason", "rule", "at"}

// verdictColumn is where columns has verdict.
const verdictColumn = 3

func (p *Pair) fields() []string {
	return []string{p.From, p.To, p.Port, p.Verdict, p.Reason, p.Rule, p.At}
}

// WriteTable writes the pairs in aligned columns, with "-" for nothing.
func (m *Matrix) WriteTable(w io.Writer, style Style) error {
	head := make([]string, len(columns))
	widths := make([]int, len(columns))
	for i, name := range columns {
		head[i] = strings.ToUpper(name)
		widths[i] = len(name)
	}
	for i := range m.Pairs {
		for j, text := range m.Pairs[i].fields() {
			widths[j] = max(widths[j], utf8.RuneCountInString(text))
		}
	}
	out := bufio.NewWriter(w)
	writeRow(out, head, widths, func(int) string { return bold }, style)
	for i := range m.Pairs {
		fields := m.Pairs[i].fields()
		colour := func(column int) string { return verdictColour(column, m.Pairs[i].Verdict) }
		writeRow(out, fields, widths, colour, style)
	}
	return flush(out)
}

func verdictColour(column int, verdict string) string {
	switch {
	case column != verdictColumn:
		return ""
	case verdict == "allow":
		return green
	}
	return red
}

// writeRow writes one line, in which escape sequences take no width.
func writeRow(out *bufio.Writer, fields []string, widths []int, colour func(column int) string, style Style) {
	var line strings.Builder
	for i, text := range fields {
		if text == "" {
			text = "-"
		}
		painted := text
		if c := colour(i); style == Colour && c != "" {
			painted = c + text + plain
		}
		line.WriteString(painted)
		if i < len(fields)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
		}
	}
	out.WriteString(line.String() + "\n")
}

// WriteWhy writes one line a pair: from, to, port and why.
func (m *Matrix) WriteWhy(w io.Writer, style Style) error {
	out := bufio.NewWriter(w)
	for i := range m.Pairs {
		p := &m.Pairs[i]
		why := p.Why
		if rest, found := strings.CutPrefix(why, p.Verdict); found && style == Colour {
			why = verdictColour(verdictColumn, p.Verdict) + p.Verdict + plain + rest
		}
		fmt.Fprintf(out, "%s > %s %s: %s\n", p.From, p.To, p.Port, why)
	}
	return flush(out)
}

// WriteJSON writes the matrix as SPEC 4 has it, one line a pair.
func (m *Matrix) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	revision, err := json.Marshal(m.Revision)
	if err != nil {
		return fmt.Errorf("encode the revision: %w", err)
	}
	fmt.Fprintf(out, `{"revision": %s, "pairs": [`, revision)
	for i := range m.Pairs {
		text, err := encodeJSON(&m.Pairs[i])
		if err != nil {
			return fmt.Errorf("encode a pair: %w", err)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n  " + text)
	}
	out.WriteString("\n]}\n")
	return flush(out)
}

// encodeJSON returns p in JSON, with < and > as they are.
func encodeJSON(p *Pair) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// WriteCSV writes the pairs as RFC 4180 has it, with a header of the names that
// JSON has.
func (m *Matrix) WriteCSV(w io.Writer) error {
	explained := len(m.Pairs) > 0 && m.Pairs[0].Why != ""
	row := func(fields []string, why string) []string {
		if explained {
			return append(fields[:len(fields):len(fields)], why)
		}
		return fields
	}
	out := csv.NewWriter(w)
	out.Write(row(columns, "why"))
	for i := range m.Pairs {
		out.Write(row(m.Pairs[i].fields(), m.Pairs[i].Why))
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return nil
}

// WriteYAML writes what WriteJSON does, as YAML.
func (m *Matrix) WriteYAML(w io.Writer) error {
	var text strings.Builder
	if err := m.WriteJSON(&text); err != nil {
		return err
	}
	var node yaml.Node // JSON is YAML in flow style
	if err := yaml.Unmarshal([]byte(text.String()), &node); err != nil {
		return fmt.Errorf("turn the matrix into YAML: %w", err)
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return enc.Close()
}

// blockStyle undoes flow style. Strings keep their quotes only where YAML would
// read them as something else.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}

func flush(out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return nil
}

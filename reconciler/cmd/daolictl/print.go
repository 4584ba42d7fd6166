package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// encode writes v as JSON, or as YAML with the JSON's names and order.
func encode(w io.Writer, format string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	if format == "yaml" {
		var node yaml.Node // JSON is YAML in flow style
		if err := yaml.Unmarshal(text, &node); err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		blockStyle(&node)
		if text, err = yaml.Marshal(&node); err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(string(text), "\n"))
	return err
}

// blockStyle undoes flow style. Strings keep their quotes only where YAML would
// read them as something else.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// colour is a terminal's escape sequence; empty for none.
type colour string

const (
	plain  colour = ""
	green  colour = "\x1b[32m"
	red    colour = "\x1b[31m"
	yellow colour = "\x1b[33m"
	bold   colour = "\x1b[1m"
	reset         = "\x1b[0m"
)

// cell is a piece of text and the colour it has on a terminal.
type cell struct {
	text string
	c    colour
}

// paint returns text in colour c, if the output shows colours.
func (a *app) paint(c colour, text string) string {
	if c == plain || !a.coloured {
		return text
	}
	return string(c) + text + reset
}

// verdict is a verdict as a cell: green where packets pass.
func verdict(v string) cell {
	if v == "allow" {
		return cell{v, green}
	}
	return cell{v, red}
}

func cells(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i] = cell{text: text}
	}
	return row
}

// table prints rows with aligned columns. Colours don't count as width, which
// is why it isn't text/tabwriter's.
func (a *app) table(header []string, rows [][]cell) {
	head := cells(header...)
	for i := range head {
		head[i].c = bold
	}
	rows = append([][]cell{head}, rows...)
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(a.paint(c.c, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(a.out, strings.TrimRight(line.String(), " "))
	}
}

// fact prints one line of "name value".
func (a *app) fact(name, format string, args ...any) {
	fmt.Fprintf(a.out, "%-11s%s\n", name, fmt.Sprintf(format, args...))
}

// span writes a duration with at most two units: 3d4h, 2m10s, 1.5s.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// size writes a number of bytes: 840 B, 1.2 KB, 30 MB.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %cB", v, units[unit])
	}
	return fmt.Sprintf("%.0f %cB", v, units[unit])
}

// short cuts a commit or content hash to what people compare.
func short(revision string) string {
	const length = 12
	if len(revision) > length && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision[:length]
	}
	return revision
}

// plural writes a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// dash stands for nothing.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

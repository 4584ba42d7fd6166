package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// shown bounds the rows of a table.
const shown = 200

// WriteJSON writes the difference as JSON.
func (d *Difference) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return written(out.Encode(d))
}

// WriteYAML writes the difference as YAML.
func (d *Difference) WriteYAML(w io.Writer) error {
	text, err := yaml.Marshal(d)
	if err == nil {
		_, err = w.Write(text)
	}
	return written(err)
}

// WriteTable writes the difference for people.
func (d *Difference) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Replay under %.12s: %d of %d decisions differ\n", d.Revision, d.Differ, d.Records)
	if len(d.Changes) > 0 {
		b.WriteByte('\n')
		d.rows(&b)
	}
	more := d.More
	for _, c := range d.Changes[min(shown, len(d.Changes)):] {
		more += c.Count
	}
	var notes []string
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more differ; -o json has up to %d kinds of them", more, maxChanges))
	}
	if n := d.unjudged(); n != "" {
		notes = append(notes, "not judged: "+n)
	}
	if d.LeftOut > 0 {
		notes = append(notes, fmt.Sprintf("the log lacks %d decisions", d.LeftOut))
	}
	if d.BadLines > 0 {
		notes = append(notes, fmt.Sprintf("lines that are no records: %d", d.BadLines))
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(notes, "\n"))
	}
	_, err := io.WriteString(w, b.String())
	return written(err)
}

func (d *Difference) rows(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COUNT\tFROM\tTO\tPORT\tLAST\tWAS\tNOW")
	for i := range d.Changes[:min(shown, len(d.Changes))] {
		c := &d.Changes[i]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Count, printable(c.From), printable(c.To), printable(c.Port),
			c.Last.UTC().Format(time.DateTime), printable(c.Was.text()), printable(c.Is.text()))
	}
	_ = t.Flush() // a strings.Builder takes all
}

// printable has no character of a log move a terminal's cursor, or a column.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// text writes an answer in a line.
func (a *Answer) text() string {
	text := strings.TrimSpace(a.Verdict + " " + a.Reason)
	if a.Rule != "" {
		text += " " + a.Rule
	}
	if a.At != "" {
		text += " at " + a.At
	}
	if a.Because != "" {
		text += ": " + a.Because
	}
	return text
}

// unjudged lists the reasons with their counts, or is "".
func (d *Difference) unjudged() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(d.Unjudged)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, d.Unjudged[reason]))
	}
	return strings.Join(parts, ", ")
}

func written(err error) error {
	if err != nil {
		return fmt.Errorf("write what differs: %w", err)
	}
	return nil
}

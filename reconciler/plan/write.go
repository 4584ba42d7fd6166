package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// shown bounds each list of what is written for people.
const shown = 200

// WriteJSON writes the plan as JSON.
func (p *Plan) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(p); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// WriteYAML writes the plan as YAML.
func (p *Plan) WriteYAML(w io.Writer) error {
	text, err := yaml.Marshal(p)
	if err == nil {
		_, err = w.Write(text)
	}
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// mark are the signs of what is added, changed and removed.
var mark = map[string]string{Added: "+", Changed: "~", Removed: "-"}

// lines returns each part of the plan: its title, and its lines with their sign.
func (p *Plan) parts() []part {
	objects := part{title: fmt.Sprintf("Objects: %d", len(p.Objects))}
	for _, o := range p.Objects {
		objects.add(mark[o.Change], fmt.Sprintf("%s %s (%s)", o.Kind, o.Name, o.At))
	}
	gained := part{title: fmt.Sprintf("Reach gained: %d", len(p.Gained))}
	for i := range p.Gained {
		gained.add("+", p.Gained[i].text("by"))
	}
	lost := part{title: fmt.Sprintf("Reach lost: %d", len(p.Lost))}
	for i := range p.Lost {
		lost.add("-", p.Lost[i].text("now"))
	}
	parts := []part{objects, gained, lost}
	if p.Cut != nil {
		cut := part{title: fmt.Sprintf("Live sessions cut: %d of %d", len(p.Cut), p.Live)}
		for i := range p.Cut {
			cut.add("!", p.Cut[i].text())
		}
		parts = append(parts, cut)
	}
	return parts
}

type part struct {
	title string
	lines []string
}

func (l *part) add(sign, text string) {
	switch {
	case len(l.lines) < shown:
		l.lines = append(l.lines, sign+" "+text)
	case len(l.lines) == shown:
		l.lines = append(l.lines, "  and more: see them with -o json")
	}
}

func (r *Reach) text(by string) string {
	text := fmt.Sprintf("%s > %s %s", r.From, r.To, r.Ports)
	if r.Alike > 0 {
		text += fmt.Sprintf(" (and %d pairs alike)", r.Alike)
	}
	return text + origin(by, r.Reason, r.Rule, r.At)
}

func (c *Cut) text() string {
	return fmt.Sprintf("%s %s > %s %s", c.ID, c.From, c.To, c.Port) + origin("now", c.Why+" "+c.Reason, c.Rule, c.At)
}

func origin(by, reason, rule, at string) string {
	text := ": " + by + " " + strings.TrimSpace(reason)
	if rule != "" {
		text += " " + rule
	}
	if at != "" {
		text += " at " + at
	}
	return text
}

// Note says what the plan leaves out, in a line, or "".
func (p *Plan) Note() string {
	if p.Unasked > 0 {
		return fmt.Sprintf("The change touches more pairs than are asked about: %d were left out.", p.Unasked)
	}
	return ""
}

// WriteText writes the plan for people.
func (p *Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan: %.12s > %.12s\n", p.Before, p.After)
	for _, l := range p.parts() {
		fmt.Fprintf(&b, "\n%s\n", l.title)
		for _, line := range l.lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	if note := p.Note(); note != "" {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return writeString(w, b.String())
}

// WriteMarkdown writes the plan for a pull request. What comes from the tree stands
// in blocks of code, so that no name is markup.
func (p *Plan) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Network plan `%.12s` → `%.12s`\n", p.Before, p.After)
	if !p.Changes() {
		b.WriteString("\nNothing changes.\n")
	}
	for _, l := range p.parts() {
		if len(l.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n**%s**\n\n```diff\n%s\n```\n", l.title, strings.ReplaceAll(strings.Join(l.lines, "\n"), "```", "'''"))
	}
	if note := p.Note(); note != "" {
		fmt.Fprintf(&b, "\n> %s\n", note)
	}
	return writeString(w, b.String())
}

func writeString(w io.Writer, s string) error {
	if _, err := io.WriteString(w, s); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

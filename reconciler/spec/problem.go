package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// problems collects what is wrong with one tree, in the order in which it is found.
type problems struct {
	list     []Problem
	errors   int
	warnings int
	left     int // errors and warnings beyond maxProblems of each, which are not kept
}

// err adds an error: what is wrong, the bad value, the way out.
func (p *problems) err(at Pos, format string, args ...any) {
	if p.errors++; p.errors > maxProblems {
		p.left++
		return
	}
	p.list = append(p.list, Problem{At: at, Text: fmt.Sprintf(format, args...)})
}

// abort adds an error that ends the reading. It is kept however many there are.
func (p *problems) abort(at Pos, format string, args ...any) {
	p.errors++
	p.list = append(p.list, Problem{At: at, Text: fmt.Sprintf(format, args...)})
}

// warn adds a warning. Warnings leave room for the errors, so that nobody can
// hide what is wrong behind names of strangers.
func (p *problems) warn(at Pos, format string, args ...any) {
	if p.warnings++; p.warnings > maxProblems {
		p.left++
		return
	}
	p.list = append(p.list, Problem{At: at, Text: fmt.Sprintf(format, args...), Warning: true})
}

// sorted returns all problems by file, line and then as they were found.
func (p *problems) sorted() []Problem {
	slices.SortStableFunc(p.list, func(a, b Problem) int { return a.At.compare(b.At) })
	if p.left > 0 {
		last := p.list[len(p.list)-1].At
		p.list = append(p.list, Problem{At: last, Warning: p.errors == 0, Text: fmt.Sprintf(
			"%d more problems are not shown; mend the ones above first", p.left)})
	}
	return p.list
}

// compare orders positions by file and line.
func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line))
}

// quote returns s in quotes for a problem's text, cut if it is long.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	return strconv.Quote(cut(s) + "...")
}

// cut returns what is shown of s, which is too long, in whole characters.
func cut(s string) string {
	n := maxShown
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

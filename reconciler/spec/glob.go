package spec

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// runeRange is a range of characters, both ends included.
type runeRange struct{ lo, hi rune }

// globElement is one element of a pattern: any number of any characters, or one
// character out of some ranges, which are sorted and apart.
type globElement struct {
	star   bool
	ranges []runeRange
}

// anyRune are the characters of a host's name. No name has a slash.
func anyRune() []runeRange {
	return []runeRange{{0, '/' - 1}, {'/' + 1, utf8.MaxRune}}
}

// glob is a pattern of host names as path.Match understands it.
type glob struct {
	elements []globElement
	literal  bool   // it matches one name alone
	prefix   string // with which every name begins that it matches; all of it if literal
	suffix   string // likewise at the end
	width    int    // elements, and ranges of them beyond the first
}

// parseGlob returns the pattern that text is, which path.Match must have found
// to be one.
func parseGlob(text string) glob {
	var g glob
	for text != "" {
		var e globElement
		switch text[0] {
		case '*':
			text, e.star = text[1:], true
		case '?':
			text, e.ranges = text[1:], anyRune()
		case '[':
			e.ranges, text = parseClass(text[1:])
		default:
			var r rune
			r, text = globRune(text)
			e.ranges = []runeRange{{r, r}}
		}
		if n := len(g.elements); e.star && n > 0 && g.elements[n-1].star {
			continue // as one star
		}
		g.elements = append(g.elements, e)
		g.width += max(1, len(e.ranges))
	}
	first := slices.IndexFunc(g.elements, globElement.isPattern)
	if g.literal = first < 0; g.literal {
		first = len(g.elements)
	}
	last := len(g.elements)
	for last > 0 && !g.elements[last-1].isPattern() {
		last--
	}
	g.prefix, g.suffix = literalText(g.elements[:first]), literalText(g.elements[last:])
	return g
}

// isPattern reports whether the element matches other than one character alone.
func (e globElement) isPattern() bool {
	return len(e.ranges) != 1 || e.ranges[0].lo != e.ranges[0].hi
}

// literalText returns the characters that elements are, none being a pattern.
func literalText(elements []globElement) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteRune(e.ranges[0].lo)
	}
	return b.String()
}

// globRune returns the first character of text, without the backslash that may
// stand before it, and what follows.
func globRune(text string) (rune, string) {
	if len(text) > 1 && text[0] == '\\' {
		text = text[1:]
	}
	r, n := utf8.DecodeRuneInString(text)
	return r, text[n:]
}

// parseClass returns the characters of a class, whose opening bracket is read,
// and what follows it.
func parseClass(text string) ([]runeRange, string) {
	text, negated := strings.CutPrefix(text, "^")
	var ranges []runeRange
	for first := true; text != "" && (first || text[0] != ']'); first = false {
		var r runeRange
		r.lo, text = globRune(text)
		r.hi = r.lo
		if rest, isRange := strings.CutPrefix(text, "-"); isRange {
			r.hi, text = globRune(rest)
		}
		if r.lo <= r.hi {
			ranges = append(ranges, r)
		}
	}
	text = strings.TrimPrefix(text, "]")
	ranges = apart(ranges)
	if negated {
		ranges = others(ranges)
	}
	return intersection(ranges, anyRune()), text
}

// apart sorts ranges, and joins those that touch.
func apart(ranges []runeRange) []runeRange {
	slices.SortFunc(ranges, func(a, b runeRange) int { return cmp.Compare(a.lo, b.lo) })
	var out []runeRange
	for _, r := range ranges {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// others returns the characters that are in none of the ranges.
func others(ranges []runeRange) []runeRange {
	var out []runeRange
	next := rune(0)
	for _, r := range ranges {
		if next < r.lo {
			out = append(out, runeRange{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, runeRange{next, utf8.MaxRune})
	}
	return out
}

// intersection returns the characters that are in both.
func intersection(a, b []runeRange) []runeRange {
	var out []runeRange
	for len(a) > 0 && len(b) > 0 {
		if lo, hi := max(a[0].lo, b[0].lo), min(a[0].hi, b[0].hi); lo <= hi {
			out = append(out, runeRange{lo, hi})
		}
		if a[0].hi < b[0].hi {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// meet reports whether the two have a character in common.
func meet(a, b []runeRange) bool {
	for len(a) > 0 && len(b) > 0 {
		if max(a[0].lo, b[0].lo) <= min(a[0].hi, b[0].hi) {
			return true
		}
		if a[0].hi < b[0].hi {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return false
}

// cost returns about how many steps intersects takes.
func (g *glob) cost(h *glob) int {
	start := min(len(g.prefix), len(h.prefix))
	return (g.width - start) * (h.width - start)
}

// mayEndAs reports whether the ends of both allow a name in common.
func (g *glob) mayEndAs(h *glob) bool {
	return strings.HasSuffix(g.suffix, h.suffix) || strings.HasSuffix(h.suffix, g.suffix)
}

// intersects reports whether a name exists that both match. It goes through all
// pairs of places in the two patterns that can be reached with one name.
func (g *glob) intersects(h *glob) bool {
	a, b := withoutCommonStart(g.elements, h.elements)
	// reached[j] says whether a name leads to the places i in a and j in b.
	reached, next := make([]bool, len(b)+1), make([]bool, len(b)+1)
	reached[0] = true
	for i := 0; i <= len(a); i++ {
		clear(next)
		alive := false
		for j := 0; j <= len(b); j++ {
			if !reached[j] {
				continue
			}
			alive = true
			starA, starB := i < len(a) && a[i].star, j < len(b) && b[j].star
			if starA { // matches nothing
				next[j] = true
			}
			if starB {
				reached[j+1] = true
			}
			switch {
			case i == len(a) || j == len(b):
			case starA && !starB && len(b[j].ranges) > 0:
				reached[j+1] = true
			case starB && !starA && len(a[i].ranges) > 0:
				next[j] = true
			case !starA && !starB && meet(a[i].ranges, b[j].ranges):
				next[j+1] = true
			}
		}
		if i == len(a) {
			return reached[len(b)]
		}
		if !alive {
			return false
		}
		reached, next = next, reached
	}
	return false
}

// withoutCommonStart leaves out what both patterns begin with, as far as it is
// one character each.
func withoutCommonStart(a, b []globElement) ([]globElement, []globElement) {
	for len(a) > 0 && len(b) > 0 && !a[0].isPattern() && !b[0].isPattern() && a[0].ranges[0] == b[0].ranges[0] {
		a, b = a[1:], b[1:]
	}
	return a, b
}

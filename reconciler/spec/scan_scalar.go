package spec

import "bytes"

// property eats an alias, an anchor or a tag.
func (s *scanner) property(alias bool) {
	if alias || s.flow > 0 {
		s.begin()
	} else {
		s.tokens++
		if s.flow == 0 && s.keyAllowed {
			s.key = simpleKey{found: true, column: s.column(), line: s.line}
		}
		s.keyAllowed = false
	}
	tag := s.at(0) == '!'
	for s.pos++; tag && !isBlankZ(s.at(0)) || !tag && isAnchor(s.at(0)); s.pos++ {
	}
}

// isAnchor reports whether an anchor's name may have c. A tag goes on to the
// next blank, brackets and commas included.
func isAnchor(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-'
}

// quoted eats a scalar between quotes.
func (s *scanner) quoted(quote byte) {
	for s.pos++; s.pos < len(s.src); {
		switch c := s.src[s.pos]; {
		case isBreak(c):
			s.newline()
		case c == '\\' && quote == '"' && s.pos+1 < len(s.src):
			s.pos++
			if isBreak(s.src[s.pos]) {
				s.newline()
			} else {
				s.pos++
			}
		case c == quote && quote == '\'' && s.at(1) == quote:
			s.pos += 2
		case c == quote:
			s.pos++
			return
		default:
			s.pos++
		}
	}
}

// plain eats a scalar without quotes, which may go on in further lines that
// are indented more than the block.
func (s *scanner) plain() {
	least := 0
	if s.flow == 0 {
		least = s.indent() + 1
	}
	for first := true; s.pos < len(s.src); first = false {
		if s.atDocumentMark() || (!first && s.at(0) == '#') {
			return
		}
		s.word()
		if !s.gap() {
			return
		}
		if s.flow == 0 && s.column() < least {
			return
		}
	}
}

// word eats the characters of a plain scalar up to a blank or to an indicator
// that ends it.
func (s *scanner) word() {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if isBlankZ(c) || c == ':' && isBlankZ(s.at(1)) ||
			s.flow > 0 && bytes.IndexByte([]byte(",?[]{}"), c) >= 0 {
			return
		}
		s.pos++
	}
}

// gap eats the blanks and line breaks within a plain scalar. It reports whether
// there were any.
func (s *scanner) gap() bool {
	start := s.pos
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case isBlank(c):
			s.pos++
		case isBreak(c):
			s.newline()
			s.keyAllowed = true
		default:
			return s.pos > start
		}
	}
	return false
}

// blockScalar eats a literal or folded scalar: the lines indented at least as
// its first one that isn't blank, or as its header says.
func (s *scanner) blockScalar() {
	least := max(s.indent()+1, 1)
	explicit := 0
	for s.pos++; !isBreak(s.at(0)) && s.at(0) != 0; s.pos++ {
		if c := s.at(0); c >= '1' && c <= '9' && explicit == 0 {
			explicit = max(s.indent(), 0) + int(c-'0')
		} else if isBlank(c) || c == '#' {
			s.restOfLine()
			break
		}
	}
	s.keyAllowed = true
	s.key = simpleKey{}
	for indent := explicit; s.pos < len(s.src); {
		s.newline()
		start := s.pos
		for s.at(0) == ' ' && (indent == 0 || s.column() < indent) {
			s.pos++
		}
		least = max(least, s.column()) // libyaml lets blank lines count as well
		if isBreak(s.at(0)) {
			continue
		}
		if indent == 0 {
			indent = least
		}
		if s.column() < indent {
			s.pos = start
			return
		}
		s.restOfLine()
	}
}

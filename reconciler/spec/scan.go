package spec

import (
	"bytes"
	"fmt"
)

// usage is what a scan counted.
type usage struct {
	tokens  int // scalars, collections, indicators and comments
	nesting int // of the innermost list or mapping; 1 is not nested
	entries int // of the longest list or mapping
	// suspect is the first line whose indentation fits no open block, or 0.
	// yaml.v3 names the line where the block began instead.
	suspect int
	// unclosed is the line of the outermost bracket that is never closed, or 0.
	unclosed int
	// excess is the first limit of a file that is exceeded, or "", and
	// excessLine where.
	excess     string
	excessLine int
}

// scan counts the tokens of src and how deep and long its collections are. It
// finds tokens as libyaml's scanner does, on which yaml.v3 is built, but keeps
// none of them: its memory is the stack of open collections. src must be valid
// UTF-8 without control characters. Broken YAML is no error here; scan then
// counts what it takes the text for.
//
// Where it and yaml.v3 could ever differ, source.check counts again.
func scan(src []byte) usage {
	s := scanner{src: src, line: 1, keyAllowed: true}
	for s.excess == "" && s.skipToToken() {
		s.unroll(s.column())
		s.token()
	}
	s.leaveDocument()
	return s.usage
}

// level is an open collection. Those in brackets lie above all block ones.
type level struct {
	column   int // of a block collection: where its entries begin
	line     int
	sequence bool
	bare     bool // a sequence that is indented no more than its mapping
	entries  int
	awaiting bool // an entry or value may begin
}

// simpleKey is where the token began that may turn out to be a key in block
// context, once a ':' follows it on the same line.
type simpleKey struct {
	found        bool
	column, line int
	misplaced    bool // it stands where the block awaits no value
}

type scanner struct {
	usage
	src        []byte
	pos        int
	line       int // from 1
	lineStart  int // where the line begins
	levels     []level
	flow       int // how many of levels are in brackets
	key        simpleKey
	keyAllowed bool // a simple key may begin here
}

func (s *scanner) column() int { return s.pos - s.lineStart }

// at returns the byte n bytes ahead, or 0 behind the end.
func (s *scanner) at(n int) byte {
	if s.pos+n >= len(s.src) {
		return 0
	}
	return s.src[s.pos+n]
}

func isBreak(c byte) bool  { return c == '\n' || c == '\r' }
func isBlank(c byte) bool  { return c == ' ' || c == '\t' }
func isBlankZ(c byte) bool { return c == 0 || isBlank(c) || isBreak(c) }

// newline eats a line break: LF, CR or CRLF.
func (s *scanner) newline() {
	if s.at(0) == '\r' && s.at(1) == '\n' {
		s.pos++
	}
	s.pos++
	s.line++
	s.lineStart = s.pos
}

// restOfLine eats all up to the line break.
func (s *scanner) restOfLine() {
	n := bytes.IndexAny(s.src[s.pos:], "\r\n")
	if n < 0 {
		n = len(s.src) - s.pos
	}
	s.pos += n
}

// skipToToken eats blanks, comments and line breaks. It reports whether a token
// follows.
func (s *scanner) skipToToken() bool {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case isBlank(c):
			s.pos++
		case c == '#':
			s.tokens++
			s.restOfLine()
		case isBreak(c):
			s.newline()
			s.keyAllowed = s.keyAllowed || s.flow == 0
		default:
			return true
		}
	}
	return false
}

// top returns the innermost open collection, or nil.
func (s *scanner) top() *level {
	if len(s.levels) == 0 {
		return nil
	}
	return &s.levels[len(s.levels)-1]
}

// indent returns the column of the innermost block collection, or -1. It is
// only asked outside of brackets.
func (s *scanner) indent() int {
	if t := s.top(); t != nil {
		return t.column
	}
	return -1
}

// unroll closes the block collections that are indented more than column.
func (s *scanner) unroll(column int) {
	for s.flow == 0 && s.indent() > column {
		s.levels = s.levels[:len(s.levels)-1]
	}
}

// push opens a collection that begins at line.
func (s *scanner) push(l level, line int) {
	s.tokens++
	if !l.sequence {
		s.tokens += mappingTokens - 1
	}
	l.line = line
	s.levels = append(s.levels, l)
	s.nesting = max(s.nesting, len(s.levels))
	if len(s.levels) > MaxNesting {
		s.exceed(line, nestingExcess())
	}
}

// count adds an entry to the innermost collection.
func (s *scanner) count() {
	if t := s.top(); t != nil {
		t.entries++
		s.entries = max(s.entries, t.entries)
		if t.entries > MaxEntries {
			s.exceed(s.line, entriesExcess())
		}
	}
}

func (s *scanner) exceed(line int, what string) {
	if s.excess == "" {
		s.excess, s.excessLine = what, line
	}
}

func nestingExcess() string {
	return fmt.Sprintf("lists and mappings are nested deeper than %d; write them flatter", MaxNesting)
}

func entriesExcess() string {
	return fmt.Sprintf("a list or mapping has more than %d entries; split it", MaxEntries)
}

// token eats one token, which is there.
func (s *scanner) token() {
	if s.column() == 0 && s.documentLine() {
		return
	}
	next := s.at(1)
	switch c := s.src[s.pos]; {
	case c == '[' || c == '{':
		s.open(c == '[')
	case c == ']' || c == '}':
		s.close()
	case c == ',':
		s.comma()
	case c == '-' && isBlankZ(next):
		s.dash()
	case c == '?' && (s.flow > 0 || isBlankZ(next)):
		s.question()
	case c == ':' && (s.flow > 0 || isBlankZ(next)):
		s.colon()
	case c == '*' || c == '&' || c == '!':
		s.property(c == '*')
	case (c == '|' || c == '>') && s.flow == 0:
		s.value()
		s.blockScalar()
	case c == '\'' || c == '"':
		s.begin()
		s.quoted(c)
	case c == '@' || c == '`' || c == '%' || c == '|' || c == '>':
		s.pos++ // starts no token; yaml.v3 will say so
	default:
		s.begin()
		s.plain()
	}
}

// documentLine eats a directive or a mark between documents, which close all
// that is open.
func (s *scanner) documentLine() bool {
	switch {
	case s.at(0) == '%':
		s.restOfLine()
	case s.atDocumentMark():
		s.pos += 3
	default:
		return false
	}
	s.tokens += mappingTokens
	s.leaveDocument()
	s.key, s.keyAllowed = simpleKey{}, false
	return true
}

// leaveDocument closes all that is open at the end of a document.
func (s *scanner) leaveDocument() {
	if s.flow > 0 && s.unclosed == 0 {
		s.unclosed = s.levels[len(s.levels)-s.flow].line
	}
	s.levels, s.flow = s.levels[:0], 0
}

func (s *scanner) atDocumentMark() bool {
	return s.column() == 0 && isBlankZ(s.at(3)) &&
		(bytes.HasPrefix(s.src[s.pos:], []byte("---")) || bytes.HasPrefix(s.src[s.pos:], []byte("...")))
}

// begin notes that a scalar or a collection in brackets begins: it is an entry,
// a value or, if ':' follows, a key.
func (s *scanner) begin() {
	misplaced := s.value()
	if s.flow == 0 && s.keyAllowed {
		s.key = simpleKey{found: true, column: s.column(), line: s.line, misplaced: misplaced}
	}
	s.keyAllowed = false
}

// value notes that a node begins, and reports whether the block that it
// stands in has all its value already.
func (s *scanner) value() (misplaced bool) {
	s.tokens++
	t := s.top()
	if t == nil {
		return false
	}
	if s.flow > 0 && t.awaiting {
		s.count()
	}
	misplaced = !t.awaiting
	t.awaiting = false
	return misplaced
}

func (s *scanner) open(sequence bool) {
	s.begin()
	s.push(level{sequence: sequence, awaiting: true}, s.line)
	s.flow++
	s.pos++
	s.keyAllowed = true
}

func (s *scanner) close() {
	if s.flow > 0 {
		s.flow--
		s.levels = s.levels[:len(s.levels)-1]
	}
	s.keyAllowed = false
	s.pos++
}

func (s *scanner) comma() {
	s.tokens++
	if s.flow > 0 {
		s.top().awaiting = true
	}
	s.keyAllowed = true
	s.pos++
}

// dash eats the indicator of a block sequence's entry. A sequence may stand in
// the same column as the key whose value it is.
func (s *scanner) dash() {
	s.tokens++
	if s.flow == 0 {
		column, t := s.column(), s.top()
		switch {
		case s.indent() < column:
			s.suspectUnlessAwaiting(t)
			s.push(level{column: column, sequence: true}, s.line)
		case !t.sequence:
			s.suspectUnlessAwaiting(t)
			s.push(level{column: column, sequence: true, bare: true}, s.line)
		}
		s.count()
		s.top().awaiting = true
		s.key = simpleKey{}
	}
	s.keyAllowed = true
	s.pos++
}

func (s *scanner) suspectUnlessAwaiting(t *level) {
	if t == nil {
		return
	}
	if !t.awaiting && s.suspect == 0 {
		s.suspect = s.line
	}
	t.awaiting = false
}

func (s *scanner) question() {
	s.tokens++
	if s.flow == 0 {
		s.blockKey(s.column(), s.line)
		s.key = simpleKey{}
	} else {
		s.value()
	}
	s.keyAllowed = s.flow == 0
	s.pos++
}

// colon eats the indicator of a mapping's value.
func (s *scanner) colon() {
	s.tokens++
	if s.flow > 0 {
		s.value() // an entry, if the key is empty
		s.pos++
		return
	}
	column, line := s.column(), s.line
	simple := s.key.found && s.key.line == s.line
	if simple {
		column = s.key.column
		if s.indent() < column && s.key.misplaced && s.suspect == 0 {
			s.suspect = s.line
		}
	}
	s.blockKey(column, line)
	s.key = simpleKey{}
	s.keyAllowed = !simple
	s.pos++
}

// blockKey enters a key at column into the mapping of that column, which it
// opens if it isn't.
func (s *scanner) blockKey(column, line int) {
	if t := s.top(); t != nil && t.bare && t.column == column {
		s.levels = s.levels[:len(s.levels)-1]
	}
	if s.indent() < column {
		s.push(level{column: column}, line)
	} else if t := s.top(); t.sequence && s.suspect == 0 {
		s.suspect = line
	}
	s.count()
	s.top().awaiting = true
}

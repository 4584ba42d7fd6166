package spec

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// mapping is a YAML mapping while it is read. What it is called in a problem
// is what: "a rule", "a VPC's spec".
type mapping struct {
	*source
	node *yaml.Node
	what string
}

// mapping returns n as a mapping that may have the keys known and no other.
func (s *source) mapping(n *yaml.Node, what string, known ...string) (mapping, bool) {
	m := mapping{s, n, what}
	if isReported(n) {
		return m, false
	}
	if n.Kind != yaml.MappingNode {
		s.err(s.pos(n), "%s is %s, not a mapping; write it as key: value", what, shown(n))
		return m, false
	}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if isScalar(key) && key.Tag == "!!str" && !slices.Contains(known, key.Value) {
			s.err(s.pos(key), "%s has no key %s; its keys are %s", what, quote(key.Value), strings.Join(known, ", "))
		}
	}
	return m, true
}

// entry returns the nodes of a key and of its value. It is not found if the key
// is absent or its value is refused already.
func (m mapping) entry(name string) (key, value *yaml.Node, found bool) {
	for i := 0; i < len(m.node.Content); i += 2 {
		if k := m.node.Content[i]; isScalar(k) && k.Value == name {
			value := m.node.Content[i+1]
			return k, value, !isReported(value)
		}
	}
	return nil, nil, false
}

// value returns the value of a key.
func (m mapping) value(name string) (*yaml.Node, bool) {
	_, v, found := m.entry(name)
	return v, found
}

// has reports whether the key is there, whatever its value.
func (m mapping) has(name string) bool {
	k, _, _ := m.entry(name)
	return k != nil
}

// shown returns keys that are there, each with its value, as they may stand in
// a problem.
func (m mapping) shown(keys ...string) string {
	var all []string
	for _, k := range keys {
		for i := 0; i < len(m.node.Content); i += 2 {
			if key := m.node.Content[i]; isScalar(key) && key.Value == k {
				all = append(all, k+" "+shown(m.node.Content[i+1]))
				break
			}
		}
	}
	return strings.Join(all, " and ")
}

// required returns the value of a key that must be there.
func (m mapping) required(name, wayOut string) (*yaml.Node, bool) {
	if !m.has(name) {
		m.err(m.pos(m.node), "%s has no %q; %s", m.what, name, wayOut)
	}
	return m.value(name)
}

// list returns the elements of n that check has not refused. what is what they
// are of: "from".
func (s *source) list(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	if isReported(n) {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		s.err(s.pos(n), "%s is %s, not a list; write it as [A, B]", what, shown(n))
		return nil, false
	}
	return slices.DeleteFunc(slices.Clone(n.Content), isReported), true
}

// filled is a list that must not be empty.
func (s *source) filled(n *yaml.Node, what, wayOut string) ([]*yaml.Node, bool) {
	elements, ok := s.list(n, what)
	if ok && len(n.Content) == 0 {
		s.err(s.pos(n), "%s is []; %s", what, wayOut)
		return nil, false
	}
	return elements, ok
}

// text returns the string that n is.
func (s *source) text(n *yaml.Node, what string) (string, bool) {
	switch {
	case isReported(n):
		return "", false
	case !isScalar(n):
		s.err(s.pos(n), "%s is %s, not a string; write one value", what, shown(n))
		return "", false
	case n.Tag != "!!str":
		s.err(s.pos(n), "%s is %s, which YAML takes for no string; quote it", what, shown(n))
		return "", false
	}
	return n.Value, true
}

// boolean returns the truth value that n is.
func (s *source) boolean(n *yaml.Node, what string) (value, ok bool) {
	switch {
	case isReported(n):
		return false, false
	case isScalar(n) && n.Tag == "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	}
	s.err(s.pos(n), "%s is %s; write true or false", what, shown(n))
	return false, false
}

// choice returns the string that n is, which must be one of known.
func (s *source) choice(n *yaml.Node, what string, known ...string) (string, bool) {
	v, ok := s.text(n, what)
	if ok && !slices.Contains(known, v) {
		s.err(s.pos(n), "%s is %s; write %s", what, quote(v), alternatives(known))
		return "", false
	}
	return v, ok
}

// alternatives returns "a, b or c".
func alternatives(known []string) string {
	last := len(known) - 1
	if last == 0 {
		return known[0]
	}
	return strings.Join(known[:last], ", ") + " or " + known[last]
}

// shown returns a node as it may stand in a problem: what has entries as in one
// line of YAML, cut if that is long.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode {
		return quote(n.Value)
	}
	var b strings.Builder
	flow(&b, n)
	if b.Len() <= maxShown {
		return b.String()
	}
	return cut(b.String()) + "..."
}

// flow writes a node in one line of YAML, or only the beginning of what is too
// long to be shown.
func flow(b *strings.Builder, n *yaml.Node) {
	brackets := "[]"
	switch {
	case n.Kind == yaml.MappingNode:
		brackets = "{}"
	case n.Kind != yaml.SequenceNode:
		v := n.Value[:min(len(n.Value), maxShown+1)]
		if v == "" || strings.ContainsFunc(v, isOdd) {
			v = strconv.Quote(v)
		}
		b.WriteString(v)
		return
	}
	b.WriteByte(brackets[0])
	for i, e := range n.Content {
		if b.Len() > maxShown {
			return
		}
		switch {
		case i == 0:
		case n.Kind == yaml.MappingNode && i%2 == 1:
			b.WriteString(": ")
		default:
			b.WriteString(", ")
		}
		flow(b, e)
	}
	b.WriteByte(brackets[1])
}

// isOdd reports whether a value with r is shown in quotes.
func isOdd(r rune) bool {
	isPlain := r == '.' || r == '/' || r == '-' || r == '_' || r == '*' ||
		'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !isPlain
}

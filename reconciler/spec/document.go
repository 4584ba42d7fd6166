package spec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// documents builds the nodes of a file and reads the object of each of its
// documents. It returns how many nodes there were.
func (l *loader) documents(name string, data []byte, used usage) int {
	s := source{loader: l, file: name}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	objects := 0
	for {
		doc, err := nextDocument(dec)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.badYAML(data, err, used)
			return s.nodes
		}
		root := doc.Content[0]
		if isNull(root) && root.Value == "" && root.Style == 0 && root.Anchor == "" {
			continue // an empty document
		}
		objects++
		s.check(root, 1)
		s.document(root)
	}
	if objects == 0 {
		l.err(s.line(1), "the file holds no object, perhaps it is half written; write one or remove the file")
	}
	return s.nodes
}

// nextDocument returns the next document, or io.EOF. yaml.v3 panics on some
// broken input; that is an error as any other.
func nextDocument(dec *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	doc = new(yaml.Node)
	if err := dec.Decode(doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("a document without a node")
	}
	return doc, nil
}

// source is a file while it is read.
type source struct {
	*loader
	file  string
	nodes int
}

func (s *source) line(line int) Pos    { return Pos{s.file, line} }
func (s *source) pos(n *yaml.Node) Pos { return Pos{s.file, n.Line} }

func isScalar(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode }
func isNull(n *yaml.Node) bool   { return isScalar(n) && n.Tag == "!!null" }

// isReported reports whether check has refused the node itself, so that nothing
// more need be said of it.
func isReported(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || isNull(n) || n.Style&yaml.TaggedStyle != 0
}

// check reports what YAML allows and we don't, in n and below. It doesn't
// follow aliases, so what it costs is bounded by the file's length.
func (s *source) check(n *yaml.Node, depth int) {
	s.nodes++
	if n.Anchor != "" {
		s.err(s.pos(n), "there is the anchor %s; write the value out wherever it is meant", quote("&"+n.Anchor))
	}
	if n.Style&yaml.TaggedStyle != 0 {
		s.err(s.pos(n), "there is the tag %s; remove it, and quote the value if it is a string", quote(n.Tag))
	}
	switch n.Kind {
	case yaml.AliasNode:
		s.err(s.pos(n), "there is the alias %s; write the value out", quote("*"+n.Value))
	case yaml.ScalarNode:
		s.checkScalar(n)
	case yaml.SequenceNode, yaml.MappingNode:
		s.checkCollection(n, depth)
	}
}

func (s *source) checkScalar(n *yaml.Node) {
	if i := strings.IndexFunc(n.Value, isControl); i >= 0 {
		s.err(s.pos(n), "the value %s has a control character or a line break; remove it", quote(n.Value))
	}
}

func (s *source) checkCollection(n *yaml.Node, depth int) {
	entries := len(n.Content)
	if n.Kind == yaml.MappingNode {
		entries /= 2
	}
	switch {
	case depth > MaxNesting:
		s.err(s.pos(n), "%s", nestingExcess())
		n.Content = nil
	case entries > MaxEntries:
		s.err(s.pos(n), "%s", entriesExcess())
		n.Content = nil
	case n.Kind == yaml.MappingNode:
		s.checkMapping(n, depth)
	default:
		for _, e := range n.Content {
			if isNull(e) {
				s.err(s.pos(e), "an entry of the list is null; write a value or leave it out")
			}
			s.check(e, depth+1)
		}
	}
}

func (s *source) checkMapping(n *yaml.Node, depth int) {
	first := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		s.check(key, depth+1)
		s.check(value, depth+1)
		switch {
		case key.Tag == "!!merge":
			s.err(s.pos(key), `there is the merge key "<<"; write the keys out`)
			continue
		case !isScalar(key) || isNull(key):
			s.err(s.pos(key), "the key %s is not a string; write a name before the colon", shown(key))
			continue
		case key.Tag != "!!str":
			s.err(s.pos(key), "the key %s is not a string; quote it", quote(key.Value))
		}
		if line, found := first[key.Value]; found {
			s.err(s.pos(key), "the key %s is here twice, first in line %d; remove one", quote(key.Value), line)
		} else {
			first[key.Value] = key.Line
		}
		if isNull(value) {
			s.err(s.pos(key), "%s is null; write [] for empty or leave the key out", quote(key.Value))
		}
	}
}

// yamlLine is how yaml.v3 begins a message that names a line.
var yamlLine = regexp.MustCompile(`^line (\d+): `)

// badYAML reports what yaml.v3 says of a file that is no YAML. Of what its
// parser (not its scanner) finds it counts the lines from 0, and it names the
// line where a block began rather than the one that doesn't fit into it. What
// scan has seen is nearer to the mistake.
func (s *source) badYAML(data []byte, err error, used usage) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, parserLine := 1, 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(text, m[0])
		line, _ = strconv.Atoi(m[1])
		parserLine = line + 1
	}
	switch text {
	case "did not find expected key", "did not find expected '-' indicator", "did not find expected <document start>":
		line = cmp.Or(used.suspect, parserLine)
	case "did not find expected node content":
		line = cmp.Or(used.unclosed, parserLine)
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
		line = parserLine
	}
	line = min(line, lastLine(data))
	s.err(s.line(line), "this is no YAML: %s, at %s; see the indentation, brackets and quotes here",
		text, quote(lineText(data, line)))
}

// lastLine returns the number of the last line that has anything in it.
func lastLine(data []byte) int {
	return 1 + bytes.Count(bytes.TrimRight(data, " \t\r\n"), []byte("\n"))
}

// lineText returns the text of a line, from 1, without blanks around it. A tab
// before it stays, since it may be what is wrong.
func lineText(data []byte, line int) string {
	for ; line > 1; line-- {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return ""
		}
		data = rest
	}
	text, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimLeft(bytes.TrimRight(text, " \t\r"), " "))
}

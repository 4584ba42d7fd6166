package spec

import (
	"bytes"
	"io/fs"
	"slices"
)

// Loader loads a tree again and again. It keeps the bytes of each file and what
// it read from them, so that an edit costs what it changed; and what the tree
// still holds is the same object in the next Network. The zero Loader is ready.
// It is not safe for concurrent use.
type Loader struct {
	kept map[string]*file
}

// Load is as the function Load.
func (k *Loader) Load(fsys fs.FS) (*Network, []Problem) {
	l := loader{fsys: fsys, before: k.kept, files: make(map[string]*file)}
	net, problems := l.load()
	k.kept = l.files
	return net, problems
}

// file is what is kept of a file: one in which nothing is wrong. The bytes are
// compared whole: that is exact, and takes a tenth of the time of a hash.
type file struct {
	bytes []byte
	content
}

// fits reports whether a file's content is within what is left of the limits.
func (l *loader) fits(c *content) bool {
	return l.tokens+c.tokens <= MaxTokens && l.rules+c.rules <= MaxRules
}

// add adds a file's content to all that is read. A Peering is a new one, since
// whether it is in force is for each Network to say.
func (l *loader) add(c *content) {
	l.tokens += c.tokens
	l.rules += c.rules
	l.named = append(l.named, c.refs)
	l.vias = append(l.vias, c.vias...)
	l.operatorCIDRs = append(l.operatorCIDRs, c.operatorCIDRs...)
	for _, o := range c.objects {
		if o.peering != nil {
			peering, again := *o.peering, *o
			again.peering = &peering
			o = &again
		}
		l.objects = append(l.objects, o)
	}
}

// keep keeps what was read from a file of these bytes since before.
func (l *loader) keep(name string, data []byte, before content) {
	l.refs.compare()
	l.files[name] = &file{bytes.Clone(data), content{
		tokens:        l.tokens - before.tokens,
		rules:         l.rules - before.rules,
		objects:       slices.Clone(l.objects[len(before.objects):]),
		refs:          l.refs,
		vias:          slices.Clone(l.vias[len(before.vias):]),
		operatorCIDRs: slices.Clone(l.operatorCIDRs[len(before.operatorCIDRs):]),
	}}
}

// setRefsAside puts the references of the file that was read last to the others.
func (l *loader) setRefsAside() {
	l.named, l.refs = append(l.named, l.refs), references{}
}

package archtest

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
)

// Finding is one breach of a rule.
type Finding struct {
	Path string // of the file or directory, slashes
	Line int    // 0: the whole file
	Text string // what is wrong, and why it matters
}

// String returns PATH:LINE: TEXT.
func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.Path, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Check reads the module in tree and returns what breaks the table or the
// rules that hold everywhere, sorted.
func Check(tree fs.FS, table map[string]Rule) ([]Finding, error) {
	m, err := load(tree)
	if err != nil {
		return nil, err
	}
	var found []Finding
	found = append(found, checkTable(table)...)
	for _, p := range m.packages {
		rule, listed := table[p.dir]
		if !listed {
			found = append(found, Finding{Path: p.dir, Text: "package is not in the import table: say what it may import, and why"})
			continue
		}
		found = append(found, checkImports(m, p, rule)...)
		if rule.Core {
			found = append(found, checkCore(m, p, rule)...)
		}
		found = append(found, checkDoc(p)...)
	}
	for _, check := range []func(*module) ([]Finding, error){checkTests, checkLinks, checkTopLevel} {
		more, err := check(m)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return found, nil
}

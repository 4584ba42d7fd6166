package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// checkImports compares a package's imports of this module with its rule.
func checkImports(m *module, p *pkg, rule Rule) []Finding {
	var found []Finding
	for _, f := range p.files {
		for imported, line := range f.imports() {
			dir, internal := strings.CutPrefix(imported, m.path+"/")
			switch {
			case !internal:
			case isProgram(dir):
				found = append(found, Finding{f.path, line, fmt.Sprintf("imports the program %s: programs are only wiring, move what is shared below", dir)})
			case !covers(rule.May, dir):
				found = append(found, Finding{f.path, line, fmt.Sprintf("%s may not import %s: %s", p.dir, dir, rule.Why)})
			}
		}
	}
	return found
}

func isProgram(dir string) bool { return slices.Contains(strings.Split(dir, "/"), "cmd") }

// covers reports whether one of the patterns allows dir.
func covers(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, subtree := strings.CutSuffix(p, "/...")
		return p == dir || subtree && below(dir, base)
	})
}

func below(p, base string) bool { return p == base || strings.HasPrefix(p, base+"/") }

// checkTable finds entries without a reason, core entries that lead out of the
// core, and cycles.
func checkTable(table map[string]Rule) []Finding {
	var found []Finding
	for dir, rule := range table {
		if rule.Why == "" {
			found = append(found, Finding{Path: dir, Text: "the import table gives no reason"})
		}
		for _, may := range rule.May {
			if to, listed := table[may]; rule.Core && listed && !to.Core && !isData(may) {
				found = append(found, Finding{Path: dir, Text: fmt.Sprintf("the import table lets this core package import %s, which is none", may)})
			}
		}
		if reaches(table, dir, dir, map[string]bool{}) {
			found = append(found, Finding{Path: dir, Text: "the import table lets this package import itself in a circle"})
		}
	}
	return found
}

// isData reports whether a package only embeds files.
func isData(dir string) bool { return dir == "policies" || dir == "specs" }

// reaches reports whether from may import target, directly or not. A pattern
// leads nowhere: it is for those on top, and the compiler finds real cycles.
func reaches(table map[string]Rule, from, target string, seen map[string]bool) bool {
	for _, next := range table[from].May {
		if next == target {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if reaches(table, next, target, seen) {
				return true
			}
		}
	}
	return false
}

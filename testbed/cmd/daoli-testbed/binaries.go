package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// module is the source of the programs that a testbed runs.
const module = "module github.com/daolinet/daolinet"

// findBinaries returns where the programs are if up was not told: "", so that
// they are built, in a working directory of their source; elsewhere those beside
// this program.
func findBinaries() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if inModule(dir) {
		return "", nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir = filepath.Dir(self)
	for _, program := range []string{"daoli-reconcile", "daoli-hostd", "daolictl"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return "", usageError{fmt.Errorf("find programs: no %s in %s, and the working directory is not in their source; name theirs by --binaries", program, dir)}
		}
	}
	return dir, nil
}

// inModule reports whether the nearest go.mod at or above dir is the source's.
func inModule(dir string) bool {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			first, _, _ := strings.Cut(string(text), "\n")
			return strings.TrimSpace(first) == module
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

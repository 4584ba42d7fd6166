package archtest_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/daolinet/daolinet/testbed/archtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fixtureTable is the import table of the module in testdata/violations.txtar.
var fixtureTable = map[string]archtest.Rule{
	"hostd/core":         {Core: true, May: []string{"hostd/lib"}, Modules: []string{"example.net/good"}, Why: "the core stands alone"},
	"hostd/allowed":      {Core: true, Std: []string{"net"}, Why: "its library wants it"},
	"hostd/lib":          {Core: true, Why: "a leaf"},
	"hostd/shell":        {May: []string{"hostd/below/...", "hostd/core", "hostd/cmd/prog"}, Why: "does the work"},
	"hostd/below/x":      {Why: "a leaf"},
	"hostd/cmd/prog":     {Why: "wiring"},
	"hostd/undocumented": {Why: "a leaf"},
	"hostd/twice":        {Why: "a leaf"},
	"hostd/misnamed":     {Why: "a leaf"},

	"table/mute":     {},
	"table/circle-a": {May: []string{"table/circle-b"}, Why: "turns"},
	"table/circle-b": {May: []string{"table/circle-a"}, Why: "turns"},
	"table/leaky":    {Core: true, May: []string{"hostd/shell"}, Why: "a core entry may not lead out of the core"},
}

func TestCheckReportsEachBreach(t *testing.T) {
	const golden = "testdata/violations.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	last := len(archive.Files) - 1
	for _, f := range archive.Files[:last] {
		tree[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	found, err := archtest.Check(tree, fixtureTable)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range found {
		got.WriteString(f.String() + "\n")
	}
	if *update {
		archive.Files[last].Data = []byte(got.String())
		if err := os.WriteFile(golden, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(archive.Files[last].Data), got.String()); diff != "" {
		t.Errorf("findings differ from %s (-want +got):\n%s", golden, diff)
	}
}

func TestCheckRefusesWhatIsNoModule(t *testing.T) {
	for name, tree := range map[string]fstest.MapFS{
		"no go.mod":      {},
		"no module line": {"go.mod": {Data: []byte("go 1.26\n")}},
		"broken source":  {"go.mod": {Data: []byte("module m\n")}, "a/a.go": {Data: []byte("package")}},
	} {
		if found, err := archtest.Check(tree, nil); err == nil {
			t.Errorf("Check(%s) = %v; want an error", name, found)
		}
	}
}

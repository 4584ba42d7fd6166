package spec_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/yaml.v3"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// FuzzLoad looks for a file on which Load panics, or of which it says another
// thing the second time, or which it accepts but not as YAML writes it anew.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(base))
	f.Add([]byte("apiVersion: daoli.net/v1\nkind: Link\nmetadata: {name: l, tenant: acme, vpc: prod}\n"))
	for _, twins := range allTwins() {
		for _, test := range twins {
			f.Add(bytes.ReplaceAll([]byte(test.file), []byte("@"), []byte(test.good)))
			f.Add(bytes.ReplaceAll([]byte(test.file), []byte("@"), []byte(test.bad)))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		net, problems := spec.Load(tree("base.yaml", base, "x.yaml", string(file)))
		for _, p := range problems {
			if p.Text == "" || p.At.File == "" || p.At.Line < 1 || p.At.Line > lineCount(file)+lineCount([]byte(base)) {
				t.Errorf("a problem at no line of the file: %s", p)
			}
		}
		again, problemsAgain := spec.Load(tree("base.yaml", base, "x.yaml", string(file)))
		if diff := cmp.Diff(problems, problemsAgain); diff != "" {
			t.Errorf("Load says another thing the second time (-first +second):\n%s", diff)
		}
		if diff := cmp.Diff(net, again, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("Load gives another network the second time (-first +second):\n%s", diff)
		}
		if net == nil {
			return
		}
		anew, problems := spec.Load(tree("base.yaml", base, "x.yaml", rewritten(t, file)))
		if anew == nil {
			t.Fatalf("Load accepts it, but not as YAML writes it anew:\n%s%s", rewritten(t, file), lines(problems))
		}
		if diff := cmp.Diff(net, anew, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.IgnoreTypes(spec.Pos{})); diff != "" {
			t.Errorf("written anew it is another network (-first +second):\n%s", diff)
		}
	})
}

func lineCount(file []byte) int {
	return 1 + bytes.Count(file, []byte("\n")) + bytes.Count(file, []byte("\r"))
}

// rewritten returns the file in another style: without comments, in block style
// and with all strings in quotes.
func rewritten(t *testing.T, file []byte) string {
	var b bytes.Buffer
	dec, enc := yaml.NewDecoder(bytes.NewReader(file)), yaml.NewEncoder(&b)
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("yaml.v3 doesn't read what Load accepts: %v", err)
		}
		restyle(&doc)
		if err := enc.Encode(&doc); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func restyle(n *yaml.Node) {
	n.Style, n.HeadComment, n.LineComment, n.FootComment = 0, "", "", ""
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		restyle(c)
	}
}

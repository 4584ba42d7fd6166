package bridge

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTLSSettingIsReadAsOpenVSwitchHasIt(t *testing.T) {
	const row = `{"data":[["/s/key.pem","/s/cert.pem","/s/ca.pem",["map",[["x","y"],["daoli-owner","br-daoli"]]]]],` +
		`"headings":["private_key","certificate","ca_cert","external_ids"]}`
	ours := TLS{PrivateKey: "/s/key.pem", Certificate: "/s/cert.pem", CA: "/s/ca.pem"}
	for _, tt := range []struct {
		name, text, owner string
		want              TLS
		bad               bool
	}{
		{"ours", row, "br-daoli", ours, false},
		{"another's", strings.Replace(row, `["daoli-owner","br-daoli"]`, `["a","b"]`, 1), "", ours, false},
		{"none", `{"data":[],"headings":["private_key"]}`, "", TLS{}, false},
		{"no ids", strings.Replace(row, `["map",[["x","y"],["daoli-owner","br-daoli"]]]`, `["map",[]]`, 1), "", ours, false},
		{"not JSON", `x`, "", TLS{}, true},
		{"another type", strings.Replace(row, `"/s/key.pem"`, `7`, 1), "", TLS{}, true},
		{"a short row", `{"data":[["/s/key.pem"]],"headings":["private_key","certificate"]}`, "", TLS{PrivateKey: "/s/key.pem"}, false},
	} {
		got, owner, err := parseTLS([]byte(tt.text))
		if (err != nil) != tt.bad || err == nil && (owner != tt.owner || got != tt.want) {
			t.Errorf("%s: parseTLS = %v, %q, %v; want %v, %q, an error %v\n%s", tt.name, got, owner, err, tt.want, tt.owner, tt.bad, cmp.Diff(tt.want, got))
		}
	}
}

func TestFilesForTLSAreWhatACommandLineTakes(t *testing.T) {
	b := &Bridge{cfg: Config{Name: "br-daoli"}}
	for _, bad := range []TLS{{}, {"key.pem", "/c", "/a"}, {`/k"`, "/c", "/a"}, {"/k", "/c\n", "/a"}, {"/k", "/c", `/a\`}} {
		if args, err := b.tlsArgs(t.Context(), bad); err == nil {
			t.Errorf("tlsArgs(%+v) = %q; want an error", bad, args)
		}
	}
}

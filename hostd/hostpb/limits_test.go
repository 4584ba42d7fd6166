package hostpb_test

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

func TestNames(t *testing.T) {
	tests := []struct {
		s               string
		name, host, vpc bool
	}{
		{s: "web1", name: true, host: true},
		{s: "a", name: true, host: true},
		{s: "a-b", name: true, host: true},
		{s: "h1.example.com", host: true},
		{s: "acme/prod", vpc: true},
		{s: strings.Repeat("a", 63), name: true, host: true},
		{s: strings.Repeat("a", 64), host: true},
		{s: strings.Repeat("a", 254)},
		{s: ""}, {s: "-a"}, {s: "a-"}, {s: ".a"}, {s: "Web"}, {s: "a_b"}, {s: "ä"}, {s: "a\n"}, {s: "a b"},
		{s: "/prod"}, {s: "acme/"}, {s: "a/b/c"}, {s: "/"},
	}
	for _, tt := range tests {
		if got := hostpb.ValidName(tt.s); got != tt.name {
			t.Errorf("ValidName(%q) = %v; want %v", tt.s, got, tt.name)
		}
		if got := hostpb.ValidHostName(tt.s); got != tt.host {
			t.Errorf("ValidHostName(%q) = %v; want %v", tt.s, got, tt.host)
		}
		if got := hostpb.ValidVPCID(tt.s); got != tt.vpc {
			t.Errorf("ValidVPCID(%q) = %v; want %v", tt.s, got, tt.vpc)
		}
	}
}

func TestValidLabelsBoundsKeysValuesAndCount(t *testing.T) {
	many := map[string]string{}
	for i := range hostpb.MaxLabels {
		many[strconv.Itoa(i)] = ""
	}
	more := maps.Clone(many)
	more["one-more"] = ""
	tests := []struct {
		name   string
		labels map[string]string
		want   bool
	}{
		{"none", nil, true},
		{"usual", map[string]string{"app.kubernetes.io/name": "Web Shop"}, true},
		{"empty value", map[string]string{"a": ""}, true},
		{"as many as may be", many, true},
		{"one too many", more, false},
		{"empty key", map[string]string{"": "x"}, false},
		{"long key", map[string]string{strings.Repeat("k", 129): ""}, false},
		{"long value", map[string]string{"k": strings.Repeat("v", 257)}, false},
		{"control character", map[string]string{"k": "a\x00"}, false},
		{"invalid UTF-8", map[string]string{"k": "\xff"}, false},
	}
	for _, tt := range tests {
		if got := hostpb.ValidLabels(tt.labels); got != tt.want {
			t.Errorf("%s: ValidLabels = %v; want %v", tt.name, got, tt.want)
		}
	}
}

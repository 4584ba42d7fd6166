package hostpb_test

import (
	"maps"
	"net/netip"
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

func TestAddressesOfListsAreThoseThatAreNotReservedForEverybody(t *testing.T) {
	for text, want := range map[string]bool{
		"172.31.250.1": true, "10.1.0.2": true, "169.253.255.255": true, "169.255.0.0": true, "1.0.0.0": true, "223.255.255.255": true,
		"0.0.0.0": false, "0.255.255.255": false, "127.0.0.1": false, "127.255.255.254": false, "169.254.0.0": false, "169.254.255.255": false,
		"224.0.0.0": false, "239.1.2.3": false, "240.0.0.1": false, "255.255.255.255": false, "::1": false, "2001:db8::1": false, "::ffff:10.1.0.2": false,
	} {
		if got := hostpb.ValidAddress(netip.MustParseAddr(text)); got != want {
			t.Errorf("ValidAddress(%s) = %v; want %v", text, got, want)
		}
	}
	if hostpb.ValidAddress(netip.Addr{}) {
		t.Error("ValidAddress of no address = true")
	}
}

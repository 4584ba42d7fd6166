package endpoint_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

func TestParseMAC(t *testing.T) {
	tests := []struct {
		in string
		ok bool
	}{
		{"02:00:00:00:00:01", true}, {"0A:0b:0C:0d:0E:0f", true},
		{"", false}, {"02:00:00:00:00", false}, {"020000000001", false}, {"02:00:00:00:00:0g", false},
		{"00:00:00:00:00:00", false}, {"01:00:5e:00:00:01", false}, {"ff:ff:ff:ff:ff:ff", false}, {"02:00:00:00:00:01:02", false},
	}
	for _, tt := range tests {
		m, err := endpoint.ParseMAC(tt.in)
		if (err == nil) != tt.ok {
			t.Errorf("ParseMAC(%q) = %s, %v; want ok = %v", tt.in, m, err, tt.ok)
		}
		if tt.ok && m.String() != strings.ToLower(tt.in) {
			t.Errorf("ParseMAC(%q) = %s", tt.in, m)
		}
	}
}

func TestMakeRef(t *testing.T) {
	r, err := endpoint.MakeRef("acme/prod", "web1")
	if err != nil || r != ref("web1") || r.String() != "acme/prod/web1" || r.VPCID() != "acme/prod" {
		t.Errorf("MakeRef = %+v, %v", r, err)
	}
	for _, bad := range []string{"", "prod", "a/b/c", "/b", "a/"} {
		if _, err := endpoint.MakeRef(bad, "x"); err == nil {
			t.Errorf("MakeRef(%q) = nil; want an error", bad)
		}
	}
}

func TestEndpointSurvivesJSON(t *testing.T) {
	r := request("web1")
	r.IP, r.MAC, r.Groups, r.Labels = addr(2), endpoint.MAC{2, 1, 2, 3, 4, 5}, []string{"web"}, map[string]string{"a": "b"}
	bare := request("bare")
	for _, want := range []endpoint.Endpoint{
		{Request: r, Port: 16, State: endpoint.Up, Problem: "x"},
		{Request: bare, Port: 17, State: endpoint.Leasing},
	} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got endpoint.Endpoint
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(want.IP)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b, diff)
		}
	}
}

func TestPortOfIsWhatTheDeviceIsNamedFor(t *testing.T) {
	e := endpoint.Endpoint{Port: 4711}
	if port, ok := endpoint.PortOf(e.Device()); !ok || port != e.Port {
		t.Errorf("PortOf(%q) = %d, %t; want %d", e.Device(), port, ok, e.Port)
	}
	for _, device := range []string{"", "16", "dl", "dlx", "dl-1", "eth0", "daoli-dns", "dl4294967296"} {
		if port, ok := endpoint.PortOf(device); ok {
			t.Errorf("PortOf(%q) = %d; want that it is no endpoint's", device, port)
		}
	}
}

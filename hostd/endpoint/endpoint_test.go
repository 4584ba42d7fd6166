package endpoint_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		bend func(*endpoint.Request)
		want string // part of the error; empty: none
	}{
		{"well formed", func(*endpoint.Request) {}, ""},
		{"with everything", func(r *endpoint.Request) {
			r.IP, r.Groups, r.Labels = addr(2), []string{"web"}, map[string]string{"role": "web"}
		}, ""},
		{"tenant", func(r *endpoint.Request) { r.Tenant = "Acme" }, `tenant "Acme"`},
		{"vpc", func(r *endpoint.Request) { r.VPC = "" }, `vpc ""`},
		{"subnet", func(r *endpoint.Request) { r.Subnet = "a b" }, `subnet "a b"`},
		{"name", func(r *endpoint.Request) { r.Name = "-" }, `name "-"`},
		{"group", func(r *endpoint.Request) { r.Groups = []string{"*"} }, `group "*"`},
		{"groups", func(r *endpoint.Request) { r.Groups = make([]string, 65) }, "65 groups"},
		{"labels", func(r *endpoint.Request) { r.Labels = map[string]string{"": ""} }, "labels"},
		{"IPv6", func(r *endpoint.Request) { r.IP = mapped() }, "not IPv4"},
		{"no namespace", func(r *endpoint.Request) { r.Namespace = "" }, "namespace"},
		{"no interface", func(r *endpoint.Request) { r.Interface = "" }, `interface name ""`},
		{"long interface", func(r *endpoint.Request) { r.Interface = "a234567890123456" }, "interface name"},
		{"interface with slash", func(r *endpoint.Request) { r.Interface = "a/b" }, "interface name"},
		{"interface that is loopback", func(r *endpoint.Request) { r.Interface = "lo" }, "interface name"},
		{"interface like an option", func(r *endpoint.Request) { r.Interface = "-f" }, "interface name"},
	}
	for _, tt := range tests {
		r := request("web1")
		tt.bend(&r)
		err := r.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Validate = %v; want %q", tt.name, err, tt.want)
		}
	}
}

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
	for _, bad := range []string{"", "prod", "a/b/c", "A/b"} {
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

func mapped() netip.Addr { return netip.MustParseAddr("::ffff:10.1.0.2") }

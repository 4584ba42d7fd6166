package endpoint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// standing is an endpoint that stands on the host.
func standing(name string, ip int, port uint32) endpoint.Endpoint {
	r := request(name)
	r.IP, r.MAC = addr(ip), endpoint.MAC{2, 0, 0, 0, 0, byte(ip)}
	return endpoint.Endpoint{Request: r, Port: port, State: endpoint.Up}
}

func texts(effects []endpoint.Effect) []string {
	var out []string
	for _, e := range effects {
		out = append(out, text(e))
	}
	return out
}

func TestWhatStandsIsAdopted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		adopt endpoint.Endpoint
		want  string // first word of the answer's error; empty: adopted
	}{
		{"as it is", standing("web2", 2, 20), ""},
		{"not under a name that is kept", standing("web1", 2, 20), "exists on this host"},
		{"not with a port that is kept", standing("web2", 2, 16), "has port 16"},
		{"not with an address that is kept", standing("web2", 1, 20), "has port 16 and address 10.1.0.1"},
		{"not with a port that no endpoint has", standing("web2", 2, 1), "is no endpoint's"},
		{"not without an address", endpoint.Endpoint{Request: request("web2"), Port: 20}, "is no endpoint's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := endpoint.New(limits, []endpoint.Endpoint{standing("web1", 1, 16)}, 17)
			got := m.Step(start, endpoint.Adopt{Endpoint: tt.adopt, Token: 7})
			a, ok := got[len(got)-1].(endpoint.Answer)
			if !ok || a.Token != 7 || (a.Err == nil) != (tt.want == "") || a.Err != nil && !strings.Contains(a.Err.Error(), tt.want) {
				t.Fatalf("effects: %+v; want an answer with %q", got, tt.want)
			}
			if a.Err != nil && (len(m.Endpoints()) != 1 || len(got) != 1) {
				t.Errorf("refused, and yet: %v", texts(got))
			}
		})
	}
}

// TestTheAdoptedIsAnEndpointLikeAny: it is saved, reported at once or with the
// next hello, its port is nobody else's, and its end gives its address back.
func TestTheAdoptedIsAnEndpointLikeAny(t *testing.T) {
	m := endpoint.New(limits, nil, 0)
	if got, want := texts(m.Step(start, endpoint.Adopt{Endpoint: standing("web1", 1, 16)}))[0], "save web1 up"; got != want {
		t.Errorf("first effect is %q; want %q", got, want)
	}
	if got := texts(m.Step(start, endpoint.StreamUp{})); got[0] != "hello web1" {
		t.Errorf("hello: %q; want web1 in it", got)
	}
	if got := texts(m.Step(start, endpoint.Adopt{Endpoint: standing("web2", 2, 40)})); !slices.Contains(got, "delta 1 up=web2 down=") {
		t.Errorf("adopted while connected: %q; want it reported", got)
	}
	if m.NextPort() != 41 {
		t.Errorf("next port is %d; want 41", m.NextPort())
	}
	m.Step(start, endpoint.Detach{Ref: ref("web1"), Token: 1})
	got := texts(m.Step(start, endpoint.Unplumbed{Ref: ref("web1")}))
	if !slices.Contains(got, "forget web1") || !slices.Contains(got, "release web1 10.1.0.1") {
		t.Errorf("its end: %q; want it forgotten and its address released", got)
	}
}

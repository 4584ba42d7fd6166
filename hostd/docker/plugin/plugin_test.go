package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
)

// driver answers with what it was asked.
type driver struct{}

func (driver) CreateNetwork(_ context.Context, q plugin.CreateNetworkRequest) error {
	return errors.New(q.NetworkID)
}
func (driver) DeleteNetwork(context.Context, plugin.DeleteNetworkRequest) error { return nil }
func (driver) CreateEndpoint(_ context.Context, q plugin.CreateEndpointRequest) (plugin.CreateEndpointAnswer, error) {
	return plugin.CreateEndpointAnswer{Interface: q.Interface}, nil
}
func (driver) DeleteEndpoint(context.Context, plugin.EndpointRequest) error { return nil }
func (driver) Join(_ context.Context, q plugin.JoinRequest) (plugin.JoinAnswer, error) {
	return plugin.JoinAnswer{
		InterfaceName: plugin.InterfaceName{SrcName: q.SandboxKey, DstPrefix: "eth"}, Gateway: "169.254.1.1",
		StaticRoutes: []plugin.StaticRoute{{Destination: "169.254.1.1/32", RouteType: plugin.OnLink}}, DisableGatewayService: true,
	}, nil
}
func (driver) Leave(context.Context, plugin.EndpointRequest) error { return nil }
func (driver) RequestPool(_ context.Context, q plugin.PoolRequest) (plugin.Pool, error) {
	return plugin.Pool{PoolID: q.Options["daoli.vpc"], Pool: q.Pool}, nil
}
func (driver) ReleasePool(context.Context, plugin.ReleasePoolRequest) error { return nil }
func (driver) RequestAddress(_ context.Context, q plugin.AddressRequest) (plugin.Address, error) {
	return plugin.Address{Address: q.Address}, nil
}
func (driver) ReleaseAddress(context.Context, plugin.ReleaseAddressRequest) error { return nil }

func handler() http.Handler { return plugin.Handler(driver{}, slog.New(slog.DiscardHandler)) }

func call(h http.Handler, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

// TestProtocol has what Docker 20.10 was seen to send, and what its sources read of
// the answers.
func TestProtocol(t *testing.T) {
	tests := []struct{ name, call, body, want string }{
		{"both kinds of driver", "Plugin.Activate", "", `{"Implements":["NetworkDriver","IpamDriver"]}`},
		{"networks of each Docker's own", "NetworkDriver.GetCapabilities", "", `{"Scope":"local","ConnectivityScope":"global","GwAllocChecker":true}`},
		{"no gateway is allocated (Docker 28)", "NetworkDriver.GwAllocCheck", `{"Options":{}}`, `{"SkipIPv4":true,"SkipIPv6":true}`},
		{"an error is under both names", "NetworkDriver.CreateNetwork", `{"NetworkID":"why"}`, `{"Err":"daoli: why","Error":"daoli: why"}`},
		{"fields that we don't know", "NetworkDriver.DeleteNetwork", `{"NetworkID":"n","New":{"x":1}}`, `{}`},
		{"an interface without MAC", "NetworkDriver.CreateEndpoint", `{"NetworkID":"n","EndpointID":"e","Interface":{"Address":"10.1.0.2/32"},"Options":{"com.docker.network.portmap":[]}}`,
			`{"Interface":{"Address":"10.1.0.2/32"}}`},
		{"join", "NetworkDriver.Join", `{"SandboxKey":"k","Options":{}}`,
			`{"InterfaceName":{"SrcName":"k","DstPrefix":"eth"},"Gateway":"169.254.1.1","StaticRoutes":[{"Destination":"169.254.1.1/32","RouteType":1}],"DisableGatewayService":true}`},
		{"leave", "NetworkDriver.Leave", `{"NetworkID":"n","EndpointID":"e"}`, `{}`},
		{"what is only told", "NetworkDriver.ProgramExternalConnectivity", `{"Options":{}}`, `{}`},
		{"operational data", "NetworkDriver.EndpointOperInfo", `{}`, `{"Value":{}}`},
		{"address spaces", "IpamDriver.GetDefaultAddressSpaces", "", `{"LocalDefaultAddressSpace":"daoli-local","GlobalDefaultAddressSpace":"daoli-global"}`},
		{"a pool", "IpamDriver.RequestPool", `{"Pool":"10.1.0.0/24","Options":{"daoli.vpc":"a/b"}}`, `{"PoolID":"a/b","Pool":"10.1.0.0/24","Data":null}`},
		{"an address, options null", "IpamDriver.RequestAddress", `{"PoolID":"p","Address":"10.1.0.7","Options":null}`, `{"Address":"10.1.0.7","Data":null}`},
		{"no body where one is needed", "NetworkDriver.Join", "", `{"Err":"daoli: read request: EOF","Error":"daoli: read request: EOF"}`},
		{"two values", "NetworkDriver.Leave", "{}{}", `{"Err":"daoli: read request: more follows it","Error":"daoli: read request: more follows it"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, got := call(handler(), "POST", "/"+tt.call, tt.body); code != http.StatusOK || got != tt.want {
				t.Errorf("%s %s = %d %s; want %s", tt.call, tt.body, code, got, tt.want)
			}
		})
	}
}

func TestUnknownCallsAndTooLongOnesAreAnswered(t *testing.T) {
	if code, got := call(handler(), "POST", "/NetworkDriver.Dance", "{}"); code != http.StatusNotFound || !strings.Contains(got, `"Err"`) {
		t.Errorf("an unknown call = %d %s; want 404 and why", code, got)
	}
	long := `{"SandboxKey":"` + strings.Repeat("x", plugin.MaxRequest) + `"}`
	if code, got := call(handler(), "POST", "/NetworkDriver.Join", long); code != http.StatusOK || !strings.Contains(got, "too large") {
		t.Errorf("a request of %d bytes = %d %s; want that it is too large", len(long), code, got)
	}
}

func FuzzEveryCallIsAnswered(f *testing.F) {
	f.Add("NetworkDriver.Join", `{"NetworkID":"n","EndpointID":"e","SandboxKey":"/var/run/docker/netns/x","Options":{"a":[1,{"b":null}]}}`)
	f.Add("NetworkDriver.CreateEndpoint", `{"Interface":null}`)
	f.Add("IpamDriver.RequestPool", `{"Options":{"x":"y"},"V6":true}`)
	f.Add("../Plugin.Activate", `[`)
	f.Fuzz(func(t *testing.T, method, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.Path = "/" + method
		w := httptest.NewRecorder()
		handler().ServeHTTP(w, r)
		if w.Code < 300 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s = %s; want JSON", method, body, w.Body)
		}
	})
}

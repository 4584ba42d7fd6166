package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// MaxRequest bounds a request, in bytes.
const MaxRequest = 1 << 20

// contentType is what Docker accepts.
const contentType = "application/vnd.docker.plugins.v1.2+json"

// Driver is what answers. Its errors' texts are shown to Docker's user. Calls
// come at the same time from many goroutines.
type Driver interface {
	CreateNetwork(context.Context, CreateNetworkRequest) error
	DeleteNetwork(context.Context, DeleteNetworkRequest) error
	CreateEndpoint(context.Context, CreateEndpointRequest) (CreateEndpointAnswer, error)
	DeleteEndpoint(context.Context, EndpointRequest) error
	Join(context.Context, JoinRequest) (JoinAnswer, error)
	Leave(context.Context, EndpointRequest) error

	RequestPool(context.Context, PoolRequest) (Pool, error)
	ReleasePool(context.Context, ReleasePoolRequest) error
	RequestAddress(context.Context, AddressRequest) (Address, error)
	ReleaseAddress(context.Context, ReleaseAddressRequest) error
}

// Handler answers Docker with what d says.
func Handler(d Driver, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	on := func(method string, h http.Handler) { mux.Handle("POST /"+method, h) }
	on("Plugin.Activate", says(map[string][]string{"Implements": {"NetworkDriver", "IpamDriver"}}))

	on("NetworkDriver.GetCapabilities", says(Capabilities{Scope: "local", ConnectivityScope: "global", GwAllocChecker: true}))
	on("NetworkDriver.GwAllocCheck", says(GwAllocCheck{SkipIPv4: true, SkipIPv6: true}))
	on("NetworkDriver.CreateNetwork", does(log, nothing(d.CreateNetwork)))
	on("NetworkDriver.DeleteNetwork", does(log, nothing(d.DeleteNetwork)))
	on("NetworkDriver.CreateEndpoint", does(log, d.CreateEndpoint))
	on("NetworkDriver.DeleteEndpoint", does(log, nothing(d.DeleteEndpoint)))
	on("NetworkDriver.EndpointOperInfo", says(OperInfo{Value: map[string]any{}}))
	on("NetworkDriver.Join", does(log, d.Join))
	on("NetworkDriver.Leave", does(log, nothing(d.Leave)))
	for _, m := range []string{"DiscoverNew", "DiscoverDelete", "ProgramExternalConnectivity", "RevokeExternalConnectivity"} {
		on("NetworkDriver."+m, says(struct{}{}))
	}

	on("IpamDriver.GetCapabilities", says(map[string]bool{"RequiresMACAddress": false, "RequiresRequestReplay": false}))
	on("IpamDriver.GetDefaultAddressSpaces", says(AddressSpaces{LocalSpace, GlobalSpace}))
	on("IpamDriver.RequestPool", does(log, d.RequestPool))
	on("IpamDriver.ReleasePool", does(log, nothing(d.ReleasePool)))
	on("IpamDriver.RequestAddress", does(log, d.RequestAddress))
	on("IpamDriver.ReleaseAddress", does(log, nothing(d.ReleaseAddress)))

	mux.Handle("/", http.HandlerFunc(unknown))
	return mux
}

// unknown answers what a newer Docker may ask: it takes 404 for "not
// implemented", and goes on.
func unknown(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusNotFound, fail(fmt.Sprintf("daoli: %.80q is not known", r.URL.Path)))
}

// says answers always the same.
func says(v any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, v)
	})
}

// nothing makes a function with an empty answer of one without.
func nothing[Q any](do func(context.Context, Q) error) func(context.Context, Q) (struct{}, error) {
	return func(ctx context.Context, q Q) (struct{}, error) { return struct{}{}, do(ctx, q) }
}

// failure is the answer to what went wrong, under both names that Docker has for
// it: a network driver's and an IPAM driver's.
type failure struct{ Err, Error string }

func fail(text string) failure { return failure{text, text} }

// does answers with what a function makes of the request.
func does[Q, A any](log *slog.Logger, do func(context.Context, Q) (A, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := read(w, r, &q); err != nil {
			answer(w, http.StatusOK, fail("daoli: "+err.Error()))
			return
		}
		began := time.Now()
		a, err := do(r.Context(), q)
		if err != nil {
			log.Warn("docker was refused", slog.String("call", r.URL.Path), slog.Any("err", err))
			answer(w, http.StatusOK, fail("daoli: "+err.Error()))
			return
		}
		log.Debug("docker was answered", slog.String("call", r.URL.Path), slog.Duration("took", time.Since(began)))
		answer(w, http.StatusOK, a)
	})
}

// read decodes one JSON value, which an empty body leaves as it is.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if d.More() {
		return errors.New("read request: more follows it")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an asker who went away is not told
}

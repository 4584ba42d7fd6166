package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/daolinet/daolinet/reconciler/private"
)

// server serves the local API.
type server struct {
	http   http.Server
	path   string
	served chan error
}

// listen serves the API on the socket at path. Only its owner may open it, from
// the first moment on. It takes the place of one that nobody serves any more.
// Requests end with ctx.
func listen(ctx context.Context, path string, a *api) (*server, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another daoli-hostd serves it", path)
	}
	ln, err := private.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	s := &server{path: path, served: make(chan error, 1)}
	s.http.Handler = a.handler()
	s.http.ReadHeaderTimeout = headerTimeout
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	go func() { s.served <- s.http.Serve(ln) }()
	return s, nil
}

// close takes the socket away when the requests under way are answered, which
// they are soon after the end of their context.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownWait)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.served
	os.Remove(s.path)
}

package bench

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// BenchmarkControllerOverSockets is the load of the sockets lines on a
// controller in this process, for a profile of it: -benchtime 100000x
// -cpuprofile.
func BenchmarkControllerOverSockets(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	dir := b.TempDir()
	specs := filepath.Join(dir, "specs")
	if err := os.CopyFS(specs, oneTenant()); err != nil {
		b.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		var err error
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
	}
	ran := make(chan error, 1)
	go func() {
		ran <- controller.Run(ctx, controller.Config{
			Specs: specs, StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s"),
			OpenFlow: listeners[0], Hosts: listeners[1], Wire: pipeline.DefaultWireRange, Logger: slog.New(slog.DiscardHandler),
			Trust: enrol.Config{Name: "c1", Controllers: []string{listeners[1].Addr().String()}},
		})
	}()
	f := newFleet(8)
	o := &ours{fleet: f, process: &child{name: "controller", done: make(chan struct{})}}
	for {
		err := f.join(ctx, filepath.Join(dir, "hosts"), api.NewClient(filepath.Join(dir, "s")))
		if err == nil {
			break
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil { // until it serves
			b.Fatal(err)
		}
	}
	if err := o.connect(ctx, listeners[0].Addr().String(), listeners[1].Addr().String()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i, s := range f.switches {
		if err := s.lift(window, func(n int) (uint32, []byte) {
			return crossHost(f.hosts, i, n)
		}); err != nil {
			b.Fatal(err)
		}
	}
	for f.answers() < uint64(b.N) {
		if err := pause(ctx, time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(f.answers())/b.Elapsed().Seconds(), "answers/s")
	f.close()
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
}

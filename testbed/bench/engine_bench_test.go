package bench

import (
	"runtime"
	"testing"

	"github.com/daolinet/daolinet/reconciler/controller"
)

// BenchmarkEngineCore is the load of the engine lines, for a profile of it:
// -benchtime 400000x -cpuprofile. One op is one session. What core/s says is as
// engine-cached has it, by CPU time with the garbage collector's.
func BenchmarkEngineCore(b *testing.B) {
	controller.TuneGC()
	load, err := newEngineLoad()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var spent float64
	for left := b.N; left > 0; left -= len(load.frames) {
		b.StopTimer()
		c := newCore(load.policy, load.hosts)
		runtime.GC()
		b.StartTimer()
		begin := cpuTime()
		load.lift(c, min(left, len(load.frames)))
		spent += (cpuTime() - begin).Seconds()
	}
	b.ReportMetric(float64(b.N)/spent, "core/s")
}

package decisionlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

var quiet = slog.New(slog.DiscardHandler)

func entry() decisionlog.Entry {
	client := &inventory.Endpoint{
		VPC: "acme/prod", Host: &inventory.Host{Name: "h1"},
		Identity: &inventory.Identity{Subnet: "front", Groups: []string{"web"}, Labels: map[string]string{"app": "web"}},
	}
	client.Name, client.IP = "web1", netip.MustParseAddr("10.0.0.1")
	return decisionlog.Entry{
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), DPID: 0x1f, InPort: 3, Client: client,
		Dst: netip.MustParseAddr("10.0.0.9"), Proto: packet.TCP, Port: 443,
		Decision: policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonRuleDeny, Rule: "r1", At: spec.Pos{File: "acme.yaml", Line: 7}, Revision: "abc"},
	}
}

func open(t testing.TB, c decisionlog.Config) *decisionlog.Writer {
	t.Helper()
	c.Logger = quiet
	w, err := decisionlog.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestALineIsReadAsItWasWritten(t *testing.T) {
	var out bytes.Buffer
	w := open(t, decisionlog.Config{Path: "-", Stdout: &out})
	w.Add(entry())
	w.Close()
	w.Run()
	got, err := decisionlog.Parse(bytes.TrimSpace(out.Bytes()))
	if err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	want := decisionlog.Record{
		Time: entry().Time, Revision: "abc", Switch: "000000000000001f", InPort: 3,
		Src: decisionlog.Side{VPC: "acme/prod", Subnet: "front", Name: "web1", Groups: []string{"web"},
			Labels: map[string]string{"app": "web"}, Host: "h1", IP: netip.MustParseAddr("10.0.0.1")},
		Dst:   decisionlog.Side{IP: netip.MustParseAddr("10.0.0.9")},
		Proto: "tcp", Port: 443, Verdict: "reject", Reason: "rule-deny", Rule: "r1", At: "acme.yaml:7",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestAFullQueueNeverWaitsAndIsTold(t *testing.T) {
	var out bytes.Buffer
	w := open(t, decisionlog.Config{Path: "-", Stdout: &out})
	const n = 20000 // more than the queue holds; Run reads nothing yet
	for range n {
		w.Add(entry())
	}
	left := w.LeftOut()
	w.Close()
	w.Run()
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var told, written uint64
	for _, l := range lines {
		r, err := decisionlog.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if told += r.LeftOut; r.LeftOut == 0 {
			written++
		}
	}
	if left == 0 || told != left || written+told != n {
		t.Errorf("%d of %d written, %d told as left out, LeftOut is %d", written, n, told, left)
	}
}

func TestTheLoggerIsToldOnceOfAFullQueue(t *testing.T) {
	var said bytes.Buffer
	w, err := decisionlog.Open(decisionlog.Config{Path: "-", Stdout: io.Discard, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		w.Add(entry())
	}
	w.Close()
	w.Run()
	if n := bytes.Count(said.Bytes(), []byte("decision log lacks decisions")); n != 1 {
		t.Errorf("the logger is told %d times; want once:\n%s", n, said.Bytes())
	}
}

func TestFilesAreRotatedBySizeAndNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	w := open(t, decisionlog.Config{Path: path, Size: 1000, Files: 3})
	for range 50 {
		w.Add(entry())
	}
	w.Close()
	w.Run()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{path, path + ".1", path + ".2"}, files); diff != "" {
		t.Error(diff)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || len(b) == 0 || len(b) > 1000 {
			t.Errorf("%s has %d bytes, want 1 to 1000 (%v)", f, len(b), err)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWhatADiskRefusesIsCounted(t *testing.T) {
	w := open(t, decisionlog.Config{Path: "-", Stdout: full{}})
	w.Add(entry())
	w.Close()
	w.Run()
	if w.LeftOut() == 0 {
		t.Error("a record that could not be written is not counted")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"what is no JSON":       `x`,
		"an unknown field":      `{"time":"2026-01-01T00:00:00Z","verdict":"allow","x":1}`,
		"a second object":       `{"time":"2026-01-01T00:00:00Z","verdict":"allow"} {}`,
		"an unknown verdict":    `{"time":"2026-01-01T00:00:00Z","verdict":"maybe"}`,
		"a record without time": `{"verdict":"allow"}`,
	} {
		if r, err := decisionlog.Parse([]byte(line)); err == nil {
			t.Errorf("%s is read as %+v", name, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-01T00:00:00Z","src":{"vpc":"a/b","ip":"10.0.0.1"},"port":1,"verdict":"allow"}`))
	f.Add([]byte(`{"time":"2026-01-01T00:00:00Z","port":0,"left_out":3}`))
	f.Add([]byte(`{"time":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decisionlog.Parse(line)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", r, err)
		}
		if _, err := decisionlog.Parse(again); err != nil {
			t.Fatalf("%s is not read again: %v", again, err)
		}
	})
}

// BenchmarkAdd is what an admission pays for its record, while Run writes.
func BenchmarkAdd(b *testing.B) {
	w := open(b, decisionlog.Config{Path: "-", Stdout: io.Discard})
	done := make(chan struct{})
	go func() { w.Run(); close(done) }()
	e := entry()
	b.ReportAllocs()
	for b.Loop() {
		w.Add(e)
	}
	b.ReportMetric(float64(w.LeftOut())/float64(b.N), "left-out/op")
	w.Close()
	<-done
}

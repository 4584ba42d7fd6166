package decisionlog_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
)

func TestBadLinesAreNamedAndTheRestIsRead(t *testing.T) {
	const good = `{"time":"2026-01-01T00:00:00Z","port":%d,"verdict":"allow"}` + "\n"
	text := fmt.Sprintf(good, 1) + "x\n" + strings.Repeat("y", 3<<20) + "\n" + strings.TrimSpace(fmt.Sprintf(good, 4))
	var got []string
	for r, err := range decisionlog.Read(strings.NewReader(text)) {
		var bad *decisionlog.LineError
		switch {
		case errors.As(err, &bad):
			got = append(got, fmt.Sprint("bad ", bad.Line))
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, fmt.Sprint(r.Port))
		}
	}
	if diff := cmp.Diff([]string{"1", "bad 2", "bad 3", "4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFailureEndsReading(t *testing.T) {
	gone := errors.New("disk is gone")
	for _, err := range decisionlog.Read(io.MultiReader(strings.NewReader("x\n"), iotest.ErrReader(gone))) {
		if errors.As(err, new(*decisionlog.LineError)) {
			continue
		}
		if !errors.Is(err, gone) {
			t.Errorf("reading ended with %v; want what the disk said", err)
		}
		return
	}
	t.Error("reading ended as if all had been read")
}

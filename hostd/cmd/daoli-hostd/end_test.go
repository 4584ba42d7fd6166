package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestProgramThatHangsAtItsEndSaysWhere and ends all the same.
func TestProgramThatHangsAtItsEndSaysWhere(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	var said strings.Builder
	endInTime(ctx, time.Millisecond, &said, func(c int) { code <- c })
	stop()
	if got := <-code; got != exitRefused {
		t.Errorf("exit code %d; want %d", got, exitRefused)
	}
	if text := said.String(); !strings.Contains(text, "still not ended after 1ms") || !strings.Contains(text, "TestProgramThatHangsAtItsEndSaysWhere") {
		t.Errorf("said %q; want where its goroutines are", text)
	}
}

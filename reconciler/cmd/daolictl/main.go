// Daolictl shows what a controller does: its hosts, endpoints and sessions,
// the flows of a session with their counters, and for any pair of endpoints
// the decision with the file and line it comes from. It asks over the
// controller's unix socket and changes nothing.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], system{
		out:      os.Stdout,
		err:      os.Stderr,
		env:      os.Getenv,
		now:      time.Now,
		coloured: onTerminal(os.Stdout),
	})
	stop()
	os.Exit(code)
}

func onTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
)

// decisionFlags are the flags of the decision log.
type decisionFlags struct {
	path        string
	size, files int
}

func (d *decisionFlags) add(f *pflag.FlagSet) {
	f.StringVar(&d.path, "decision-log", "none", "FILE for a JSON line of each decision about a lifted packet; -: stdout; none")
	f.IntVar(&d.size, "decision-log-size", 100, "MiB after which the decision log is rotated to FILE.1")
	f.IntVar(&d.files, "decision-log-files", 10, "files of the decision log that are kept")
}

// open opens the log, nil if there is to be none.
func (d *decisionFlags) open(log *slog.Logger) (*decisionlog.Writer, error) {
	if d.size < 1 || d.files < 1 {
		return nil, usageError{errors.New("--decision-log-size and --decision-log-files must be 1 or more")}
	}
	if d.path == "none" || d.path == "" {
		return nil, nil
	}
	return decisionlog.Open(decisionlog.Config{Path: d.path, Size: int64(d.size) << 20, Files: d.files, Stdout: os.Stdout, Logger: log})
}

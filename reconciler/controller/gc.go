package controller

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage there may be, in percent of what lives: nearly all
// that a new session allocates is garbage at once, and what lives is small, so a
// third of the collections costs little memory (idle: some 50 MB).
const gcPercent = 300

// TuneGC sets the garbage collector's pace for a controller's process, unless the
// environment does (GOGC).
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

package soak

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a program may have more after a settling than after the first,
// whatever happened in between and however often it was started anew.
const (
	moreFiles    = 12 // descriptors
	moreResident = 64 // MB
)

// footprint is what the testbed's programs hold, by program.
type footprint struct {
	files    map[string]int
	resident map[string]int // MB
}

// growth compares the programs with how they were when they first settled.
func (s *soak) growth() error {
	now, err := s.look()
	if err != nil {
		return err
	}
	if s.first == nil {
		s.first = now
	}
	for _, name := range slices.Sorted(maps.Keys(now.files)) {
		if n, was := now.files[name], s.first.files[name]; n > was+moreFiles {
			return fmt.Errorf("%s has %d files open; it had %d", name, n, was)
		}
		if n, was := now.resident[name], s.first.resident[name]; n > was+moreResident {
			return fmt.Errorf("%s has %d MB in memory; it had %d", name, n, was)
		}
	}
	s.opt.Log("files %v, MB %v", now.files, now.resident)
	return nil
}

func (s *soak) look() (*footprint, error) {
	f := &footprint{files: map[string]int{}, resident: map[string]int{}}
	pids := map[string]int{"controller": s.tb.Controller.Process().PID()}
	for _, h := range s.tb.Hosts {
		pids["hostd of "+h.Name] = h.Hostd().PID()
		pids["vswitchd of "+h.Name] = h.Switch().PID()
	}
	for name, pid := range pids {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return nil, err
		}
		f.files[name] = len(files)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return nil, err
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kb, err := strconv.Atoi(strings.Fields(rest + " 0")[0])
		if err != nil {
			return nil, err
		}
		f.resident[name] = kb / 1000
	}
	return f, nil
}

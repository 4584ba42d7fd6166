//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/netns"
)

// state returns, line by line, all that DaoliNet keeps anywhere: flows, groups,
// meters and ports of each switch, sessions with their wire ports, endpoints with
// their addresses, leases, and what hostd saved. Left out is what may differ
// between two runs that came to the same: counters and ages, the numbers of
// sessions, and the controller's epoch. Left out are also flows of drops, which
// the switch forgets within seconds.
func (f *fabric) state() ([]string, error) {
	sessions, err := f.Controller.API().SessionList(f.ctx, api.SessionFilter{})
	if err != nil {
		return nil, err
	}
	var out []string
	names := make(map[uint64]string)
	for _, s := range sessions.Sessions {
		id, err := strconv.ParseUint(s.ID, 0, 64)
		if err != nil {
			return nil, err
		}
		names[id] = fmt.Sprintf("%s>%s:%d/%s", s.From.Name, s.To.Name, s.Port, s.Proto)
		out = append(out, fmt.Sprintf("session %s over %v, wire ports %v: %s %s at %s", names[id], s.Hosts, s.WirePorts,
			s.Decision.Verdict, s.Decision.Rule, s.Decision.At))
	}
	endpoints, err := f.Controller.API().Endpoints(f.ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		out = append(out, fmt.Sprintf("endpoint %s/%s/%s at %s port %d has %s %s, groups %v", e.Tenant, e.VPC, e.Name, e.Host, e.Port, e.IP, e.MAC, e.Groups))
	}
	for _, h := range f.Hosts {
		lines, err := f.switchState(h, names)
		files, ferr := savedState("hostd of "+h.Name, h.StateDir())
		if err := errors.Join(err, ferr); err != nil {
			return nil, err
		}
		out = append(append(out, lines...), files...)
	}
	files, err := savedState("controller", f.Controller.StateDir())
	out = append(out, files...)
	slices.Sort(out)
	return out, err
}

var (
	flowStats  = regexp.MustCompile(`(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, `)
	flowCookie = regexp.MustCompile(`^cookie=(0x[0-9a-f]+|0), `)
)

func (f *fabric) switchState(h *netns.Host, sessions map[uint64]string) ([]string, error) {
	var out []string
	flows, err := h.OFCtl(f.ctx, "dump-flows")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(flows) {
		line = strings.TrimSpace(line)
		m := flowCookie.FindStringSubmatch(line)
		if m == nil {
			continue // the heading
		}
		cookie, err := strconv.ParseUint(m[1], 0, 64)
		if err != nil {
			return nil, err
		}
		c := pipeline.ParseCookie(cookie)
		name := fmt.Sprintf("of category %#x, slot %d, number %d", c.Category, c.Slot, c.Number)
		switch c.Category {
		case pipeline.CategoryDeny:
			continue
		case pipeline.CategorySession:
			if name = sessions[cookie]; name == "" {
				name = "of session " + m[1] + ", which does not live"
			}
		}
		out = append(out, fmt.Sprintf("%s flow %s: %s", h.Name, name, flowStats.ReplaceAllString(line[len(m[0]):], "")))
	}
	for _, command := range []string{"dump-groups", "dump-meters", "dump-ports-desc"} {
		text, err := h.OFCtl(f.ctx, command)
		if err != nil {
			return nil, err
		}
		for i, line := range slices.Collect(strings.Lines(text)) {
			if i > 0 { // the heading, which has a number of the exchange
				out = append(out, fmt.Sprintf("%s %s: %s", h.Name, command, strings.TrimSpace(line)))
			}
		}
	}
	return out, nil
}

// savedState returns the lines of all files in a directory of state, but for the
// count of the controller's starts.
func savedState(who, dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // moved to its place meanwhile
		}
		if err != nil || d.IsDir() || d.Name() == "epoch" {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		out = append(out, fmt.Sprintf("file of %s: %s: %d lines", who, name, strings.Count(string(text), "\n")))
		for i, line := range slices.Collect(strings.Lines(string(text))) {
			out = append(out, fmt.Sprintf("file of %s: %s:%03d: %s", who, name, i, strings.TrimRight(line, "\n")))
		}
		return err
	})
	return out, err
}

//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// surroundings are what Docker could change of the hosts: their firewall, links,
// addresses and routes.
func (f *fabric) surroundings() map[string]string {
	f.t.Helper()
	f.eventually("addresses that are no longer tentative", func() error {
		for _, h := range f.Hosts {
			if said, err := h.Exec(f.ctx, "ip", "-o", "addr"); err != nil || strings.Contains(said, "tentative") {
				return errors.Join(err, errors.New(said))
			}
		}
		return nil
	})
	// daoli-hostd makes the resolver's port beside all else when it starts.
	f.eventually("the resolver's ports", func() error {
		for _, h := range f.Hosts {
			links, err := h.Exec(f.ctx, "ip", "-o", "link")
			rules, rerr := h.Exec(f.ctx, "nft", "list", "ruleset")
			if err := errors.Join(err, rerr); err != nil {
				return err
			}
			_, port, _ := strings.Cut(links, "daoli-dns@")
			if flags, _, _ := strings.Cut(port, ">"); !strings.Contains(flags, "PROMISC") || !strings.Contains(rules, "drop-daoli-dns") {
				return fmt.Errorf("not whole on %s: %s\n%s", h.Name, links, rules)
			}
		}
		return nil
	})
	out := make(map[string]string)
	for _, h := range f.Hosts {
		for _, argv := range [][]string{{"iptables-save"}, {"nft", "list", "ruleset"}, {"ip", "-o", "link"}, {"ip", "-o", "addr"}, {"ip", "route", "show", "table", "all"}} {
			said, err := h.Exec(f.ctx, argv...)
			if err != nil {
				f.t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(said) {
				if !strings.HasPrefix(line, "#") && !strings.Contains(line, "counter packets") && !strings.HasPrefix(line, ":") {
					lines = append(lines, line) // without times and counters
				}
			}
			out[h.Name+" "+strings.Join(argv, " ")] = strings.Join(lines, "")
		}
	}
	return out
}

// left returns all that containers could leave: the state of DaoliNet, in which of
// the leases only those count that are held, and the links of the hosts.
func (f *fabric) left() []string {
	f.t.Helper()
	lines, err := f.tryLeft()
	if err != nil {
		f.t.Fatal(err)
	}
	return lines
}

func (f *fabric) tryLeft() ([]string, error) {
	lines, err := f.state()
	if err != nil {
		return nil, err
	}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "file of controller: leases.json") || strings.Contains(l, `"nextPort": `) // numbers are not given twice
	})
	held, err := f.heldLeases()
	if err != nil {
		return nil, err
	}
	lines = append(lines, held...)
	for _, h := range f.Hosts {
		links, err := h.Exec(f.ctx, "ip", "-o", "link")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(links) {
			lines = append(lines, h.Name+" link "+strings.Fields(line)[1])
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// heldLeases returns the addresses that somebody holds. One that was given back
// rests for a while.
func (f *fabric) heldLeases() (out []string, err error) {
	text, err := os.ReadFile(filepath.Join(f.Controller.StateDir(), "leases.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var leases map[string]map[string]struct {
		Holder   string
		Released time.Time
	}
	if err = errors.Join(err, json.Unmarshal(text, &leases)); err != nil {
		return nil, err
	}
	for vpc, addresses := range leases {
		for ip, l := range addresses {
			if l.Released.IsZero() {
				out = append(out, fmt.Sprintf("lease of %s in %s by %s", ip, vpc, l.Holder))
			}
		}
	}
	return out, nil
}

// leaves waits until there is left what there was before, and nothing else.
func (f *fabric) leaves(before []string) {
	f.t.Helper()
	f.within(settleTime, "the state of before", func() error {
		now, err := f.tryLeft()
		if err == nil {
			err = differ(before, now)
		}
		return err
	})
}

// differ returns the lines that only one of two sorted lists has.
func differ(before, now []string) error {
	var errs []error
	for _, l := range before {
		if _, found := slices.BinarySearch(now, l); !found {
			errs = append(errs, errors.New("missing: "+l))
		}
	}
	for _, l := range now {
		if _, found := slices.BinarySearch(before, l); !found {
			errs = append(errs, errors.New("new: "+l))
		}
	}
	return errors.Join(errs...)
}

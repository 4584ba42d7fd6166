package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// leftovers compares what exists with what should: of each attached endpoint
// one, of everything.
func (s *soak) leftovers(ctx context.Context) error {
	list, err := s.tb.Controller.API().SessionList(ctx, api.SessionFilter{Limit: 10_000})
	if err != nil {
		return err
	}
	live := map[uint64]bool{}
	for _, one := range list.Sessions {
		id, err := strconv.ParseUint(one.ID, 0, 64)
		if err != nil {
			return err
		}
		live[id] = true
	}
	for _, h := range s.tb.Hosts {
		if err := s.leftOn(ctx, h, live); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if err := s.leftNamespaces(); err != nil {
		return err
	}
	return s.leftLeases()
}

// leftOn looks at a host: its switch's flows, meters and ports, and its devices.
func (s *soak) leftOn(ctx context.Context, h *netns.Host, live map[uint64]bool) error {
	var want []int
	for _, i := range s.attached() {
		if e := s.here[i].on; e.Host == h.Name {
			want = append(want, int(e.Port))
		}
	}
	if err := leftFlows(ctx, h, want, live); err != nil {
		return err
	}
	for command, id := range map[string]*regexp.Regexp{
		"dump-meters":     regexp.MustCompile(`(?m)^\s*meter=(\d+)`),
		"dump-ports-desc": regexp.MustCompile(`(?m)^\s*(\d+)\(`),
	} {
		out, err := h.OFCtl(ctx, command)
		if err != nil {
			return err
		}
		var ids []int
		for _, m := range id.FindAllStringSubmatch(out, -1) {
			if n, err := strconv.Atoi(m[1]); err == nil && n >= int(pipeline.FirstEndpointPort) {
				ids = append(ids, n)
			}
		}
		all := slices.Clone(want)
		if command == "dump-meters" { // each has another for what it asks of the resolver
			for _, port := range want {
				all = append(all, port+int(pipeline.MeterResolver))
			}
		}
		if err := same(command, ids, all); err != nil {
			return err
		}
	}
	return leftDevices(h, len(want))
}

// leftFlows looks at all flows of a switch: each is a base flow, an attached
// endpoint's, a live session's, or of a kind that goes by itself.
func leftFlows(ctx context.Context, h *netns.Host, want []int, live map[uint64]bool) error {
	flows, err := h.Flows(ctx, "")
	if err != nil {
		return err
	}
	owners, base := map[int]bool{}, 0
	for _, f := range flows {
		switch c := pipeline.ParseCookie(f.Cookie); c.Category {
		case pipeline.CategoryEndpoint:
			owners[int(c.Number)] = true
		case pipeline.CategorySession:
			if !live[f.Cookie] {
				return fmt.Errorf("flow of a session that does not live: %s", f)
			}
		case pipeline.CategoryBase:
			base++
		case pipeline.CategoryPeer, pipeline.CategoryDeny:
		default:
			return fmt.Errorf("flow that nothing explains: %s", f)
		}
	}
	if base == 0 {
		return errors.New("no base flows")
	}
	return same("endpoints' flows", slices.Collect(maps.Keys(owners)), want)
}

func same(what string, got, want []int) error {
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s are of ports %v; attached are %v", what, got, want)
	}
	return nil
}

// leftDevices counts the endpoints' devices on a host, which begin with dl.
func leftDevices(h *netns.Host, want int) error {
	return inside.Do(h.Namespace, func() error {
		devices, err := net.Interfaces()
		if err != nil {
			return err
		}
		var found []string
		for _, d := range devices {
			if strings.HasPrefix(d.Name, "dl") {
				found = append(found, d.Name)
			}
		}
		if len(found) != want {
			return fmt.Errorf("devices %v; want %d", found, want)
		}
		return nil
	})
}

// leftNamespaces looks for namespaces of endpoints that are gone.
func (s *soak) leftNamespaces() error {
	known := map[string]bool{}
	for _, name := range []string{"rt", "ct", "in"} {
		known[s.tb.Namespace(name)] = true
	}
	for _, h := range s.tb.Hosts {
		known[h.Namespace] = true
	}
	for _, i := range s.attached() {
		known[s.here[i].on.Namespace] = true
	}
	entries, err := os.ReadDir(inside.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), s.tb.ID+"-") && !known[e.Name()] {
			return fmt.Errorf("namespace %s is nobody's", e.Name())
		}
	}
	return nil
}

// leftLeases looks for addresses that are held by nobody. Those that were given
// back rest for a while, and go with a later one that is.
func (s *soak) leftLeases() error {
	var leases map[string]map[string]struct {
		Holder   string
		Released time.Time
	}
	text, err := os.ReadFile(filepath.Join(s.tb.Controller.StateDir(), "leases.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &leases); err != nil {
		return err
	}
	var got, want []string
	for _, i := range s.attached() {
		e := s.here[i].on
		want = append(want, fmt.Sprintf("%s of %s@%s", e.Addr, e.Path(), e.Host))
	}
	for _, vpc := range leases {
		for ip, l := range vpc {
			if l.Released.IsZero() {
				got = append(got, fmt.Sprintf("%s of %s", ip, l.Holder))
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("leases are held: %q; attached are %q", got, want)
	}
	return nil
}

package names

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultResolvConf is where a host says which name servers it asks (resolv.conf(5)).
const DefaultResolvConf = "/etc/resolv.conf"

// stubConf is where systemd-resolved says which servers it asks, when the host
// asks only it. Docker gives its containers those then.
const stubConf = "/run/systemd/resolve/resolv.conf"

const (
	maxServers = 3        // as glibc's resolver has it (MAXNS)
	maxConf    = 64 << 10 // bytes
	confEvery  = time.Second
)

// Given returns the name servers that a container of a host with that resolv.conf
// is given, as far as it can reach them: no loopback ones.
func Given(path string) []netip.Addr {
	servers := readConf(path)
	if slices.Equal(servers, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53})}) {
		servers = readConf(stubConf)
	}
	return slices.DeleteFunc(servers, func(a netip.Addr) bool { return !a.Is4() || a.IsLoopback() })
}

// readConf returns the name servers of a resolv.conf; none if it can't be read.
func readConf(path string) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConf))
	if err != nil {
		return nil
	}
	return parseConf(b)
}

func parseConf(b []byte) []netip.Addr {
	var out []netip.Addr
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() && len(out) < maxServers {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// servers are those of a resolv.conf, read again when it changed.
type servers struct {
	path string
	self netip.Addr // left out: we would ask ourselves

	mu      sync.Mutex // guards the following fields
	list    []netip.Addr
	looked  time.Time
	changed time.Time // of the file
}

func (s *servers) get(now time.Time) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.looked.IsZero() && now.Sub(s.looked) < confEvery {
		return s.list
	}
	s.looked = now
	info, err := os.Stat(s.path)
	if err != nil || info.ModTime().Equal(s.changed) {
		return s.list
	}
	s.changed = info.ModTime()
	s.list = slices.DeleteFunc(readConf(s.path), func(a netip.Addr) bool { return a.Unmap() == s.self })
	return s.list
}

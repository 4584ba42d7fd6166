package preflight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// commandTimeout bounds one program that is asked.
const commandTimeout = 5 * time.Second

// Query says what to collect facts for.
type Query struct {
	Device     string // the uplink, or what a wire device is made on
	OwnAddress bool   // the wire gets an address of its own
	Given      bool   // with OwnAddress: Device itself becomes the port
	Userspace  bool
	OVSRunDir  string
}

// Collect reads the facts from the kernel, from the files that network managers
// leave, and from iptables, nft and ovs-vsctl where they are installed.
func Collect(ctx context.Context, q Query) (Facts, error) {
	f := Facts{Device: q.Device, OwnAddress: q.OwnAddress, Given: q.Given, Userspace: q.Userspace}
	l, err := netlink.LinkByName(q.Device)
	if err != nil {
		return f, fmt.Errorf("find device %q: %w", q.Device, err)
	}
	if err := f.links(l); err != nil {
		return f, err
	}
	if err := f.routing(l); err != nil {
		return f, err
	}
	f.files(strconv.Itoa(l.Attrs().Index))
	f.Clients = clients()
	return f, f.programs(ctx, q.OVSRunDir)
}

// links reads what the device is, what it is part of, and what stands on it.
func (f *Facts) links(l netlink.Link) error {
	all, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	own := l.Attrs()
	if f.Kind = l.Type(); f.Kind == "device" {
		f.Kind = ""
	}
	for _, o := range all {
		a := o.Attrs()
		switch {
		case a.Index == own.Index:
		case own.MasterIndex != 0 && a.Index == own.MasterIndex:
			f.Master, f.MasterKind = a.Name, o.Type()
		case a.ParentIndex == own.Index && (o.Type() == "macvlan" || o.Type() == "macvtap" || o.Type() == "ipvlan" || o.Type() == "vlan"):
			f.Above = append(f.Above, Above{Name: a.Name, Kind: o.Type()})
		}
	}
	return nil
}

// routing reads addresses, routes with several next hops, and rules.
func (f *Facts) routing(l netlink.Link) error {
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %q: %w", f.Device, err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ones, _ := a.Mask.Size()
		f.Addrs = append(f.Addrs, Addr{Prefix: netip.PrefixFrom(ip.Unmap(), ones), Permanent: a.Flags&unix.IFA_F_PERMANENT != 0})
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		for _, hop := range r.MultiPath {
			if hop.LinkIndex == l.Attrs().Index {
				f.Multipath = append(f.Multipath, fmt.Sprint(r.Dst))
				break
			}
		}
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	for _, r := range rules {
		f.IPRules = append(f.IPRules, Rule{Priority: r.Priority, Iif: r.IifName, Oif: r.OifName})
	}
	return nil
}

// files reads what managers and DHCP clients leave. A file that is not there or
// can't be read says nothing.
func (f *Facts) files(index string) {
	f.NetworkManager = content("/run/NetworkManager/devices/" + index)
	f.Networkd = content("/run/systemd/netif/links/" + index)
	f.NetworkdLease = content("/run/systemd/netif/leases/" + index)
	f.IfState = content("/run/network/ifstate")
	f.Leases = map[string]string{}
	for _, pattern := range []string{"/var/lib/dhcp/*.leases", "/var/lib/dhclient/*.lease*", "/var/lib/NetworkManager/*.lease"} {
		paths, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, path := range paths {
			f.Leases[path] = content(path)
		}
	}
}

func content(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// clients returns the command lines of the DHCP clients in this network
// namespace.
func clients() []string {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil
	}
	var found []string
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range paths {
		args := strings.ReplaceAll(strings.TrimRight(content(path), "\x00"), "\x00", " ")
		name, _, _ := strings.Cut(args, " ")
		switch filepath.Base(name) {
		case "dhclient", "dhcpcd", "udhcpc", "dhcpcd5":
			if ns, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns/net")); err == nil && ns == own {
				found = append(found, args)
			}
		}
	}
	return found
}

// programs asks the firewall's and Open vSwitch's. The firewall's need not be
// installed.
func (f *Facts) programs(ctx context.Context, ovsRunDir string) error {
	var err error
	for _, save := range []string{"iptables-legacy-save", "ip6tables-legacy-save"} {
		out, err := output(ctx, save)
		if err == nil {
			f.IPTables = append(f.IPTables, out)
		}
	}
	if f.NFT, err = output(ctx, "nft", "-j", "list", "ruleset"); err != nil && !errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("read the firewall's rules: %w", err)
	}
	db := "--db=unix:" + ovsRunDir + "/db.sock"
	out, err := output(ctx, "ovs-vsctl", "--timeout=5", db, "get-manager")
	if err != nil {
		return fmt.Errorf("read managers of Open vSwitch: %w", err)
	}
	f.OVSManager = strings.Fields(out)
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

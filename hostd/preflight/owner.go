package preflight

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// lease finds addresses that somebody gave for a time.
func lease(f Facts, add adder) {
	const way = "make the address static, or " + wayAddress
	if strings.TrimSpace(f.NetworkdLease) != "" {
		add(DHCP, way, "systemd-networkd has a DHCP lease for %s", f.Device)
		return
	}
	for _, path := range slices.Sorted(maps.Keys(f.Leases)) {
		if f.leased(path, f.Leases[path]) {
			add(DHCP, way, "%s holds a DHCP lease for %s", path, f.Device)
			return
		}
	}
	for _, c := range f.Clients {
		if slices.Contains(strings.Fields(c), f.Device) {
			add(DHCP, way, "a DHCP client serves %s: %s", f.Device, c)
			return
		}
	}
	for _, a := range f.Addrs {
		if a.Prefix.Addr().Is4() && !a.Permanent {
			add(DHCP, way, "%s has its address %s for a time only (DHCP)", f.Device, a.Prefix)
			return
		}
	}
}

// leased reports whether the content of a lease's file speaks of an address that
// the device has now: old files are left behind by clients that are gone.
func (f *Facts) leased(path, content string) bool {
	var ours bool
	for _, a := range f.Addrs {
		ip := a.Prefix.Addr()
		ours = ours || ip.Is4() && (strings.Contains(content, "fixed-address "+ip.String()+";") || strings.Contains(content, "ADDRESS="+ip.String()+"\n"))
	}
	return ours && (strings.Contains(content, fmt.Sprintf("interface %q;", f.Device)) || strings.Contains(filepath.Base(path), f.Device))
}

// manager finds who configures the device and would not know what it is after
// joining.
func manager(f Facts, add adder) {
	if value(f.NetworkManager, "managed") == "true" {
		add(Manager, fmt.Sprintf("make it leave the device alone (nmcli device set %s managed no, and unmanaged-devices=interface-name:%[1]s for the next start), or "+wayAddress, f.Device),
			"NetworkManager manages %s and would give it its address again", f.Device)
	}
	if state := value(f.Networkd, "ADMIN_STATE"); state != "" && state != "unmanaged" && state != "initialized" && state != "linger" {
		who, file := "systemd-networkd", value(f.Networkd, "NETWORK_FILE")
		if strings.Contains(filepath.Base(file), "netplan") {
			who = "netplan (systemd-networkd)"
		}
		add(Manager, "set KeepConfiguration=static and ConfigureWithoutCarrier=yes there, or "+wayAddress,
			"%s configures %s by %s and would give it its address again when it restarts", who, f.Device, orNone(file))
	}
	for line := range strings.Lines(f.IfState) {
		if line = strings.TrimSpace(line); line == f.Device || strings.HasPrefix(line, f.Device+"=") {
			add(Manager, "never use ifup and ifdown on it and accept that, or "+wayAddress,
				"ifupdown (/etc/network/interfaces) configures %s: restarting networking would cut the host off", f.Device)
			return
		}
	}
}

// value returns the value of KEY=VALUE in a file of such lines.
func value(content, key string) string {
	for line := range strings.Lines(content) {
		if v, found := strings.CutPrefix(strings.TrimSpace(line), key+"="); found {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func orNone(s string) string {
	if s == "" {
		return "a file that it does not name"
	}
	return s
}

package preflight_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/preflight"
)

func addr(s string) preflight.Addr {
	return preflight.Addr{Prefix: netip.MustParsePrefix(s), Permanent: true}
}

// plain is a host that nothing speaks against.
func plain() preflight.Facts {
	return preflight.Facts{
		Device:   "eth0",
		Addrs:    []preflight.Addr{addr("172.31.1.1/24"), addr("fe80::1/64")},
		Networkd: "ADMIN_STATE=unmanaged\n", NetworkManager: "[device]\nmanaged=false\n", IfState: "lo=lo\neth1=eth1\n",
		IPRules:  []preflight.Rule{{Priority: 32766}},
		NFT:      nft(`{"chain":{"family":"netdev","table":"daoli","name":"drop-eth0","dev":"eth0"}}`, rule(`{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"docker0"}}`)),
		IPTables: []string{"*filter\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\nCOMMIT\n"},
		Leases:   map[string]string{"/var/lib/dhcp/dhclient.eth0.leases": "lease {\n  interface \"eth0\";\n  fixed-address 10.0.0.9;\n}\n"},
		Clients:  []string{"dhclient eth1"},
	}
}

func nft(objects ...string) string { return `{"nftables":[` + strings.Join(objects, ",") + `]}` }

func rule(expr string) string {
	return `{"rule":{"family":"inet","table":"filter","chain":"input","expr":[` + expr + `,{"drop":null}]}}`
}

func TestFind(t *testing.T) {
	tests := []struct {
		name   string
		change func(*preflight.Facts)
		want   []preflight.Kind
		says   string // in what was found or the way out
	}{
		{"nothing speaks against a plain host", func(f *preflight.Facts) {}, nil, ""},
		{"NetworkManager owns it", func(f *preflight.Facts) { f.NetworkManager = "[device]\nmanaged=true\n" }, []preflight.Kind{preflight.Manager}, "nmcli device set eth0 managed no"},
		{"networkd owns it", func(f *preflight.Facts) {
			f.Networkd = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-up.network\n"
		}, []preflight.Kind{preflight.Manager}, "systemd-networkd configures eth0 by /etc/systemd/network/10-up.network"},
		{"netplan owns it", func(f *preflight.Facts) {
			f.Networkd = "ADMIN_STATE=configured\nNETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\n"
		}, []preflight.Kind{preflight.Manager}, "netplan"},
		{"ifupdown owns it", func(f *preflight.Facts) { f.IfState = "lo=lo\neth0=home\n" }, []preflight.Kind{preflight.Manager}, "/etc/network/interfaces"},
		{"another device's name begins alike", func(f *preflight.Facts) { f.IfState = "eth0.5=eth0.5\n" }, nil, ""},
		{"networkd leased the address", func(f *preflight.Facts) { f.NetworkdLease = "ADDRESS=172.31.1.1\n" }, []preflight.Kind{preflight.DHCP}, "--wire-address"},
		{"dhclient leased the address", func(f *preflight.Facts) {
			f.Leases["/var/lib/dhcp/dhclient.leases"] = "lease {\n  interface \"eth0\";\n  fixed-address 172.31.1.1;\n}\n"
		}, []preflight.Kind{preflight.DHCP}, "/var/lib/dhcp/dhclient.leases"},
		{"a DHCP client runs for it", func(f *preflight.Facts) { f.Clients = []string{"/sbin/dhclient -4 eth0"} }, []preflight.Kind{preflight.DHCP}, "/sbin/dhclient -4 eth0"},
		{"the address has an end", func(f *preflight.Facts) { f.Addrs[0].Permanent = false }, []preflight.Kind{preflight.DHCP}, "for a time only"},
		{"a global IPv6 address", func(f *preflight.Facts) { f.Addrs = append(f.Addrs, addr("fd00::2/64")) }, []preflight.Kind{preflight.IPv6}, "fd00::2/64"},
		{"iptables by name", func(f *preflight.Facts) {
			f.IPTables = []string{"-A INPUT -i eth0 -p tcp --dport 22 -j ACCEPT\n-A OUTPUT -o eth0 -j LOG\n"}
		}, []preflight.Kind{preflight.Firewall}, "iptables -A INPUT -i eth0 -p tcp --dport 22 -j ACCEPT, and 1 more"},
		{"iptables but for a name", func(f *preflight.Facts) { f.IPTables = []string{"-A INPUT ! -i eth0 -j DROP\n"} }, []preflight.Kind{preflight.Firewall}, "! -i eth0"},
		{"iptables by a wildcard", func(f *preflight.Facts) { f.IPTables = []string{"-A INPUT -i eth+ -j ACCEPT\n"} }, []preflight.Kind{preflight.Firewall}, "eth+"},
		{"iptables for any interface", func(f *preflight.Facts) { f.IPTables = []string{"-A INPUT -i + -j ACCEPT\n"} }, nil, ""},
		{"nft by name", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}}`))
		}, []preflight.Kind{preflight.Firewall}, "nft rule in inet filter input"},
		{"nft by index", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"meta":{"key":"oif"}},"right":"eth0"}}`))
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"nft by a set in the rule", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":{"set":["lo","eth0"]}}}`))
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"nft by a concatenation", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"concat":[{"meta":{"key":"iifname"}},{"payload":{"protocol":"tcp","field":"dport"}}]},"right":{"set":[{"concat":["eth0",22]}]}}}`))
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"nft by a wildcard", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"et*"}}`))
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"nft by a verdict map", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"vmap":{"key":{"meta":{"key":"iifname"}},"data":{"set":[["eth0",{"jump":{"target":"x"}}]]}}}`))
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"nft by a named set", func(f *preflight.Facts) {
			f.NFT = nft(`{"set":{"family":"inet","table":"filter","name":"wan","type":"ifname","elem":["eth0"]}}`)
		}, []preflight.Kind{preflight.Firewall}, "nft set inet filter wan"},
		{"nft's chain on the device", func(f *preflight.Facts) {
			f.NFT = nft(`{"chain":{"family":"netdev","table":"guard","name":"in","dev":"eth0"}}`)
		}, []preflight.Kind{preflight.Firewall}, "nft chain netdev guard in"},
		{"nft's flow table on several devices", func(f *preflight.Facts) {
			f.NFT = nft(`{"flowtable":{"family":"inet","table":"t","name":"fast","dev":["eth1","eth0"]}}`)
		}, []preflight.Kind{preflight.Firewall}, ""},
		{"a word that is the name of something else", func(f *preflight.Facts) {
			f.NFT = nft(rule(`{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"eth0"}},{"log":{"prefix":"eth0"}}`))
		}, nil, ""},
		{"nft that is not understood", func(f *preflight.Facts) { f.NFT = `{"nftables":` }, []preflight.Kind{preflight.Firewall}, "not understood"},
		{"routing rules by name", func(f *preflight.Facts) {
			f.IPRules = append(f.IPRules, preflight.Rule{Priority: 100, Iif: "eth0"})
		}, []preflight.Kind{preflight.Rules}, "routing rule 100"},
		{"a route with several next hops", func(f *preflight.Facts) { f.Multipath = []string{"10.0.0.0/8"} }, []preflight.Kind{preflight.Routes}, "10.0.0.0/8"},
		{"a slave of a bond", func(f *preflight.Facts) { f.Master, f.MasterKind = "bond0", "bond" }, []preflight.Kind{preflight.Enslaved}, "name bond0 by --uplink"},
		{"another switch's port", func(f *preflight.Facts) { f.Master, f.MasterKind = "ovs-system", "openvswitch" }, []preflight.Kind{preflight.Enslaved}, ""},
		{"a bond", func(f *preflight.Facts) { f.Kind = "bond" }, nil, ""},
		{"a VLAN sub-interface", func(f *preflight.Facts) { f.Kind = "vlan" }, nil, ""},
		{"a Linux bridge", func(f *preflight.Facts) { f.Kind = "bridge" }, []preflight.Kind{preflight.Device}, ""},
		{"a tunnel without Ethernet", func(f *preflight.Facts) { f.Kind = "wireguard" }, []preflight.Kind{preflight.Device}, ""},
		{"a macvlan stands on it", func(f *preflight.Facts) { f.Above = []preflight.Above{{Name: "mv0", Kind: "macvlan"}} }, []preflight.Kind{preflight.Stacked}, "mv0"},
		{"a VLAN stands on it, kernel datapath", func(f *preflight.Facts) { f.Above = []preflight.Above{{Name: "eth0.5", Kind: "vlan"}} }, nil, ""},
		{"a VLAN stands on it, userspace datapath", func(f *preflight.Facts) {
			f.Above, f.Userspace = []preflight.Above{{Name: "eth0.5", Kind: "vlan"}}, true
		}, []preflight.Kind{preflight.Stacked}, "eth0.5"},
		{"a manager by TLS", func(f *preflight.Facts) { f.OVSManager = []string{"ssl:10.0.0.1:6640"} }, []preflight.Kind{preflight.OVS}, ""},
		{"a manager on this host", func(f *preflight.Facts) { f.OVSManager = []string{"ptcp:6640:127.0.0.1"} }, nil, ""},

		{"an own address minds none of what concerns the host's", func(f *preflight.Facts) {
			f.OwnAddress, f.NetworkdLease, f.IfState, f.NetworkManager = true, "ADDRESS=172.31.1.1\n", "eth0\n", "managed=true\n"
			f.IPTables = []string{"-A INPUT -i eth0 -j ACCEPT\n"}
			f.IPRules = []preflight.Rule{{Iif: "eth0"}}
			f.Addrs = append(f.Addrs, addr("fd00::2/64"))
			f.Kind, f.Above = "bridge", []preflight.Above{{Name: "mv0", Kind: "macvlan"}}
		}, nil, ""},
		{"an own address on a switch's port", func(f *preflight.Facts) { f.OwnAddress, f.Master, f.MasterKind = true, "ovs-system", "openvswitch" }, []preflight.Kind{preflight.Enslaved}, ""},
		{"an own address on a bond's slave", func(f *preflight.Facts) { f.OwnAddress, f.Master, f.MasterKind = true, "bond0", "bond" }, []preflight.Kind{preflight.Enslaved}, "bond0"},
		{"a given device that carries macvlans", func(f *preflight.Facts) {
			f.OwnAddress, f.Given, f.Above = true, true, []preflight.Above{{Name: "mv0", Kind: "macvlan"}}
		}, []preflight.Kind{preflight.Stacked}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := plain()
			tt.change(&f)
			found := preflight.Find(f)
			var kinds []preflight.Kind
			var text strings.Builder
			for _, o := range found {
				kinds = append(kinds, o.Kind)
				text.WriteString(o.What + "\n" + o.Way + "\n")
				if o.What == "" || o.Way == "" {
					t.Errorf("%+v does not say what or no way out", o)
				}
			}
			if !slices.Equal(kinds, tt.want) || !strings.Contains(text.String(), tt.says) {
				t.Errorf("Find = %v:\n%swant %v, with %q", kinds, text.String(), tt.want, tt.says)
			}
		})
	}
}

func TestRefusalsAreAcceptedByTheirWords(t *testing.T) {
	found := []preflight.Obstacle{
		{Kind: preflight.DHCP, What: "a lease", Way: "make it static"}, {Kind: preflight.IPv6, What: "fd00::2", Way: "remove it"},
	}
	for _, tt := range []struct {
		name     string
		accepted []string
		left     []preflight.Kind
	}{
		{"nothing", nil, []preflight.Kind{preflight.DHCP, preflight.IPv6}},
		{"another", []string{"firewall"}, []preflight.Kind{preflight.DHCP, preflight.IPv6}},
		{"one", []string{"dhcp"}, []preflight.Kind{preflight.IPv6}},
		{"what can't be accepted", []string{"dhcp", "ipv6"}, []preflight.Kind{preflight.IPv6}},
	} {
		var refused *preflight.Refusal
		if err := preflight.Refuse(found, tt.accepted); !errors.As(err, &refused) {
			t.Errorf("%s: Refuse = %v; want a refusal", tt.name, err)
			continue
		}
		var left []preflight.Kind
		for _, o := range refused.Obstacles {
			left = append(left, o.Kind)
		}
		if !slices.Equal(left, tt.left) {
			t.Errorf("%s: left are %v; want %v", tt.name, left, tt.left)
		}
	}
	if err := preflight.Refuse(found[:1], []string{"dhcp"}); err != nil {
		t.Errorf("Refuse of what is accepted = %v", err)
	}
	text := preflight.Refuse(found, nil).Error()
	if !strings.Contains(text, "--accept dhcp") || strings.Contains(text, "--accept ipv6") {
		t.Errorf("the refusal's text is\n%s\nwant how to accept what can be, and only that", text)
	}
	for word, fine := range map[string]bool{"manager": true, "dhcp": true, "firewall": true, "rules": true, "ipv6": false, "all": false, "": false} {
		if err := preflight.CheckAccepted([]string{word}); (err == nil) != fine {
			t.Errorf("CheckAccepted(%q) = %v", word, err)
		}
	}
}

// FuzzFind: whatever files and programs say, Find returns, and a device whose
// name nobody says is in no finding of the firewall's.
func FuzzFind(f *testing.F) {
	f.Add(nft(rule(`{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth0"}}`)), "-A INPUT -i eth0\n", "ADMIN_STATE=configured\n", "eth0=eth0\n")
	f.Add(`{"nftables":[{"rule":null},{"set":{"elem":{}}}]}`, "-i", "=", "=\n")
	f.Fuzz(func(t *testing.T, nftables, iptables, networkd, ifstate string) {
		facts := plain()
		facts.NFT, facts.IPTables, facts.Networkd, facts.IfState = nftables, []string{iptables}, networkd, ifstate
		for _, o := range preflight.Find(facts) {
			if o.What == "" || o.Way == "" {
				t.Errorf("%+v says nothing", o)
			}
		}
	})
}

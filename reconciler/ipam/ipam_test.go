package ipam_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/ipam"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func TestPick(t *testing.T) {
	type leases map[string]ipam.Lease
	const a, b = "acme/prod/a@h1", "acme/prod/b@h1"
	tests := []struct {
		name     string
		pool     string
		reserved string
		leases   leases
		holder   string
		ip       string
		want     string
		reason   ipam.Reason
		wait     time.Duration
	}{
		{name: "lowest after the gateway", pool: "10.1.0.0/24", holder: a, want: "10.1.0.2"},
		{name: "pool with host bits", pool: "10.1.0.77/24", holder: a, want: "10.1.0.2"},
		{name: "held and reserved are passed over", pool: "10.1.0.0/24", reserved: "10.1.0.3", leases: leases{"10.1.0.2": {Holder: b}}, holder: a, want: "10.1.0.4"},
		{name: "a gap is filled", pool: "10.1.0.0/24", leases: leases{"10.1.0.2": {Holder: b}, "10.1.0.4": {Holder: b}}, holder: a, want: "10.1.0.3"},
		{name: "rests 60 s", pool: "10.1.0.0/24", leases: leases{"10.1.0.2": {b, ago(59 * time.Second)}}, holder: a, want: "10.1.0.3"},
		{name: "free after the rest", pool: "10.1.0.0/24", leases: leases{"10.1.0.2": {b, ago(60 * time.Second)}}, holder: a, want: "10.1.0.2"},
		{name: "rests when the clock went back", pool: "10.1.0.0/24", leases: leases{"10.1.0.2": {b, now.Add(time.Second)}}, holder: a, want: "10.1.0.3"},
		{name: "the holder's own again", pool: "10.1.0.0/24", leases: leases{"10.1.0.9": {Holder: a}}, holder: a, want: "10.1.0.9"},
		{name: "the holder's own again, resting", pool: "10.1.0.0/24", leases: leases{"10.1.0.9": {a, ago(time.Second)}}, holder: a, want: "10.1.0.9"},
		{name: "held before released", pool: "10.1.0.0/24", leases: leases{"10.1.0.5": {a, ago(time.Second)}, "10.1.0.9": {Holder: a}}, holder: a, want: "10.1.0.9"},
		{name: "own lease in another subnet", pool: "10.1.0.0/24", leases: leases{"10.1.1.9": {Holder: a}}, holder: a, want: "10.1.0.2"},
		{name: "own lease now reserved", pool: "10.1.0.0/24", reserved: "10.1.0.9", leases: leases{"10.1.0.9": {Holder: a}}, holder: a, want: "10.1.0.2"},
		{name: "wanted and free", pool: "10.1.0.0/24", holder: a, ip: "10.1.0.50", want: "10.1.0.50"},
		{name: "wanted and own", pool: "10.1.0.0/24", leases: leases{"10.1.0.50": {a, ago(time.Second)}}, holder: a, ip: "10.1.0.50", want: "10.1.0.50"},
		{name: "wanted beside own", pool: "10.1.0.0/24", leases: leases{"10.1.0.9": {Holder: a}}, holder: a, ip: "10.1.0.50", want: "10.1.0.50"},
		{name: "wanted but held", pool: "10.1.0.0/24", leases: leases{"10.1.0.50": {Holder: b}}, holder: a, ip: "10.1.0.50", reason: ipam.Held},
		{name: "wanted but resting", pool: "10.1.0.0/24", leases: leases{"10.1.0.50": {b, ago(50 * time.Second)}}, holder: a, ip: "10.1.0.50", reason: ipam.Resting, wait: 10 * time.Second},
		{name: "wanted outside", pool: "10.1.0.0/24", holder: a, ip: "10.1.1.2", reason: ipam.OutOfPool},
		{name: "wanted IPv6", pool: "10.1.0.0/24", holder: a, ip: "::ffff:10.1.0.2", reason: ipam.OutOfPool},
		{name: "wanted network", pool: "10.1.0.0/24", holder: a, ip: "10.1.0.0", reason: ipam.Reserved},
		{name: "wanted gateway", pool: "10.1.0.0/24", holder: a, ip: "10.1.0.1", reason: ipam.Reserved},
		{name: "wanted broadcast", pool: "10.1.0.0/24", holder: a, ip: "10.1.0.255", reason: ipam.Reserved},
		{name: "wanted virtual IP", pool: "10.1.0.0/24", reserved: "10.1.0.200", holder: a, ip: "10.1.0.200", reason: ipam.Reserved},
		{name: "one address in a /30", pool: "10.1.0.4/30", holder: a, want: "10.1.0.6"},
		{name: "full", pool: "10.1.0.4/30", leases: leases{"10.1.0.6": {Holder: b}}, holder: a, reason: ipam.Exhausted},
		{name: "full until one has rested", pool: "10.1.0.4/30", leases: leases{"10.1.0.6": {b, ago(45 * time.Second)}}, holder: a, reason: ipam.Exhausted, wait: 15 * time.Second},
		{name: "a /31 has none", pool: "10.1.0.4/31", holder: a, reason: ipam.Exhausted},
		{name: "a /32 has none", pool: "10.1.0.4/32", holder: a, reason: ipam.Exhausted},
		{name: "end of the address space", pool: "255.255.255.252/30", leases: leases{"255.255.255.254": {Holder: b}}, holder: a, reason: ipam.Exhausted},
		{name: "IPv6 pool", pool: "fd00::/64", holder: a, reason: ipam.Unsuitable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			held := map[netip.Addr]ipam.Lease{}
			for ip, l := range tt.leases {
				held[netip.MustParseAddr(ip)] = l
			}
			reserved := func(ip netip.Addr) bool { return ip.String() == tt.reserved }
			req := ipam.Request{Holder: tt.holder}
			if tt.ip != "" {
				req.IP = netip.MustParseAddr(tt.ip)
			}
			got, err := ipam.Pick(netip.MustParsePrefix(tt.pool), reserved, held, req, now)
			if tt.want != "" {
				if err != nil || got.String() != tt.want {
					t.Fatalf("Pick = %s, %v; want %s", got, err, tt.want)
				}
				return
			}
			var e *ipam.Error
			if !errors.As(err, &e) {
				t.Fatalf("Pick = %s, %v; want reason %q", got, err, tt.reason)
			}
			if e.Reason != tt.reason || e.Wait != tt.wait {
				t.Errorf("Pick: reason %q, wait %s; want %q, %s", e.Reason, e.Wait, tt.reason, tt.wait)
			}
		})
	}
}

func TestPickWithoutReservations(t *testing.T) {
	got, err := ipam.Pick(netip.MustParsePrefix("10.1.0.0/24"), nil, nil, ipam.Request{Holder: "a"}, now)
	if err != nil || got.String() != "10.1.0.2" {
		t.Errorf("Pick = %s, %v; want 10.1.0.2", got, err)
	}
}

func TestErrorsSayTheWayOut(t *testing.T) {
	pool, ip := netip.MustParsePrefix("10.1.0.0/24"), netip.MustParseAddr("10.1.0.9")
	tests := []struct {
		err  ipam.Error
		want string
	}{
		{ipam.Error{Reason: ipam.OutOfPool, Pool: pool, IP: ip}, "address 10.1.0.9 is outside the subnet 10.1.0.0/24"},
		{ipam.Error{Reason: ipam.Reserved, Pool: pool, IP: ip}, "address 10.1.0.9 of subnet 10.1.0.0/24 is reserved"},
		{ipam.Error{Reason: ipam.Held, Pool: pool, IP: ip, Holder: "acme/prod/a@h1"}, "address 10.1.0.9 is held by acme/prod/a@h1"},
		{ipam.Error{Reason: ipam.Resting, Pool: pool, IP: ip, Holder: "acme/prod/a@h1", Wait: 9400 * time.Millisecond},
			"address 10.1.0.9 rests after its release by acme/prod/a@h1 for another 9s"},
		{ipam.Error{Reason: ipam.Exhausted, Pool: pool}, "subnet 10.1.0.0/24 has no free address"},
		{ipam.Error{Reason: ipam.Exhausted, Pool: pool, Wait: 5 * time.Second}, "subnet 10.1.0.0/24 has no free address; the next one is free in 5s"},
		{ipam.Error{Reason: ipam.Unsuitable, Pool: netip.MustParsePrefix("fd00::/64")}, "fd00::/64 is no IPv4 subnet"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.err.Error()); diff != "" {
			t.Errorf("Error() (-want +got):\n%s", diff)
		}
	}
}

func TestMACIsStableAndItsOwnPerVPCAndAddress(t *testing.T) {
	ip := netip.MustParseAddr("10.1.0.2")
	m := ipam.MAC("acme/prod", ip)
	if want := [6]byte{0x02, 0x82, 0x2d, 0xce, 0x2b, 0xd2}; m != want {
		t.Errorf("MAC(acme/prod, %s) = %x; want %x: a change moves every endpoint", ip, m, want)
	}
	if m == ipam.MAC("globex/prod", ip) || m == ipam.MAC("acme/prod", ip.Next()) {
		t.Error("another VPC or address has the same MAC")
	}
}

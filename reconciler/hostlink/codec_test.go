package hostlink

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/inventory"
)

func wellFormed() *hostpb.Hello {
	return &hostpb.Hello{
		Host: "h1", BootId: "b", Dpid: 1,
		Uplink: &hostpb.Uplink{
			Ofport: 1, Mac: []byte{2, 0, 0, 0, 0, 1}, Ip: []byte{172, 31, 1, 1}, PrefixLen: 24,
			NextHopIp: []byte{172, 31, 1, 254}, NextHopMac: []byte{2, 0, 0, 0, 0, 2}, Mtu: 1500,
		},
		Listeners: []*hostpb.Listener{{Proto: 17, Port: 16384}, {Proto: 6, Port: 16384}},
		Endpoints: []*hostpb.Endpoint{endpoint(0), endpoint(1)},
		Addresses: [][]byte{{172, 17, 0, 1}, {192, 0, 2, 1}}, Controllers: [][]byte{{172, 31, 250, 1}},
	}
}

// addresses returns n different ones.
func addresses(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = []byte{10, 200, byte(i >> 8), byte(i)}
	}
	return out
}

func endpoint(i int) *hostpb.Endpoint {
	return &hostpb.Endpoint{
		Name: "e" + strconv.Itoa(i), Tenant: "acme", Vpc: "prod", Subnet: "web",
		Ip: []byte{10, 1, byte(i >> 8), byte(i)}, Mac: []byte{2, 0, 0, 0, byte(i >> 8), byte(i)}, Ofport: hostpb.FirstEndpointPort + uint32(i),
	}
}

func TestHelloIsValidated(t *testing.T) {
	tests := []struct {
		name string
		bend func(*hostpb.Hello)
		want string // part of the error; empty: accepted
	}{
		{"well formed", func(*hostpb.Hello) {}, ""},
		{"next hop unknown", func(h *hostpb.Hello) { h.Uplink.NextHopIp, h.Uplink.NextHopMac = nil, nil }, ""},
		{"no endpoints, no listeners", func(h *hostpb.Hello) { h.Endpoints, h.Listeners = nil, nil }, ""},
		{"two VPCs use one name and address", func(h *hostpb.Hello) { h.Endpoints[1].Name, h.Endpoints[1].Vpc = "e0", "dev" }, ""},
		{"host name empty", func(h *hostpb.Hello) { h.Host = "" }, "host name"},
		{"host name with path", func(h *hostpb.Hello) { h.Host = "../h1" }, "host name"},
		{"host name long", func(h *hostpb.Hello) { h.Host = strings.Repeat("h", 254) }, "host name"},
		{"boot id long", func(h *hostpb.Hello) { h.BootId = strings.Repeat("b", 65) }, "boot id"},
		{"boot id unprintable", func(h *hostpb.Hello) { h.BootId = "a\nb" }, "boot id"},
		{"dpid zero", func(h *hostpb.Hello) { h.Dpid = 0 }, "datapath id"},
		{"no uplink", func(h *hostpb.Hello) { h.Uplink = nil }, "no uplink"},
		{"uplink port zero", func(h *hostpb.Hello) { h.Uplink.Ofport = 0 }, "port 0"},
		{"uplink port reserved", func(h *hostpb.Hello) { h.Uplink.Ofport = 0xfffffffe }, "port"},
		{"uplink port among endpoints", func(h *hostpb.Hello) { h.Uplink.Ofport = 16 }, "port 16"},
		{"uplink mac short", func(h *hostpb.Hello) { h.Uplink.Mac = h.Uplink.Mac[:5] }, "MAC"},
		{"uplink mac multicast", func(h *hostpb.Hello) { h.Uplink.Mac[0] = 3 }, "unicast"},
		{"uplink mac zero", func(h *hostpb.Hello) { h.Uplink.Mac = make([]byte, 6) }, "unicast"},
		{"uplink IPv6", func(h *hostpb.Hello) { h.Uplink.Ip = make([]byte, 16) }, "16 bytes"},
		{"uplink address missing", func(h *hostpb.Hello) { h.Uplink.Ip = nil }, "0 bytes"},
		{"uplink address multicast", func(h *hostpb.Hello) { h.Uplink.Ip[0] = 224 }, "unicast"},
		{"uplink address loopback", func(h *hostpb.Hello) { h.Uplink.Ip[0] = 127 }, "unicast"},
		{"uplink prefix", func(h *hostpb.Hello) { h.Uplink.PrefixLen = 33 }, "prefix length"},
		{"next hop address", func(h *hostpb.Hello) { h.Uplink.NextHopIp = []byte{1} }, "next hop"},
		{"next hop mac", func(h *hostpb.Hello) { h.Uplink.NextHopMac = []byte{1} }, "next hop"},
		{"mtu small", func(h *hostpb.Hello) { h.Uplink.Mtu = 575 }, "mtu 575"},
		{"mtu huge", func(h *hostpb.Hello) { h.Uplink.Mtu = 1<<32 - 1 }, "mtu 4294967295"},
		{"listener protocol", func(h *hostpb.Hello) { h.Listeners[0].Proto = 1 }, "neither TCP nor UDP"},
		{"listener protocol wraps", func(h *hostpb.Hello) { h.Listeners[0].Proto = 256 + 6 }, "neither TCP nor UDP"},
		{"listener port zero", func(h *hostpb.Hello) { h.Listeners[0].Port = 0 }, "port 0"},
		{"listener port wraps", func(h *hostpb.Hello) { h.Listeners[0].Port = 65536 + 80 }, "port 65616"},
		{"listener twice", func(h *hostpb.Hello) { h.Listeners[0].Proto = 6 }, "twice"},
		{"no addresses, no controllers", func(h *hostpb.Hello) { h.Addresses, h.Controllers = nil, nil }, ""},
		{"an address that is a controller's too", func(h *hostpb.Hello) { h.Addresses = h.Controllers }, ""},
		{"as many addresses as may be", func(h *hostpb.Hello) {
			h.Addresses, h.Controllers = addresses(hostpb.MaxAddresses), addresses(hostpb.MaxAddresses)
		}, ""},
		{"too many addresses", func(h *hostpb.Hello) { h.Addresses = addresses(hostpb.MaxAddresses + 1) }, "addresses: 1025 are more"},
		{"too many controllers", func(h *hostpb.Hello) { h.Controllers = addresses(hostpb.MaxAddresses + 1) }, "controllers: 1025 are more"},
		{"address twice", func(h *hostpb.Hello) { h.Addresses[0] = h.Addresses[1] }, "192.0.2.1 twice"},
		{"address empty", func(h *hostpb.Hello) { h.Addresses[0] = nil }, "0 bytes"},
		{"address IPv6", func(h *hostpb.Hello) { h.Addresses[0] = make([]byte, 16) }, "16 bytes"},
		{"address loopback", func(h *hostpb.Hello) { h.Addresses[0] = []byte{127, 0, 0, 1} }, "127.0.0.1 is reserved"},
		{"address link-local", func(h *hostpb.Hello) { h.Addresses[0] = []byte{169, 254, 1, 1} }, "169.254.1.1 is reserved"},
		{"address any", func(h *hostpb.Hello) { h.Addresses[0] = make([]byte, 4) }, "0.0.0.0 is reserved"},
		{"controller multicast", func(h *hostpb.Hello) { h.Controllers[0][0] = 224 }, "224.31.250.1 is reserved"},
		{"controller broadcast", func(h *hostpb.Hello) { h.Controllers[0] = []byte{255, 255, 255, 255} }, "reserved"},
		{"controller by name", func(h *hostpb.Hello) { h.Controllers[0] = []byte("ctl.example") }, "11 bytes"},
		{"endpoint name", func(h *hostpb.Hello) { h.Endpoints[0].Name = "Web 1" }, "Web 1"},
		{"endpoint tenant", func(h *hostpb.Hello) { h.Endpoints[0].Tenant = "acme/x" }, "acme/x"},
		{"endpoint vpc", func(h *hostpb.Hello) { h.Endpoints[0].Vpc = "" }, "name"},
		{"endpoint subnet", func(h *hostpb.Hello) { h.Endpoints[0].Subnet = "" }, "name"},
		{"endpoint claim", func(h *hostpb.Hello) { h.Endpoints[0].Claims = []string{"*"} }, "*"},
		{"endpoint claims", func(h *hostpb.Hello) { h.Endpoints[0].Claims = slices.Repeat([]string{"a"}, 65) }, "65 claims"},
		{"endpoint labels", func(h *hostpb.Hello) { h.Endpoints[0].Labels = map[string]string{"": ""} }, "labels"},
		{"endpoint port of uplinks", func(h *hostpb.Hello) { h.Endpoints[0].Ofport = 1 }, "port 1"},
		{"endpoint port LOCAL", func(h *hostpb.Hello) { h.Endpoints[0].Ofport = 0xfffffffe }, "port"},
		{"endpoint port twice", func(h *hostpb.Hello) { h.Endpoints[0].Ofport = h.Endpoints[1].Ofport }, "twice"},
		{"endpoint twice", func(h *hostpb.Hello) { h.Endpoints[0].Name = "e1" }, "twice"},
		{"endpoint address", func(h *hostpb.Hello) { h.Endpoints[0].Ip = nil }, "0 bytes"},
		{"endpoint address broadcast", func(h *hostpb.Hello) { h.Endpoints[0].Ip = []byte{255, 255, 255, 255} }, "unicast"},
		{"endpoint mac", func(h *hostpb.Hello) { h.Endpoints[0].Mac = nil }, "0 bytes"},
		{"too many endpoints", func(h *hostpb.Hello) {
			for i := range hostpb.MaxEndpoints {
				h.Endpoints = append(h.Endpoints, endpoint(i+2))
			}
		}, "4098 endpoints"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := wellFormed()
			tt.bend(h)
			_, err := decodeHello(h)
			if tt.want == "" && err != nil {
				t.Errorf("decodeHello = %v; want nil", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("decodeHello = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestOtherMessagesAreValidated(t *testing.T) {
	decode := func(m *hostpb.HostMsg) error {
		var seq uint64
		return (&Server{cfg: Config{Handler: silent{}}}).dispatch(newConn(1), m, &seq)
	}
	lease := func(bend func(*hostpb.LeaseRequest)) *hostpb.HostMsg {
		q := &hostpb.LeaseRequest{Id: 1, Tenant: "acme", Vpc: "prod", Subnet: "web", Name: "a"}
		bend(q)
		return &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRequest{LeaseRequest: q}}
	}
	release := func(bend func(*hostpb.LeaseRelease)) *hostpb.HostMsg {
		q := &hostpb.LeaseRelease{Vpc: "acme/prod", Ip: []byte{10, 1, 0, 2}, Name: "a"}
		bend(q)
		return &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRelease{LeaseRelease: q}}
	}
	delta := func(bend func(*hostpb.Delta)) *hostpb.HostMsg {
		d := &hostpb.Delta{Seq: 1, Up: []*hostpb.Endpoint{endpoint(0)}}
		bend(d)
		return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: d}}
	}
	query := func(vpc, name string) *hostpb.HostMsg {
		return &hostpb.HostMsg{Msg: &hostpb.HostMsg_NameQuery{NameQuery: &hostpb.NameQuery{Id: 1, Vpc: vpc, Name: name}}}
	}
	tests := []struct {
		name string
		msg  *hostpb.HostMsg
		ok   bool
	}{
		{"name", query("acme/prod", "db1.db.prod"), true},
		{"name with an underscore", query("acme/prod", "my_app"), true},
		{"name of nobody", query("acme/prod", ""), false},
		{"name, bare vpc", query("prod", "db1"), false},
		{"name, large letters", query("acme/prod", "DB1"), false},
		{"name, dot at the end", query("acme/prod", "db1."), false},
		{"name, slash", query("acme/prod", "globex/prod/db1"), false},
		{"name, not printable", query("acme/prod", "db1\x00"), false},
		{"name, long label", query("acme/prod", strings.Repeat("a", 64)), false},
		{"name, long", query("acme/prod", strings.Repeat("a.", 127)+"a"), false},
		{"delta, resolvers", delta(func(d *hostpb.Delta) { d.Addresses = &hostpb.AddressList{Resolvers: addresses(hostpb.MaxResolvers)} }), true},
		{"delta, many resolvers", delta(func(d *hostpb.Delta) {
			d.Addresses = &hostpb.AddressList{Resolvers: addresses(hostpb.MaxResolvers + 1)}
		}), false},
		{"delta, resolver on loopback", delta(func(d *hostpb.Delta) { d.Addresses = &hostpb.AddressList{Resolvers: [][]byte{{127, 0, 0, 53}}} }), false},
		{"lease", lease(func(*hostpb.LeaseRequest) {}), true},
		{"lease of an address", lease(func(q *hostpb.LeaseRequest) { q.Ip = []byte{10, 1, 0, 2} }), true},
		{"lease, IPv6", lease(func(q *hostpb.LeaseRequest) { q.Ip = make([]byte, 16) }), false},
		{"lease, vpc id for name", lease(func(q *hostpb.LeaseRequest) { q.Vpc = "acme/prod" }), false},
		{"lease held for an endpoint", lease(func(q *hostpb.LeaseRequest) { q.Ip, q.Held = []byte{10, 1, 0, 2}, "hold-1" }), true},
		{"lease of an endpoint that is renamed", lease(func(q *hostpb.LeaseRequest) { q.Ip, q.Held = []byte{10, 1, 0, 2}, "b" }), true},
		{"lease held, address not named", lease(func(q *hostpb.LeaseRequest) { q.Held = "hold-1" }), false},
		{"lease held, no name", lease(func(q *hostpb.LeaseRequest) { q.Ip, q.Held = []byte{10, 1, 0, 2}, "A" }), false},
		{"lease held by itself", lease(func(q *hostpb.LeaseRequest) { q.Ip, q.Held = []byte{10, 1, 0, 2}, "a" }), false},
		{"hold of what is held", lease(func(q *hostpb.LeaseRequest) { q.Ip, q.Name, q.Held = []byte{10, 1, 0, 2}, "hold-2", "hold-1" }), false},
		{"lease without name", lease(func(q *hostpb.LeaseRequest) { q.Name = "" }), false},
		{"release", release(func(*hostpb.LeaseRelease) {}), true},
		{"release, bare vpc", release(func(q *hostpb.LeaseRelease) { q.Vpc = "prod" }), false},
		{"release without address", release(func(q *hostpb.LeaseRelease) { q.Ip = nil }), false},
		{"release without name", release(func(q *hostpb.LeaseRelease) { q.Name = "" }), false},
		{"delta", delta(func(*hostpb.Delta) {}), true},
		{"delta, endpoint", delta(func(d *hostpb.Delta) { d.Up[0].Ofport = 2 }), false},
		{"delta, endpoint with a name made up for an address", delta(func(d *hostpb.Delta) { d.Up[0].Name = "hold-1" }), false},
		{"delta, down vpc", delta(func(d *hostpb.Delta) { d.Down = []*hostpb.EndpointRef{{Vpc: "prod", Name: "a"}} }), false},
		{"delta, down name", delta(func(d *hostpb.Delta) { d.Down = []*hostpb.EndpointRef{{Vpc: "a/b", Name: ""}} }), false},
		{"delta, many down", delta(func(d *hostpb.Delta) {
			d.Down = slices.Repeat([]*hostpb.EndpointRef{{Vpc: "a/b", Name: "c"}}, hostpb.MaxEndpoints+1)
		}), false},
		{"delta, uplink", delta(func(d *hostpb.Delta) { d.Uplink = &hostpb.Uplink{} }), false},
		{"delta, listeners", delta(func(d *hostpb.Delta) {
			d.Listeners = &hostpb.ListenerList{Listeners: []*hostpb.Listener{{}}}
		}), false},
		{"delta, addresses", delta(func(d *hostpb.Delta) {
			d.Addresses = &hostpb.AddressList{Addresses: addresses(2), Controllers: addresses(1)}
		}), true},
		{"delta, no address left", delta(func(d *hostpb.Delta) { d.Addresses = &hostpb.AddressList{} }), true},
		{"delta, address", delta(func(d *hostpb.Delta) { d.Addresses = &hostpb.AddressList{Addresses: [][]byte{{1}}} }), false},
		{"delta, controller", delta(func(d *hostpb.Delta) { d.Addresses = &hostpb.AddressList{Controllers: [][]byte{{127, 0, 0, 1}}} }), false},
		{"delta, many addresses", delta(func(d *hostpb.Delta) {
			d.Addresses = &hostpb.AddressList{Addresses: addresses(hostpb.MaxAddresses + 1)}
		}), false},
	}
	for _, tt := range tests {
		if err := decode(tt.msg); (err == nil) != tt.ok {
			t.Errorf("%s: error %v; want accepted = %v", tt.name, err, tt.ok)
		}
	}
}

// FuzzDecode feeds bytes of hostile hosts to what reads them.
func FuzzDecode(f *testing.F) {
	for _, m := range []*hostpb.HostMsg{
		{Msg: &hostpb.HostMsg_Hello{Hello: wellFormed()}},
		{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: 1, Up: []*hostpb.Endpoint{endpoint(1)}, Down: []*hostpb.EndpointRef{{Vpc: "a/b", Name: "c"}}}}},
		{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: 2, Addresses: &hostpb.AddressList{Addresses: addresses(3), Controllers: addresses(1)}}}},
		{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: 3, Addresses: &hostpb.AddressList{Addresses: [][]byte{{127, 0, 0, 1}, nil}}}}},
		{Msg: &hostpb.HostMsg_LeaseRequest{LeaseRequest: &hostpb.LeaseRequest{Id: 1, Tenant: "a", Vpc: "b", Subnet: "c", Name: "d"}}},
		{Msg: &hostpb.HostMsg_LeaseRelease{LeaseRelease: &hostpb.LeaseRelease{Vpc: "a/b", Ip: []byte{1, 2, 3, 4}, Name: "c"}}},
		{Msg: &hostpb.HostMsg_NameQuery{NameQuery: &hostpb.NameQuery{Id: 1, Vpc: "a/b", Name: "db1.db.prod"}}},
		{},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m hostpb.HostMsg
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		r, err := decodeHello(m.GetHello())
		if err == nil && (!r.Uplink.Addr.IsValid() || !hostpb.ValidHostName(r.Name)) {
			t.Errorf("accepted %+v", r)
		}
		for _, e := range r.Endpoints {
			if err == nil && (!e.IP.Is4() || e.Port < hostpb.FirstEndpointPort) {
				t.Errorf("accepted %+v", e)
			}
		}
		if err == nil {
			checkLists(t, r.AddressLists)
		}
		if d, err := decodeDelta(m.GetDelta()); err == nil && d.Addresses != nil {
			checkLists(t, *d.Addresses)
		}
		var seq uint64
		s := &Server{cfg: Config{Handler: silent{}}}
		_ = s.dispatch(newConn(1), &m, &seq)
	})
}

// checkLists checks that accepted lists are within the contract.
func checkLists(t *testing.T, l inventory.AddressLists) {
	t.Helper()
	for _, list := range [][]netip.Addr{l.Addresses, l.Controllers, l.Resolvers} {
		if len(list) > hostpb.MaxAddresses || slices.ContainsFunc(list, func(a netip.Addr) bool { return !hostpb.ValidAddress(a) }) {
			t.Errorf("accepted the addresses %v", list)
		}
	}
}

func TestDeltaSaysWhetherTheAddressesChanged(t *testing.T) {
	d, err := decodeDelta(&hostpb.Delta{Seq: 1})
	if err != nil || d.Addresses != nil {
		t.Errorf("a delta without addresses = %+v, %v; want them unchanged", d.Addresses, err)
	}
	d, err = decodeDelta(&hostpb.Delta{Seq: 2, Addresses: &hostpb.AddressList{Controllers: [][]byte{{172, 31, 250, 1}}}})
	if err != nil || d.Addresses == nil || len(d.Addresses.Addresses) != 0 || !slices.Equal(d.Addresses.Controllers, []netip.Addr{netip.MustParseAddr("172.31.250.1")}) {
		t.Errorf("a delta with a controller = %+v, %v; want it, and no address", d.Addresses, err)
	}
}

// TestNamesAreAnsweredOnTheStream: with what Resolve says, and within the contract;
// a server that resolves nothing has no names.
func TestNamesAreAnsweredOnTheStream(t *testing.T) {
	many := make([]netip.Addr, hostpb.MaxAnswers+1)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})
	}
	for _, tt := range []struct {
		name    string
		resolve func(string, NameQuery) NameAnswer
		want    int
		ours    bool
	}{
		{"none", nil, 0, false},
		{"many", func(host string, q NameQuery) NameAnswer {
			if host != "h1" || q != (NameQuery{ID: 7, VPC: "acme/prod", Name: "db1"}) {
				t.Errorf("asked by %s for %+v", host, q)
			}
			return NameAnswer{Addresses: many, Ours: true, Target: "db1.db.prod"}
		}, hostpb.MaxAnswers, true},
	} {
		c := newConn(1)
		c.host = "h1"
		var seq uint64
		m := &hostpb.HostMsg{Msg: &hostpb.HostMsg_NameQuery{NameQuery: &hostpb.NameQuery{Id: 7, Vpc: "acme/prod", Name: "db1"}}}
		if err := (&Server{cfg: Config{Handler: silent{}, Resolve: tt.resolve}}).dispatch(c, m, &seq); err != nil {
			t.Fatal(err)
		}
		a := (<-c.out).GetNameAnswer()
		if a.GetId() != 7 || len(a.GetAddresses()) != tt.want || a.GetOurs() != tt.ours || (a.GetTarget() != "") != tt.ours {
			t.Errorf("%s: answer = %v", tt.name, a)
		}
	}
}

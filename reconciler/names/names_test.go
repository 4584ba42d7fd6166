package names_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/names"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// load returns a network in which acme/prod has the peers acme/tools, blue/shared,
// green/com, whose name is public, and red/prod; acme/tools has two that
// are called shared; and acme/secret wants one.
func load(t testing.TB) *spec.Network {
	t.Helper()
	vpc := func(tenant, name, subnets string) string {
		return fmt.Sprintf("apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: %s, tenant: %s}\nspec: {subnets: [%s], default: same-vpc}\n---\n", name, tenant, subnets)
	}
	peer := func(a, b string) string {
		ta, va, _ := strings.Cut(a, "/")
		tb, vb, _ := strings.Cut(b, "/")
		half := func(t, v, to string) string {
			return fmt.Sprintf("apiVersion: daoli.net/v1\nkind: Peering\nmetadata: {name: %s, tenant: %s}\nspec: {vpcs: [%s/%s, %s]}\n---\n",
				strings.ReplaceAll(v+"-"+to, "/", "-"), t, t, v, to)
		}
		return half(ta, va, b) + half(tb, vb, a)
	}
	var b strings.Builder
	for _, t := range []string{"acme", "blue", "green", "red"} {
		fmt.Fprintf(&b, "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: %s}\nspec: {hosts: [\"*\"]}\n---\n", t)
	}
	b.WriteString(vpc("acme", "prod", "{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}"))
	b.WriteString(vpc("acme", "tools", "{name: ci, cidr: 10.2.0.0/24}"))
	b.WriteString(vpc("acme", "secret", "{name: web, cidr: 10.1.0.0/24}"))
	b.WriteString(vpc("blue", "shared", "{name: web, cidr: 10.3.0.0/24}"))
	b.WriteString(vpc("green", "com", "{name: google, cidr: 10.4.0.0/24}"))
	b.WriteString(vpc("red", "shared", "{name: web, cidr: 10.5.0.0/24}"))
	b.WriteString(vpc("red", "prod", "{name: web, cidr: 10.6.0.0/24}"))
	b.WriteString(peer("acme/prod", "acme/tools") + peer("acme/prod", "blue/shared") + peer("acme/prod", "green/com") +
		peer("acme/prod", "red/prod") + peer("acme/tools", "blue/shared") + peer("acme/tools", "red/shared"))
	b.WriteString("apiVersion: daoli.net/v1\nkind: Peering\nmetadata: {name: one-sided, tenant: acme}\nspec: {vpcs: [acme/secret, blue/shared]}\n---\n")
	b.WriteString("apiVersion: daoli.net/v1\nkind: Service\nmetadata: {name: shop, tenant: acme, vpc: prod}\n" +
		"spec: {vip: 10.1.0.100, ports: [{listen: tcp/80}], backends: {subnet: web}}\n")
	net, problems := spec.Load(fstest.MapFS{"all.yaml": {Data: []byte(b.String())}})
	if net == nil {
		t.Fatalf("load: %v", problems)
	}
	return net
}

func snapshot(t testing.TB) *inventory.Snapshot {
	t.Helper()
	var eps []inventory.EndpointReport
	port := uint32(16)
	add := func(tenant, vpc, subnet, name, ip string) {
		eps = append(eps, inventory.EndpointReport{
			Name: name, Tenant: tenant, VPC: vpc, Subnet: subnet, IP: netip.MustParseAddr(ip),
			MAC: packet.MAC{2, 0, 0, 0, 1, byte(port)}, Port: port,
		})
		port++
	}
	add("acme", "prod", "web", "web1", "10.1.0.2")
	add("acme", "prod", "web", "shop", "10.1.0.3") // a container that is called like a Service
	add("acme", "prod", "db", "db1", "10.1.1.2")
	add("acme", "prod", "db", "my-app", "10.1.1.3")
	add("acme", "tools", "ci", "runner", "10.2.0.2")
	add("acme", "secret", "web", "vault", "10.1.0.2") // the same address as web1
	add("blue", "shared", "web", "cache", "10.3.0.2")
	add("green", "com", "google", "www", "10.4.0.2")
	add("red", "shared", "web", "cache", "10.5.0.2")
	add("red", "prod", "web", "web1", "10.6.0.2")
	s, refused := inventory.Build(inventory.NewInterner(), load(t), []inventory.HostReport{{
		Name: "h1", DPID: 1, Uplink: inventory.Uplink{Port: 1, Addr: netip.MustParsePrefix("172.31.1.1/24")}, Endpoints: eps,
	}})
	if len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	return s
}

func ours(addrs ...string) names.Answer {
	a := names.Answer{Ours: true}
	for _, s := range addrs {
		a.Addresses = append(a.Addresses, netip.MustParseAddr(s))
	}
	return a
}

func target(name string) names.Answer { return names.Answer{Ours: true, Target: name} }

func TestResolve(t *testing.T) {
	s := snapshot(t)
	none, elsewhere := ours(), names.Answer{}
	for _, tt := range []struct {
		rule, vpc, name string
		want            names.Answer
	}{
		{"a plain name is of the own VPC", "acme/prod", "web1", ours("10.1.0.2")},
		{"in whatever subnet", "acme/prod", "db1", ours("10.1.1.2")},
		{"a plain name is no peer's", "acme/prod", "runner", none},
		{"a plain name is no other VPC's", "acme/prod", "vault", none},
		{"a plain name is never handed on", "acme/prod", "com", none},
		{"underscores are hyphens in a container's name", "acme/prod", "my_app", ours("10.1.1.3")},
		{"a Service is its vip", "acme/prod", "shop.web.prod", ours("10.1.0.100")},
		{"a Service stands above a container of its name", "acme/prod", "shop", ours("10.1.0.100")},
		{"a Service is in the subnet of its vip", "acme/prod", "shop.db.prod", none},
		{"the full name", "acme/prod", "web1.web.prod", ours("10.1.0.2")},
		{"with the tenant", "acme/prod", "web1.web.prod.acme", ours("10.1.0.2")},
		{"not in another subnet", "acme/prod", "web1.db.prod", none},
		{"nothing below a name", "acme/prod", "a.web1.web.prod", none},
		{"the subnet itself", "acme/prod", "web.prod", none},
		{"the subnet itself with the tenant", "acme/prod", "web.prod.acme", none},
		{"a subnet that isn't there", "acme/prod", "web1.app.prod", elsewhere},
		{"a peer of the own tenant", "acme/prod", "runner.ci.tools", ours("10.2.0.2")},
		{"and back", "acme/tools", "web1.web.prod", ours("10.1.0.2")},
		{"a peer of another tenant", "acme/prod", "cache.web.shared", ours("10.3.0.2")},
		{"and by its tenant", "acme/prod", "cache.web.shared.blue", ours("10.3.0.2")},
		{"a VPC of the peer's tenant that is no peer", "acme/prod", "cache.web.shared.red", elsewhere},
		{"two peers with one bare name have none", "acme/tools", "cache.web.shared", elsewhere},
		{"but with their tenants", "acme/tools", "cache.web.shared.red", ours("10.5.0.2")},
		{"the own VPC stands above a peer of its name", "acme/prod", "web1.web.prod.red", ours("10.6.0.2")},
		{"a peer takes no public name", "acme/prod", "www.google.com", elsewhere},
		{"but is there with its tenant", "acme/prod", "www.google.com.green", ours("10.4.0.2")},
		{"in its own VPC it has it", "green/com", "www.google.com", ours("10.4.0.2")},
		{"a peering is not transitive", "blue/shared", "www.google.com.green", elsewhere},
		{"a one-sided peering is none", "blue/shared", "vault.web.secret", elsewhere},
		{"nor for who declared it", "acme/secret", "cache.web.shared", elsewhere},
		{"another VPC of the tenant is invisible", "acme/prod", "vault.web.secret", elsewhere},
		{"and by its tenant", "acme/prod", "vault.web.secret.acme", elsewhere},
		{"a name that isn't there looks the same", "acme/prod", "nobody.web.secret", elsewhere},
		{"a public name is somebody else's", "acme/prod", "www.example.org", elsewhere},
		{"an asker without VPC knows nothing", "nobody/none", "web1", elsewhere},
		{"the name of an address", "acme/prod", "2.0.1.10.in-addr.arpa", target("web1.web.prod")},
		{"which is another's in another VPC", "acme/secret", "2.0.1.10.in-addr.arpa", target("vault.web.secret")},
		{"of a Service", "acme/prod", "100.0.1.10.in-addr.arpa", target("shop.web.prod")},
		{"of a peer", "acme/prod", "2.0.3.10.in-addr.arpa", target("cache.web.shared")},
		{"with its tenant where it needs one", "acme/prod", "2.0.6.10.in-addr.arpa", target("web1.web.prod.red")},
		{"and where it is public", "acme/prod", "2.0.4.10.in-addr.arpa", target("www.google.com.green")},
		{"of nobody in a subnet", "acme/prod", "77.0.1.10.in-addr.arpa", none},
		{"of an address outside", "acme/prod", "8.8.8.8.in-addr.arpa", elsewhere},
		{"of another tenant's", "red/prod", "2.0.3.10.in-addr.arpa", elsewhere},
		{"no address", "acme/prod", "02.0.1.10.in-addr.arpa", elsewhere},
		{"no address either", "acme/prod", "2.0.1.in-addr.arpa", elsewhere},
		{"too many numbers", "acme/prod", "1.2.0.1.10.in-addr.arpa", elsewhere},
		{"too large a number", "acme/prod", "300.0.1.10.in-addr.arpa", elsewhere},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got := names.Resolve(s, spec.VPCID(tt.vpc), tt.name)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("Resolve(%s, %s) (-want +got):\n%s", tt.vpc, tt.name, diff)
			}
		})
	}
}

// TestNamesThatAreNoneMeanNothing: what a host would never send, and a hostile one
// might.
func TestNamesThatAreNoneMeanNothing(t *testing.T) {
	s := snapshot(t)
	for _, name := range []string{"", ".", "..", "web1.", ".web1", "web1..prod", "web1/../db1", "acme/prod/web1", "web1.web.prod.", "WEB1", "web1 ", "web1\x00", "*", "*.web.prod",
		"web1.web.acme/prod", ".in-addr.arpa", "in-addr.arpa", "...in-addr.arpa"} {
		if got := names.Resolve(s, "acme/prod", name); len(got.Addresses) > 0 || got.Target != "" {
			t.Errorf("Resolve(%q) = %v; want nothing", name, got)
		}
	}
}

// FuzzResolve: whatever is asked, only what the asker may see comes back.
func FuzzResolve(f *testing.F) {
	for _, name := range []string{"web1", "vault.web.secret.acme", "cache.web.shared.blue", "2.0.1.10.in-addr.arpa", "..."} {
		f.Add(name)
	}
	s := snapshot(f)
	visible := []netip.Prefix{netip.MustParsePrefix("10.3.0.0/24"), netip.MustParsePrefix("10.1.0.0/23"), netip.MustParsePrefix("10.2.0.0/24")}
	f.Fuzz(func(t *testing.T, name string) {
		for _, a := range names.Resolve(s, "blue/shared", name).Addresses {
			ok := false
			for _, p := range visible {
				ok = ok || p.Contains(a)
			}
			if !ok {
				t.Errorf("Resolve(%q) = %s, which is not visible", name, a)
			}
		}
	})
}

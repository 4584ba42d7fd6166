package spec_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Bounds of Load, whatever it is given. With the race detector, which costs far
// more of both, the trees have fewer files and the bounds are wider.
const (
	maxTime   = 5 * time.Second
	maxMemory = 500 << 20 // bytes
)

// filled returns files with the text of fill, up to size bytes each.
func filled(files, size int, start, fill, end string) fstest.MapFS {
	body := start + strings.Repeat(fill, (size-len(start)-len(end))/len(fill)) + end
	fsys := fstest.MapFS{}
	for i := range files {
		fsys[fmt.Sprintf("%05d.yaml", i)] = &fstest.MapFile{Data: []byte(body)}
	}
	return fsys
}

const mib = 1 << 20

// rulesIn returns a tree with a group in each of so many files, whose sections
// have 10,000 rules each as long as they fit.
func rulesIn(files int, rule string) fstest.MapFS {
	fsys := fstest.MapFS{"base.yaml": &fstest.MapFile{Data: []byte(base)}}
	section := min(10_000, (mib-2000)/2/(len(rule)+1))
	list := strings.TrimSuffix(strings.Repeat(rule+",", section), ",")
	for i := range files {
		doc := fmt.Sprintf("apiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: g%d, tenant: acme, vpc: prod}\n"+
			"spec: {ingress: [%s], egress: [%s]}\n", i, list, list)
		fsys[fmt.Sprintf("g%05d.yaml", i)] = &fstest.MapFile{Data: []byte(doc)}
	}
	return fsys
}

// hostileTrees are trees that somebody made to harm. All are built in the child
// process that loads them.
var hostileTrees = []struct {
	name string
	make func() fstest.MapFS
	want string // in a problem; "" if the tree may be right
}{
	{"alias bomb", func() fstest.MapFS {
		var b strings.Builder
		b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
		for i := 1; i < 40; i++ {
			prev := fmt.Sprintf("*a%d", i-1)
			fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{prev, prev, prev, prev, prev, prev, prev, prev, prev}, ", "))
		}
		return tree("a.yaml", b.String())
	}, "anchor"},
	{"an alias of itself", func() fstest.MapFS { return tree("a.yaml", "a: &a [*a, *a]\n<<: *a\n") }, "alias"},
	{"aliases by the million", func() fstest.MapFS { return filled(many, mib, "a: &a b\nc:\n", "- [*a,*a,*a]\n", "") }, "entries"},
	{"a scalar of 10 MB", func() fstest.MapFS { return filled(1, 10*mib, "a: ", "x", "\n") }, "larger"},
	{"quoted scalars of 1 MiB", func() fstest.MapFS { return filled(many, mib, `a: "`, `\x41`, `"`) }, "has no key"},
	{"folded scalars of 1 MiB", func() fstest.MapFS { return filled(many, mib, "a: >\n", " b\n\n", "") }, "has no key"},
	{"plain scalars of many lines", func() fstest.MapFS { return filled(many, mib, "a:\n", " b\n", "") }, "has no key"},
	{"plain scalars of many words", func() fstest.MapFS { return filled(many, mib, "a:\n", " b", "") }, "has no key"},
	{"brackets", func() fstest.MapFS { return filled(many, mib, "", "[", "") }, "nested"},
	{"braces", func() fstest.MapFS { return filled(many, mib, "", "{", "") }, "nested"},
	{"braces and colons", func() fstest.MapFS { return filled(many, mib, "", "{?:", "") }, "nested"},
	{"dashes", func() fstest.MapFS { return filled(many, mib, "", "- ", "") }, "nested"},
	{"question marks", func() fstest.MapFS { return filled(many, mib, "", "? ", "") }, "nested"},
	{"brackets that close", func() fstest.MapFS { return filled(many, mib, "a:\n- [", "[],", "]\n") }, "entries"},
	{"brackets that close, in lists", func() fstest.MapFS {
		return filled(many, mib, "a:\n", "- ["+strings.Repeat("[],", 9000)+"]\n", "")
	}, "tokens"},
	{"scalars in lists", func() fstest.MapFS { return filled(many, mib, "a:\n", "- ["+strings.Repeat("a,", 9000)+"]\n", "") }, "tokens"},
	{"pairs in lists", func() fstest.MapFS { return filled(many, mib, "a:\n", "- ["+strings.Repeat("a: ,", 9000)+"]\n", "") }, "tokens"},
	{"a list of a million", func() fstest.MapFS { return filled(many, mib, "a:\n", "- b\n", "") }, "entries"},
	{"a mapping of a million", func() fstest.MapFS { return filled(many, mib, "", "a: b\n", "") }, "entries"},
	{"comments", func() fstest.MapFS { return filled(many, mib, "", "#\n", "a: b\n") }, "tokens"},
	{"one long comment", func() fstest.MapFS { return filled(many, mib, "", "#", "\na: b\n") }, "has no key"},
	{"comments between entries", func() fstest.MapFS { return filled(many, mib, "a:\n", "- x # y\n# z\n\n", "") }, "entries"},
	{"comments more and more indented", func() fstest.MapFS {
		var b strings.Builder
		for i := range 1400 {
			b.WriteString(strings.Repeat(" ", i) + "# x\n")
		}
		return filled(many, mib, "a:\n  b:\n    c: d\n", b.String()+"\n", "")
	}, "has no key"},
	{"documents", func() fstest.MapFS { return filled(many, mib, "", "---\n", "") }, "tokens"},
	{"documents with a word", func() fstest.MapFS { return filled(many, mib, "", "--- a\n", "") }, "not a mapping"},
	{"blank lines", func() fstest.MapFS { return filled(many, mib, "", "\n", "") }, "no object"},
	{"blanks", func() fstest.MapFS { return filled(many, mib, "", " ", "") }, "no object"},
	{"tabs", func() fstest.MapFS { return filled(many, mib, "a: b", "\t", "") }, "has no key"},
	{"tags", func() fstest.MapFS { return filled(many, mib, "a: [", "!a ", "]") }, ""},
	{"directives", func() fstest.MapFS { return filled(many, mib, "", "%TAG !a! b\n", "") }, "no YAML"},
	{"NUL", func() fstest.MapFS { return filled(many, mib, "", "\x00", "") }, "control"},
	{"bytes that are no UTF-8", func() fstest.MapFS { return filled(many, mib, "", "\xff", "") }, "UTF-8"},
	{"files as many as may be", func() fstest.MapFS { return filled(156*many, 6000, "", "[", "") }, "nested"},
	{"more files than may be", func() fstest.MapFS { return filled(spec.MaxFiles+many, 10, "", "a", "") }, "more than 10000 files"},
	{"more than 64 MiB", func() fstest.MapFS { return filled(many+6, mib, "a: ", "b", "") }, "more than 67108864 bytes"},
	{"a million mistakes", func() fstest.MapFS {
		return filled(many, mib, "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t}\nspec:\n  hosts: [", "1, ", "]\n")
	}, "entries"},
	{"mistakes in each of many documents", func() fstest.MapFS { return filled(many, mib, "", "a: [b, c]\n---\n", "") }, "more problems are not shown"},
	{"as many empty rules as fit", func() fstest.MapFS { return rulesIn(max(1, many*5/8), "{}") }, ""},
	{"too many empty rules", func() fstest.MapFS { return rulesIn(many+6, "{}") }, "tokens"},
	{"as many peers as fit", func() fstest.MapFS {
		return rulesIn(max(1, many/4), "{from: ["+strings.TrimSuffix(strings.Repeat("{any: true},", 100), ",")+"]}")
	}, ""},
	{"as many ports as fit", func() fstest.MapFS {
		return rulesIn(max(1, many/4), "{ports: ["+strings.TrimSuffix(strings.Repeat("tcp,", 9000), ",")+"]}")
	}, ""},
	{"references to strangers", func() fstest.MapFS {
		return rulesIn(max(1, many/4), "{from: ["+strings.TrimSuffix(strings.Repeat("{vpc: x/y},", 100), ",")+"]}")
	}, "more problems are not shown"},
	{"subnets that overlap", func() fstest.MapFS {
		var b strings.Builder
		for i := range 9999 {
			fmt.Fprintf(&b, "{name: s%d, cidr: 10.0.0.0/%d},", i, 8+i%2)
		}
		return tree("base.yaml", base, "v.yaml", vpc("{subnets: ["+b.String()+"]}"))
	}, "overlaps"},
	{"names of one of many subnets", func() fstest.MapFS {
		fsys := rulesIn(max(1, many/4), "{from: ["+strings.TrimSuffix(strings.Repeat("{subnet: s1-9998, vpc: acme/v1},", 60), ",")+"]}")
		fsys["v.yaml"] = file(wideVPC(1))
		return fsys
	}, "more problems are not shown"},
	{"peers of two wide VPCs", func() fstest.MapFS {
		return objects(1000*many/4, func(b *strings.Builder, i int) {
			if i < 2 {
				b.WriteString(wideVPC(i))
				return
			}
			fmt.Fprintf(b, "%s---\n%s---\n%s", named("VPC", "acme", fmt.Sprint("n", i), "", "{subnets: [{name: s, cidr: 192.0.2.0/24}]}"),
				named("Peering", "acme", fmt.Sprint("p", i), "", fmt.Sprintf("{vpcs: [acme/n%d, acme/v0]}", i)),
				named("Peering", "acme", fmt.Sprint("q", i), "", fmt.Sprintf("{vpcs: [acme/n%d, acme/v1]}", i)))
		})
	}, "can be compared"},
	{"wide VPCs all peered", func() fstest.MapFS {
		return objects(5*many, func(b *strings.Builder, i int) {
			b.WriteString(named("VPC", "acme", fmt.Sprint("v", i), "", "{subnets: ["+strings.TrimSuffix(subnets(i, 100), ",")+"]}"))
			for j := range i {
				b.WriteString("---\n" + named("Peering", "acme", fmt.Sprintf("p%d-%d", i, j), "", fmt.Sprintf("{vpcs: [acme/v%d, acme/v%d]}", i, j)))
			}
		})
	}, ""},
	{"Peerings by the thousand of one pair", func() fstest.MapFS {
		return objects(500*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Peering", "acme", fmt.Sprint("p", i), "", "{vpcs: [acme/prod, acme/dev]}"))
		})
	}, "overlap"},
	{"Peerings of strangers", func() fstest.MapFS {
		return objects(500*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Peering", "acme", fmt.Sprint("p", i), "", fmt.Sprintf("{vpcs: [acme/prod, globex/n%d]}", i)))
		})
	}, "more problems"},
	{"Ingresses on all hosts and one port", func() fstest.MapFS { return ingresses(400*many, `"*"`, "tcp/443") }, "listens there"},
	{"Ingresses on all hosts and ports", func() fstest.MapFS { return ingresses(400*many, `"*"`, "tcp/1-65535") }, "listens there"},
	{"Ingresses on all hosts and a port each", func() fstest.MapFS { return ingresses(1000*many, `"*"`, "tcp/#") }, ""},
	{"Ingresses on a host each", func() fstest.MapFS { return ingresses(1000*many, "h#", "tcp/1-65535") }, ""},
	{"Ingresses on a pattern each", func() fstest.MapFS { return ingresses(400*many, `"h#-*"`, "tcp/1-65535") }, ""},
	{"Ingresses on a pattern each that may match the same", func() fstest.MapFS { return ingresses(400*many, `"*-#-*"`, "tcp/#") }, "can be compared"},
	{"Ingresses on a pattern each with an end of its own", func() fstest.MapFS { return ingresses(400*many, `"*-#"`, "tcp/443") }, "can be compared"},
	{"Ingresses on long patterns", func() fstest.MapFS {
		return ingresses(400*many, `"`+strings.Repeat("*a", 100)+`#*"`, "tcp/443")
	}, "can be compared"},
	{"Ingresses on classes", func() fstest.MapFS {
		return ingresses(400*many, `"[#`+strings.Repeat("acegikmoqsuwy", 15)+`]*[^b]"`, "tcp/443")
	}, "can be compared"},
	{"Ingresses on a Gateway of many hosts", func() fstest.MapFS {
		fsys := objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Ingress", "t", fmt.Sprint("i", i), "v", fmt.Sprintf("{gateway: g, ports: [{listen: tcp/%d}], to: {endpoint: e}}", i+1)))
		})
		var hosts strings.Builder
		for i := range 9999 {
			fmt.Fprintf(&hosts, "h%d,", i)
		}
		fsys["g.yaml"] = file(named("Gateway", "", "g", "", "{hosts: ["+hosts.String()+"]}"))
		fsys["t.yaml"] = file(openTenant + "---\n" + lone("t"))
		return fsys
	}, "can be compared"},
	{"Services of one vip", func() fstest.MapFS {
		return objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Service", "acme", fmt.Sprint("s", i), "v0", fmt.Sprintf("{vip: 10.0.0.1, ports: [{listen: tcp/%d}], backends: {vpc: acme/v0}}", 65000-i)))
		}, wideVPC(0))
	}, ""},
	{"tenants whose listens overlap", func() fstest.MapFS {
		return objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Tenant", "", fmt.Sprint("t", i), "", `{listen: {hosts: ["z*"], ports: [sctp]}}`))
		})
	}, "overlaps it"},
	{"tenants whose listens are patterns", func() fstest.MapFS {
		return objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Tenant", "", fmt.Sprint("t", i), "", fmt.Sprintf(`{listen: {hosts: ["*-%d-*", "*%d*"], ports: [sctp/%d]}}`, i, i, i+1)))
		})
	}, "can be compared"},
	{"Assertions of strangers", func() fstest.MapFS {
		return objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Assertion", "acme", fmt.Sprint("a", i), "", fmt.Sprintf("{never: {from: {group: x, vpc: globex/n%d}, to: {endpoint: e, vpc: globex/shared}}}", i)))
		})
	}, "promises nothing"},
	{"Links of endpoints that aren't there", func() fstest.MapFS {
		return objects(400*many, func(b *strings.Builder, i int) {
			b.WriteString(named("Link", "acme", fmt.Sprint("l", i), "prod", fmt.Sprintf("{action: connect, between: [{endpoint: a%d}, {endpoint: b%d}]}", i, i)))
		})
	}, ""},
}

// openTenant is a tenant t that may listen on all ports of all hosts.
var openTenant = tenant(`{listen: {hosts: ["*"], ports: [sctp, tcp, udp]}}`)

func file(data string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(data)} }

// named returns an object of a kind that has a tenant and a vpc unless they are "".
func named(kind, tenant, name, vpc, spec string) string {
	metadata := "name: " + name
	if tenant != "" {
		metadata += ", tenant: " + tenant
	}
	if vpc != "" {
		metadata += ", vpc: " + vpc
	}
	return object(kind, metadata, spec)
}

// objects returns a tree of base, what else is given and n objects, a hundred in
// a file.
func objects(n int, write func(b *strings.Builder, i int), more ...string) fstest.MapFS {
	fsys := fstest.MapFS{"base.yaml": file(strings.Join(append([]string{base}, more...), "---\n"))}
	for i := 0; i < n; {
		var b strings.Builder
		name := fmt.Sprintf("o%06d.yaml", i)
		for range 100 {
			if i < n {
				b.WriteString("---\n")
				write(&b, i)
				i++
			}
		}
		fsys[name] = file(b.String())
	}
	return fsys
}

// ingresses returns a tree of n Ingresses of a tenant who may listen on
// everything, with its number in place of # in each.
func ingresses(n int, host, listen string) fstest.MapFS {
	fsys := objects(n, func(b *strings.Builder, i int) {
		spec := "{hosts: [" + host + "], ports: [{listen: " + listen + "}], to: {endpoint: e}}"
		b.WriteString(named("Ingress", "t", fmt.Sprint("i", i), "v", strings.ReplaceAll(spec, "#", fmt.Sprint(i+1))))
	})
	base := strings.Replace(base, `listen: {hosts: ["edge-*", edge-1, "b-*"], ports: [tcp/443, tcp/20000-20999, udp]}`, "quota: {}", 1)
	fsys["base.yaml"] = file(base + "---\n" + openTenant + "---\n" + lone("t"))
	return fsys
}

// subnets returns so many subnets that no other i has.
func subnets(i, n int) string {
	var b strings.Builder
	for j := range n {
		k := i*n + j
		fmt.Fprintf(&b, "{name: s%d-%d, cidr: %d.%d.%d.0/24},", i, j, 10+k>>16, k>>8&255, k&255)
	}
	return b.String()
}

// wideVPC returns a VPC of acme with as many subnets as may be.
func wideVPC(i int) string {
	return named("VPC", "acme", fmt.Sprint("v", i), "", "{subnets: ["+strings.TrimSuffix(subnets(i, 9999), ",")+"]}")
}

const hostileVariable = "DAOLI_TEST_HOSTILE_TREE"

// TestLoadOfHostileTreesIsBounded loads each in a process of its own, which is
// measured when it ended.
func TestLoadOfHostileTreesIsBounded(t *testing.T) {
	if name := os.Getenv(hostileVariable); name != "" {
		loadHostile(t, name)
		return
	}
	for _, test := range hostileTrees {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // what is measured is the child's own
			cmd := exec.Command(os.Args[0], "-test.run=^TestLoadOfHostileTreesIsBounded$", "-test.v")
			cmd.Env = append(os.Environ(), hostileVariable+"="+test.name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v:\n%s", err, bytes.TrimSpace(out))
			}
			t.Logf("%s", report(out))
		})
	}
}

// report returns the child's line that says what it used.
func report(out []byte) []byte {
	_, line, _ := bytes.Cut(out, []byte("used: "))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	return line
}

// loadHostile is the child.
func loadHostile(t *testing.T, name string) {
	for _, test := range hostileTrees {
		if test.name != name {
			continue
		}
		fsys := fs.FS(test.make())
		runtime.GC()
		before, start := cpuTime(t), peakMemory(t)
		_, problems := spec.Load(fsys)
		used, peak := cpuTime(t)-before, peakMemory(t)
		t.Logf("used: %s of CPU, %d MiB at most, %d MiB before", used, peak/mib, start/mib)
		if used > maxTime*slowness || peak > maxMemory*slowness {
			t.Errorf("Load took %s and %d MiB; want at most %s and %d MiB", used, peak/mib, maxTime, maxMemory/mib)
		}
		if text := lines(problems); slowness == 1 && !strings.Contains(text, test.want) {
			t.Errorf("Load says:\n%.2000s\nwant %q", text, test.want)
		}
		withWayOut(t, problems)
		return
	}
	t.Fatalf("there is no tree %q", name)
}

// cpuTime returns the time that the process has computed. It is not the time on
// the clock, which other processes lengthen.
func cpuTime(t *testing.T) time.Duration {
	u := usage(t)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory returns the most bytes that the process has had in memory.
func peakMemory(t *testing.T) int64 { return usage(t).Maxrss << 10 }

func usage(t *testing.T) syscall.Rusage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Bounds of validate, whatever it is given (SPEC 4).
const (
	maxTime   = 5 * time.Second
	maxMemory = 500 << 20 // bytes
)

// hostileTree is a tree that somebody made to harm, and the same one with its
// one mistake repaired.
type hostileTree struct {
	name        string
	bad, repair func(t *testing.T, dir string)
	want        string // FILE:LINE: and what is said, as a regular expression
}

// TestValidateIsBoundedWhateverItIsGiven runs the built program, and measures it.
func TestValidateIsBoundedWhateverItIsGiven(t *testing.T) {
	program := built(t)
	for _, test := range hostileTrees() {
		t.Run("hostile/"+test.name, func(t *testing.T) {
			t.Parallel() // what is measured is the child's own
			refusesUntilRepaired(t, program, test)
		})
	}
	for _, test := range largeTrees() {
		t.Run("large/"+test.name, func(t *testing.T) {
			t.Parallel()
			staysWithinBounds(t, program, test)
		})
	}
}

// refusesUntilRepaired wants one tree refused, and accepted without its mistake.
func refusesUntilRepaired(t *testing.T, program string, test hostileTree) {
	dir := filepath.Join(t.TempDir(), "specs")
	write(t, filepath.Join(dir, "base.yaml"), []byte(base))
	test.bad(t, dir)
	code, report := validate(t, program, dir)
	if code != exitRefused || !regexp.MustCompile("(?m)^"+test.want).MatchString(report) {
		t.Errorf("validate = exit %d:\n%.1500s\nwant exit %d and %s", code, report, exitRefused, test.want)
	}
	everyLineHasAPlace(t, report)
	test.repair(t, dir)
	if code, report := validate(t, program, dir); code != exitFine {
		t.Errorf("validate of the repaired tree = exit %d:\n%.1500s\nwant exit %d", code, report, exitFine)
	}
}

// staysWithinBounds wants an answer, whichever it is unless the tree is right.
func staysWithinBounds(t *testing.T, program string, test largeTree) {
	dir := filepath.Join(t.TempDir(), "specs")
	test.make(t, dir)
	code, report := validate(t, program, dir)
	if code != exitFine && !(test.mayRefuse && code == exitRefused) {
		t.Errorf("validate = exit %d:\n%.1500s\nwant exit %d", code, report, exitFine)
	}
	if code == exitRefused {
		everyLineHasAPlace(t, report)
	}
}

// built returns the path of the program, built as users have it: without the
// race detector, which costs many times more.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), program)
	cmd := exec.Command("go", "build", "-race=false", "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// validate runs the program, and reports when it takes more than it may.
func validate(t *testing.T, program, dir string) (code int, stderr string) {
	t.Helper()
	const patience = 10 * maxTime // after which a child hangs
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "validate", dir)
	cmd.Stderr = &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	hung.Stop()
	wall := time.Since(start)
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	// Of memory the child is charged no less than this process has.
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	// Other processes lengthen the time on the clock; other cores, the one computed.
	used := min(wall, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	memory := usage.Maxrss << 10
	first, _, _ := strings.Cut(errs.String(), "\n")
	t.Logf("exit %d, %s, %d MiB: %.100s", cmd.ProcessState.ExitCode(), used.Round(time.Millisecond), memory>>20, first)
	if used > maxTime || memory > maxMemory {
		t.Errorf("validate took %s and %d MiB; want at most %s and %d MiB", used, memory>>20, maxTime, maxMemory>>20)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// place is how each line of a report begins.
var place = regexp.MustCompile(`^[^:]+:[1-9][0-9]*: `)

func everyLineHasAPlace(t *testing.T, report string) {
	t.Helper()
	for line := range strings.Lines(report) {
		if !place.MatchString(line) {
			t.Errorf("a line of the report has no FILE:LINE: %.300q", line)
			return
		}
	}
}

// base is a tree that is right, and that the others lean on.
const base = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}
`

// object returns a document; its spec is in the line 4.
func object(kind, metadata, spec string) string {
	return "apiVersion: daoli.net/v1\nkind: " + kind + "\nmetadata: {" + metadata + "}\nspec: " + spec + "\n"
}

func tenant(name, spec string) string { return object("Tenant", "name: "+name, spec) }

func group(name, spec string) string {
	return object("SecurityGroup", "name: "+name+", tenant: acme, vpc: prod", spec)
}

// file returns a function that writes x.yaml.
func file(content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { write(t, filepath.Join(dir, "x.yaml"), []byte(content)) }
}

// twin is a tree with one file x.yaml, whose @ is wrong or right.
func twin(name, content, bad, good, want string) hostileTree {
	return hostileTree{name, file(strings.Replace(content, "@", bad, 1)), file(strings.Replace(content, "@", good, 1)), want}
}

// bomb returns lists of lists that would have 9^depth entries.
func bomb(depth int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < depth; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(alias+", ", 9), ", "))
	}
	return b.String()
}

func hostileTrees() []hostileTree {
	const mib = 1 << 20
	plain := tenant("t", `{hosts: ["*"]}`)
	whole := group("g", "\n  members: {subnets: [web]}\n  ingress:\n  - {from: [{subnet: db}], ports: [tcp/80]}\n  - {from: [{subnet: web}], ports: [\"udp/53\"]}")
	trees := []hostileTree{
		twin("alias bomb", plain+"---\n@", bomb(40), "# nothing\n", `x.yaml:6: there is the anchor "&a0"`),
		twin("an alias of itself", tenant("t", "{hosts: @}"), "&a [*a, *a]", "[a]", `x.yaml:4: there is the anchor`),
		twin("a merge key", tenant("t", "\n  hosts: []\n@"), "  <<: {quota: {}}\n", "  quota: {}\n", `x.yaml:6: there is the merge key`),
		twin("a scalar of 10 MB", tenant("t", `{hosts: ["@"]}`), strings.Repeat("x", 10*mib), "x", `x.yaml:1: the file is larger than 1048576 bytes`),
		twin("a scalar of nearly 1 MiB", tenant("t", `{hosts: ["@"]}`), strings.Repeat("x", mib-200), "x", `x.yaml:4: hosts has "xxx`),
		twin("a folded scalar", tenant("t", "{}")+"---\n"+tenant("u", "\n  hosts:\n  - @"), ">\n"+strings.Repeat("    b\n\n", mib/10), "b\n", `x.yaml:\d+: `),
		twin("deep nesting of lists", tenant("t", "{hosts: [@]}"), strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000), "a", `x.yaml:4: lists and mappings are nested deeper than 32`),
		twin("deep nesting of mappings", tenant("t", "{quota: @}"), strings.Repeat("{a: ", 100_000)+"1"+strings.Repeat("}", 100_000), "{}", `x.yaml:4: lists and mappings are nested deeper than 32`),
		twin("deep nesting of dashes", tenant("t", "\n  hosts:\n  @"), strings.Repeat("- ", 100_000)+"a", "- a", `x.yaml:6: lists and mappings are nested deeper than 32`),
		twin("nesting one too deep", tenant("t", "{hosts: @}"), strings.Repeat("[", spec.MaxNesting-1)+strings.Repeat("]", spec.MaxNesting-1), "[]", `x.yaml:4: lists and mappings are nested deeper than 32`),
		twin("brackets that never close", plain+"@", strings.Repeat("[", mib/2), "", `x.yaml:\d+: `),
		twin("200,000 ports", group("g", "{ingress: [{ports: [@]}]}"), shortPorts(200_000), shortPorts(spec.MaxEntries), `x.yaml:4: a list or mapping has more than 10000 entries`),
		twin("one port too many", group("g", "{ingress: [{ports: [@]}]}"), shortPorts(spec.MaxEntries+1), shortPorts(spec.MaxEntries), `x.yaml:4: a list or mapping has more than 10000 entries`),
		twin("a duplicate key", tenant("t", "{hosts: [], @: {}}"), "hosts", "quota", `x.yaml:4: the key "hosts" is here twice, first in line 4`),
		twin("a duplicate object", plain+"---\n"+tenant("@", "{}"), "t", "u", `x.yaml:8: Tenant t is here twice, first at x.yaml:3`),
		twin("a null value", tenant("t", "{hosts: @}"), "", "[]", `x.yaml:4: "hosts" is null`),
		twin("a null spec", tenant("t", "@"), "~", "{}", `x.yaml:4: "spec" is null`),
		twin("a null entry", tenant("t", "{hosts: [@]}"), "null", "a", `x.yaml:4: an entry of the list is null`),
		twin("an unknown key", tenant("t", "{@: []}"), "host", "hosts", `x.yaml:4: the spec of a Tenant has no key "host"`),
		twin("a tag", tenant("t", "{hosts: [@a]}"), "!!binary ", "", `x.yaml:4: there is the tag`),
		twin("a control character", plain+"# @\n", "\x01", "", `x.yaml:5: there is the control character U\+0001`),
		twin("NUL", plain+"# @\n", "\x00", "", `x.yaml:5: there is the control character U\+0000`),
		twin("a mebibyte of NUL", plain+"@", strings.Repeat("\x00", mib-200), "", `x.yaml:5: there is the control character U\+0000`),
		twin("non-UTF-8", tenant("t", `{hosts: ["@"]}`), "\xe9", "e", `x.yaml:4: the byte 0xe9 is not UTF-8`),
		twin("half a character", tenant("t", `{hosts: ["@"]}`), "\xe2\x82", "a", `x.yaml:4: the byte 0xe2 is not UTF-8`),
		twin("UTF-16", "@", "\xff\xfea\x00p\x00i\x00", plain, `x.yaml:1: the byte 0xff is not UTF-8`),
		twin("an empty file", "@", "", plain, `x.yaml:1: the file holds no object`),
		twin("a file of comments", "@", "# specs\n", plain, `x.yaml:1: the file holds no object`),
		twin("mistakes by the thousand", tenant("t", "{hosts: [@]}"), strings.Repeat("1,", 9999), "a", `x.yaml:4: hosts is "1"`),
		twin("documents without end", plain+"@", strings.Repeat("---\na\n", 100_000), "", `x.yaml:\d+: `),
		{"a file one byte too long", file(padded(plain, mib+1)), file(padded(plain, mib)), `x.yaml:1: the file is larger than 1048576 bytes`},
		{"10,001 files", files(spec.MaxFiles, ""), remove("09999.yaml"), `base.yaml:1: the tree has more than 10000 files`},
		{"more than 64 MiB", files(64, strings.Repeat("x", mib-200)), remove("00000.yaml"), `base.yaml:1: the tree holds more than 67108864 bytes`},
	}
	for i, cut := range []int{len(whole) / 4, len(whole) / 2, len(whole) - 12, len(whole) - 4} {
		trees = append(trees, hostileTree{fmt.Sprintf("a file cut in the middle, %d", i), file(whole[:cut]), file(whole), `x.yaml:\d+: `})
	}
	return append(trees, specialFiles()...)
}

// shortPorts returns n ports, all the same, short enough for one file.
func shortPorts(n int) string { return strings.Repeat("tcp,", n) }

// padded returns content with a comment that makes it size bytes long.
func padded(content string, size int) string {
	return content + "#" + strings.Repeat("x", size-len(content)-1)
}

// files returns a function that writes n files with a Tenant each, and so many
// with a comment of that text.
func files(n int, comment string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for i := range n {
			content := tenant(fmt.Sprintf("t%d", i), "{}")
			if comment != "" {
				content = padded(content, 1<<20)
			}
			write(t, filepath.Join(dir, fmt.Sprintf("%05d.yaml", i)), []byte(content))
		}
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// specialFiles are trees with something in the place of a file.
func specialFiles() []hostileTree {
	put := func(make func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := make(filepath.Join(dir, "x.yaml")); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(target string) func(*testing.T, string) {
		return put(func(path string) error { return os.Symlink(target, path) })
	}
	return []hostileTree{
		{"a FIFO", put(func(path string) error { return syscall.Mkfifo(path, 0o644) }), remove("x.yaml"), `x.yaml:1: "x.yaml" is a FIFO`},
		{"a socket", put(socket), remove("x.yaml"), `x.yaml:1: "x.yaml" is a socket`},
		{"a directory", put(func(path string) error { return os.Mkdir(path, 0o755) }), remove("x.yaml"), `x.yaml:1: "x.yaml" is a directory`},
		{"a symlink to a file", link("base.yaml"), remove("x.yaml"), `x.yaml:1: "x.yaml" is a symbolic link`},
		{"a symlink to itself", link("x.yaml"), remove("x.yaml"), `x.yaml:1: "x.yaml" is a symbolic link`},
		{"a symlink to its directory", link("."), remove("x.yaml"), `x.yaml:1: "x.yaml" is a symbolic link`},
		{"a symlink out of the tree", link("/etc/passwd"), remove("x.yaml"), `x.yaml:1: "x.yaml" is a symbolic link`},
		{"a symlink to a device", link("/dev/zero"), remove("x.yaml"), `x.yaml:1: "x.yaml" is a symbolic link`},
	}
}

// socket leaves a socket at path. A path of a socket is short, so it is made
// elsewhere and moved.
func socket(path string) error {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	return os.Rename(filepath.Join(dir, "s"), path)
}

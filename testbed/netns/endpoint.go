package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// EndpointSpec says which container to attach.
type EndpointSpec struct {
	Name   string // unique in its VPC
	Host   string
	VPC    string // TENANT/NAME
	Subnet string
	IP     string // "": the controller chooses
	MAC    string // "": derived from VPC and IP
	Groups []string
	Labels map[string]string
}

// Endpoint is a container of the testbed: a namespace attached to its host.
type Endpoint struct {
	EndpointSpec
	Namespace string
	Addr      netip.Addr
	HWAddr    string // hardware address of its eth0
	Port      uint32 // ofport on its host's bridge

	testbed *Testbed
}

// Attach makes a namespace and attaches it to its host with daoli-hostd. When
// it returns, the endpoint's flows are in the switch.
func (t *Testbed) Attach(ctx context.Context, s EndpointSpec) (*Endpoint, error) {
	h := t.Host(s.Host)
	if h == nil {
		return nil, fmt.Errorf("attach %s: no host %q in the testbed", s.Name, s.Host)
	}
	e := &Endpoint{EndpointSpec: s, testbed: t}
	if err := e.addNamespace(ctx); err != nil {
		return nil, fmt.Errorf("attach %s: %w", s.Name, err)
	}
	if err := e.attach(ctx, h); err != nil {
		return nil, errors.Join(fmt.Errorf("attach %s to %s: %w", s.Name, s.Host, err), e.deleteNamespace(ctx))
	}
	t.mu.Lock()
	t.endpoints = append(t.endpoints, e)
	t.mu.Unlock()
	return e, t.save()
}

// addNamespace makes a namespace called TENANT-NAME, or, where another endpoint
// has that already (two VPCs with one name, a dash in a tenant's),
// TENANT.VPC.NAME, which is nobody else's.
func (e *Endpoint) addNamespace(ctx context.Context) error {
	tenant, vpc, _ := strings.Cut(e.VPC, "/")
	e.Namespace = e.testbed.Namespace(tenant + "-" + e.Name)
	err := e.testbed.run.ipBatch(ctx, "netns add "+e.Namespace+"\n")
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, missing := os.Stat(filepath.Join(inside.Dir, e.Namespace)); missing != nil {
		return err
	}
	e.Namespace = e.testbed.Namespace(tenant + "." + vpc + "." + e.Name)
	return e.testbed.run.ipBatch(ctx, "netns add "+e.Namespace+"\n")
}

func (e *Endpoint) attach(ctx context.Context, h *Host) error {
	_, closeLinks, err := openLinks(e.Namespace) // sets loopback up
	if err != nil {
		return err
	}
	closeLinks()
	out, err := h.hostctl(ctx, e.attachArgs(h)...)
	if err != nil {
		return err
	}
	var answer struct {
		IP   netip.Addr `json:"ip"`
		MAC  string     `json:"mac"`
		Port uint32     `json:"port"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("read answer of daoli-hostd attach %q: %w", out, err)
	}
	e.Addr, e.HWAddr, e.Port = answer.IP, answer.MAC, answer.Port
	return nil
}

func (e *Endpoint) attachArgs(h *Host) []string {
	args := []string{"attach", "--socket", h.Socket, "-o", "json",
		"--netns", e.Namespace, "--vpc", e.VPC, "--subnet", e.Subnet, "--name", e.Name}
	if e.IP != "" {
		args = append(args, "--ip", e.IP)
	}
	if e.MAC != "" {
		args = append(args, "--mac", e.MAC)
	}
	for _, g := range e.Groups {
		args = append(args, "--group", g)
	}
	for k, v := range e.Labels {
		args = append(args, "--label", k+"="+v)
	}
	return args
}

// hostctl runs daoli-hostd as a client of the host's own.
func (h *Host) hostctl(ctx context.Context, args ...string) ([]byte, error) {
	cmd := h.testbed.Command(ctx, append([]string{h.testbed.Binary("daoli-hostd")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("daoli-hostd %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Detach takes the endpoint off its host and removes its namespace.
func (e *Endpoint) Detach(ctx context.Context) error {
	t := e.testbed
	h := t.Host(e.Host)
	_, err := h.hostctl(ctx, "detach", "--socket", h.Socket, "--vpc", e.VPC, "--name", e.Name)
	t.mu.Lock()
	for i, other := range t.endpoints {
		if other == e {
			t.endpoints = append(t.endpoints[:i], t.endpoints[i+1:]...)
			break
		}
	}
	t.mu.Unlock()
	return errors.Join(err, e.deleteNamespace(ctx), t.save())
}

func (e *Endpoint) deleteNamespace(ctx context.Context) error {
	return e.testbed.run.ipBatch(context.WithoutCancel(ctx), "netns delete "+e.Namespace+"\n")
}

// Endpoints returns the attached endpoints, sorted by namespace.
func (t *Testbed) Endpoints() []*Endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append([]*Endpoint(nil), t.endpoints...)
	sort.Slice(list, func(i, j int) bool { return list[i].Namespace < list[j].Namespace })
	return list
}

// Path is how daolictl names the endpoint: TENANT/VPC/NAME.
func (e *Endpoint) Path() string { return e.VPC + "/" + e.Name }

// AddrPort is the endpoint's address with a port.
func (e *Endpoint) AddrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(e.Addr, port) }

// Exec runs a command in the container and returns what it printed.
func (e *Endpoint) Exec(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	cmd := e.testbed.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := inside.Do(e.Namespace, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("run %s in %s: %w: %s", argv[0], e.Name, err, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), nil
}

// Command returns a command that ends with ctx, and with the testbed however
// that ends. Started in inside.Do, it runs in a namespace.
func (t *Testbed) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return t.run.command(ctx, argv...)
}

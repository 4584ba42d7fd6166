package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/hostd/nic"
)

// patience bounds each thing that is asked.
const patience = 3 * time.Second

// Config says what to look at.
type Config struct {
	Socket       string // of daoli-hostd
	OVSRunDir    string
	IdentityDir  string // names the controllers where daoli-hostd does not answer
	DockerSocket string
	PluginSocket string
}

// Collect gathers the facts. It puts two packets into the switch, which drops
// them.
func Collect(ctx context.Context, cfg Config) Facts {
	f := Facts{Now: time.Now()}
	o := ovs{cfg.OVSRunDir}
	f.OVSVersion, f.OVSErr = o.get(ctx, "Open_vSwitch", ".", "ovs_version")
	if f.OVSErr == nil && f.OVSVersion == "[]" { // who started it did not say
		var said string
		if said, f.OVSErr = run(ctx, "ovs-vsctl", "--version"); f.OVSErr == nil {
			_, _ = fmt.Sscanf(said, "ovs-vsctl (Open vSwitch) %s", &f.OVSVersion) // what is not understood is judged
		}
	}
	if kinds, err := o.get(ctx, "Open_vSwitch", ".", "datapath_types"); err == nil {
		f.Datapaths = strings.FieldsFunc(kinds, func(r rune) bool { return strings.ContainsRune("[], \"", r) })
	}
	client := agent.NewClient(cfg.Socket)
	s, err := client.Status(ctx)
	if err != nil {
		f.HostdErr = err
	} else {
		f.host(ctx, o, client, s)
	}
	f.controllers(ctx, cfg, s.Servers)
	var t unix.Timex
	_, err = unix.Adjtimex(&t)
	f.Unsynchronized = err == nil && t.Status&unix.STA_UNSYNC != 0
	f.docker(ctx, cfg)
	return f
}

// host looks at what a running daoli-hostd says of itself.
func (f *Facts) host(ctx context.Context, o ovs, client *agent.Client, s agent.Status) {
	f.Datapath, f.Switch, f.OpenFlow, f.Stream, f.Ready = s.Datapath, s.Switch, s.OpenFlow, s.Controller, s.Ready
	f.Uplink, f.MTU = s.Uplink.Device, s.Uplink.MTU
	var index int
	index, f.Carrier, f.UplinkErr = nic.Carrier(f.Uplink)
	if f.UplinkErr == nil && index == 0 {
		f.UplinkErr = fmt.Errorf("device %q is not there", f.Uplink)
	}
	f.Port, _ = o.get(ctx, "Interface", f.Uplink, "ofport")
	f.PathMTU, f.PathErr = pathMTU(ctx, s)
	if s.Datapath == "netdev" {
		f.offloads(ctx, client)
	}
	want, err := client.BaseFlows(ctx)
	if err == nil {
		f.Missing, err = o.missing(ctx, s.Bridge, want.Flows)
	}
	f.FlowsErr = err
	f.Probes = o.probes(ctx, s)
}

func (f *Facts) offloads(ctx context.Context, client *agent.Client) {
	if drv, _ := os.Readlink("/sys/class/net/" + f.Uplink + "/device"); drv != "" { // of hardware
		f.GRO, _ = nic.GRO(f.Uplink)
	}
	list, err := client.Endpoints(ctx)
	if err != nil {
		return // the next check says why
	}
	for _, e := range list.Endpoints {
		if on, err := nic.TxChecksum(e.Device); e.State == endpoint.Up && err == nil && on {
			f.Offloaded = append(f.Offloaded, e.Device)
		}
	}
}

// pathMTU returns the size of the largest packet that comes back from the
// controller: the uplink's MTU, or one that every IPv4 path carries.
func pathMTU(ctx context.Context, s agent.Status) (int, error) {
	if s.Uplink.OwnAddress {
		return 0, errors.New("no stack has the wire's address")
	}
	host, _, err := net.SplitHostPort(s.Controller)
	if err != nil {
		return 0, errors.New("no controller is connected")
	}
	const header, least = 28, 576 // IPv4 and ICMP; RFC 791
	for _, size := range []int{s.Uplink.MTU, least} {
		if _, err = run(ctx, "ping", "-n", "-M", "do", "-c", "2", "-i", "0.2", "-W", "1", "-s", strconv.Itoa(size-header), host); err == nil {
			return size, nil
		}
	}
	return 0, fmt.Errorf("%s does not answer ping", host)
}

// controllers tries each of them.
func (f *Facts) controllers(ctx context.Context, cfg Config, servers []string) {
	id, err := identity.Open(cfg.IdentityDir)
	if len(servers) == 0 && err == nil {
		servers = id.Controllers()
	}
	for _, name := range servers {
		s := Server{Name: name}
		conf := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, InsecureSkipVerify: true} // to see its dates, also where they are wrong
		var leaf *tls.ConnectionState
		if leaf, s.Err = handshake(ctx, name, conf); s.Err == nil && len(leaf.PeerCertificates) > 0 {
			s.NotBefore, s.NotAfter = leaf.PeerCertificates[0].NotBefore, leaf.PeerCertificates[0].NotAfter
			if id != nil && f.Now.After(s.NotBefore) && f.Now.Before(s.NotAfter) {
				_, s.Err = handshake(ctx, name, id.TLS())
			}
		}
		f.Servers = append(f.Servers, s)
	}
}

func handshake(ctx context.Context, addr string, conf *tls.Config) (*tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	d := tls.Dialer{Config: conf}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	return &state, nil
}

// docker asks dockerd and our plugin, where there is a dockerd.
func (f *Facts) docker(ctx context.Context, cfg Config) {
	if _, err := os.Stat(cfg.DockerSocket); errors.Is(err, fs.ErrNotExist) {
		return
	}
	f.Docker = cfg.DockerSocket
	_, f.DockerErr = askSocket(ctx, cfg.DockerSocket, http.MethodGet, "/_ping")
	answer, err := askSocket(ctx, cfg.PluginSocket, http.MethodPost, "/Plugin.Activate")
	if err == nil && !strings.Contains(answer, "NetworkDriver") {
		err = fmt.Errorf("%s is no network driver's", cfg.PluginSocket)
	}
	f.PluginErr = err
}

func askSocket(ctx context.Context, socket, method, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://socket"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b := make([]byte, 4096)
	n, _ := resp.Body.Read(b)
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s%s answers %s", socket, path, resp.Status)
	}
	return string(b[:n]), nil
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if err != nil && stderr.Len() > 0 {
		err = fmt.Errorf("%s: %s", name, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), err
}

// wireStart returns the first wire port of a status.
func wireStart(s agent.Status) uint16 {
	first, _, _ := strings.Cut(s.WirePorts, "-")
	n, _ := strconv.ParseUint(first, 10, 16)
	return uint16(n)
}

// stranger is an address that is nobody's (RFC 5737).
func stranger() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }

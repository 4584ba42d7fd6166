package doctor

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/endpoint"
)

// ovs asks the Open vSwitch that has its sockets in runDir.
type ovs struct{ runDir string }

// get returns a column of a row.
func (o ovs) get(ctx context.Context, table, row, column string) (string, error) {
	out, err := run(ctx, "ovs-vsctl", "--timeout=3", "--db=unix:"+o.runDir+"/db.sock", "get", table, row, column)
	return strings.Trim(strings.TrimSpace(out), `"`), err
}

func (o ovs) ofctl(ctx context.Context, bridge, command string, args ...string) (string, error) {
	words := append([]string{"-O", "OpenFlow13", "--no-names", command, "unix:" + o.runDir + "/" + bridge + ".mgmt"}, args...)
	return run(ctx, "ovs-ofctl", words...)
}

// missing returns which of the flows the bridge does not have as they should be.
// ovs-ofctl compares, since it writes flows in other words than it reads them.
func (o ovs) missing(ctx context.Context, bridge string, want []string) ([]string, error) {
	file, err := os.CreateTemp("", "daoli-flows-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(strings.Join(want, "\n") + "\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	// It exits with 2 where there is a difference: sessions' flows are one.
	out, err := run(ctx, "ovs-ofctl", "-O", "OpenFlow13", "--no-names", "diff-flows", "unix:"+o.runDir+"/"+bridge+".mgmt", file.Name())
	if out == "" && err != nil {
		return nil, err
	}
	var gone []string
	for line := range strings.Lines(out) {
		if text, found := strings.CutPrefix(line, "+"); found {
			gone = append(gone, strings.TrimSpace(text))
		}
	}
	return gone, nil
}

// probes puts packets into the switch that must be dropped, each by a flow whose
// counter shows it: one of a sender that nobody knows, and one to a wire port
// from outside the cluster, which must not reach the host's own stack either.
func (o ovs) probes(ctx context.Context, s agent.Status) []Probe {
	syn := synPacket(s.Uplink.MAC, stranger(), s.Uplink.Addr.Addr(), wireStart(s))
	return []Probe{
		o.probe(ctx, s.Bridge, "a packet of an unknown sender", "controller", syn, dropOfAll),
		o.probe(ctx, s.Bridge, "a packet to a wire port from outside the cluster", "1", syn, dropOfWire),
	}
}

// The flows that drop what nothing else takes.
var (
	dropOfAll  = regexp.MustCompile(`(?m)^.* table=0,.* n_packets=(\d+),.* priority=0 actions=drop$`)
	dropOfWire = regexp.MustCompile(`(?m)^.* table=3,.* n_packets=(\d+),.* priority=100,in_port=1 actions=drop$`)
)

func (o ovs) probe(ctx context.Context, bridge, what, port string, frame []byte, drop *regexp.Regexp) Probe {
	p := Probe{What: what}
	before, err := o.count(ctx, bridge, drop)
	if err == nil {
		_, err = o.ofctl(ctx, bridge, "packet-out", fmt.Sprintf("in_port=%s,packet=%s,actions=TABLE", port, hex.EncodeToString(frame)))
	}
	var after uint64
	if err == nil {
		after, err = o.count(ctx, bridge, drop)
	}
	p.Err, p.Dropped = err, after > before
	return p
}

// count returns how many packets the flow has dropped.
func (o ovs) count(ctx context.Context, bridge string, drop *regexp.Regexp) (uint64, error) {
	out, err := o.ofctl(ctx, bridge, "dump-flows")
	if err != nil {
		return 0, err
	}
	m := drop.FindStringSubmatch(out)
	if m == nil {
		return 0, errors.New("the flow that should drop it is not there")
	}
	return strconv.ParseUint(m[1], 10, 64)
}

// synPacket returns a frame with a TCP SYN. Its checksums are not filled in: no
// stack gets it.
func synPacket(to endpoint.MAC, src, dst netip.Addr, port uint16) []byte {
	b := make([]byte, 14+20+20)
	copy(b, to[:])
	copy(b[6:], []byte{2, 0, 0, 0, 0, 2, 8, 0})
	ip, tcp := b[14:], b[34:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 40, 64, 6
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], port)
	tcp[12], tcp[13] = 5<<4, 2
	return b
}

package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// ARP frames (RFC 826) on Ethernet: offsets and size in bytes.
const (
	arpSHA       = 22 // sender's hardware address
	arpSPA       = 28 // sender's IPv4 address
	arpTPA       = 38 // target's IPv4 address
	arpFrameSize = 42
	arpRequest   = 1
)

// ARP asks on a device who has an address, for an own address that the kernel's
// stack knows nothing of. It hears the answers though the device is a port of a
// switch, and frames with a VLAN tag it does not hear.
type ARP struct {
	file   *os.File
	mac    endpoint.MAC // of the device
	target netip.Addr
}

// OpenARP returns an ARP on dev for the IPv4 address target.
func OpenARP(dev string, target netip.Addr) (*ARP, error) {
	l, err := Find(dev)
	if err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(dev)
	if err != nil {
		return nil, fmt.Errorf("find device %q: %w", dev, err)
	}
	// Protocol 0 receives nothing until the filter stands.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	a := &ARP{file: os.NewFile(uintptr(fd), "arp of "+dev), mac: l.MAC, target: target}
	if err := listenARP(fd, link.Attrs().Index, target); err != nil {
		a.file.Close()
		return nil, fmt.Errorf("listen for ARP on %q: %w", dev, err)
	}
	return a, nil
}

// listenARP makes fd receive what target says by ARP on a device. All protocols
// are asked for, since a switch takes the frames before a socket of one protocol
// would see them.
func listenARP(fd, index int, target netip.Addr) error {
	raw, err := bpf.Assemble(arpFilter(target))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog); err != nil {
		return err
	}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
}

// arpFilter lets pass the untagged ARP frames that came in from target.
func arpFilter(target netip.Addr) []bpf.Instruction {
	ip := target.As4()
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 7},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 5},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_ARP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: arpSPA, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(ip[:]), SkipTrue: 1},
		bpf.RetConstant{Val: arpFrameSize},
		bpf.RetConstant{Val: 0},
	}
}

// Ask sends a request from own. An own that is not valid makes it a probe (RFC
// 5227), which changes nobody's cache.
func (a *ARP) Ask(own netip.Addr) error {
	if _, err := a.file.Write(arpAsk(a.mac, own, a.target)); err != nil {
		return fmt.Errorf("ask who has %s: %w", a.target, err)
	}
	return nil
}

// arpAsk returns the frame of a request.
func arpAsk(mac endpoint.MAC, own, target netip.Addr) []byte {
	if !own.IsValid() {
		own = netip.IPv4Unspecified()
	}
	b := make([]byte, arpFrameSize)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(b[6:], mac[:])
	copy(b[12:], []byte{unix.ETH_P_ARP >> 8, unix.ETH_P_ARP & 0xff, 0, 1, unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff, 6, 4, 0, arpRequest})
	copy(b[arpSHA:], mac[:])
	copy(b[arpSPA:], own.AsSlice())
	copy(b[arpTPA:], target.AsSlice())
	return b
}

// Hear waits for target to say something, until end, and returns its hardware
// address. Past end the error is os.ErrDeadlineExceeded, after Close os.ErrClosed.
func (a *ARP) Hear(end time.Time) (endpoint.MAC, error) {
	var mac endpoint.MAC
	if err := a.file.SetReadDeadline(end); err != nil {
		return mac, err
	}
	b := make([]byte, arpFrameSize)
	for {
		n, err := a.file.Read(b)
		if err != nil {
			return mac, err
		}
		if mac, ok := arpSender(b[:n]); ok {
			return mac, nil
		}
	}
}

// arpSender returns who sent a frame that the filter let pass.
func arpSender(b []byte) (mac endpoint.MAC, ok bool) {
	if len(b) < arpFrameSize {
		return mac, false
	}
	copy(mac[:], b[arpSHA:])
	return mac, !mac.IsZero() && mac[0]&1 == 0
}

// Close ends it, also a Hear under way.
func (a *ARP) Close() error { return a.file.Close() }

// Resolve asks who has target until somebody answers or end has come; then the
// address is zero.
func Resolve(dev string, own, target netip.Addr, end time.Time) (endpoint.MAC, error) {
	a, err := OpenARP(dev, target)
	if err != nil {
		return endpoint.MAC{}, err
	}
	defer a.Close()
	for {
		if err := a.Ask(own); err != nil {
			return endpoint.MAC{}, err
		}
		next := time.Now().Add(askAgain)
		if next.After(end) {
			next = end
		}
		mac, err := a.Hear(next)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return mac, err
		}
		if !time.Now().Before(end) {
			return endpoint.MAC{}, nil
		}
	}
}

// askAgain is how long an answer may take.
const askAgain = 200 * time.Millisecond

package nic

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// disableTxChecksum makes the kernel complete the checksums of what dev sends.
// A userspace datapath at its other end never would, and the receiver drops
// every packet (ethtool(8), -K tx off; segmentation offload goes with it).
func disableTxChecksum(dev string) error {
	// A device that can't switch it refuses even what it does already.
	if on, err := TxChecksum(dev); err == nil && !on {
		return nil
	}
	if _, err := ethtool(dev, ethtoolValue{unix.ETHTOOL_STXCSUM, 0}); err != nil {
		return fmt.Errorf("disable checksum offload of %q: %w", dev, err)
	}
	return nil
}

// TxChecksum reports whether checksums of what dev sends are left to hardware.
func TxChecksum(dev string) (bool, error) { return offload(dev, unix.ETHTOOL_GTXCSUM) }

// GRO reports whether the kernel joins what dev receives to larger packets.
func GRO(dev string) (bool, error) { return offload(dev, unix.ETHTOOL_GGRO) }

func offload(dev string, cmd uint32) (bool, error) {
	v, err := ethtool(dev, ethtoolValue{cmd: cmd})
	if err != nil {
		return false, fmt.Errorf("read offloads of %q: %w", dev, err)
	}
	return v != 0, nil
}

// ethtool asks dev's driver, and returns what it answers.
func ethtool(dev string, val ethtoolValue) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(dev)
	if err != nil {
		return 0, err
	}
	ifr := struct {
		name [unix.IFNAMSIZ]byte
		data *ethtoolValue
		_    [16]byte // struct ifreq's union is larger than a pointer
	}{data: &val}
	copy(ifr.name[:], req.Name())
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); e != 0 {
		return 0, e
	}
	return val.data, nil
}

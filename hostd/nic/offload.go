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
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(dev)
	if err != nil {
		return fmt.Errorf("device name %q: %w", dev, err)
	}
	val := ethtoolValue{unix.ETHTOOL_STXCSUM, 0}
	ifr := struct {
		name [unix.IFNAMSIZ]byte
		data *ethtoolValue
		_    [16]byte // struct ifreq's union is larger than a pointer
	}{data: &val}
	copy(ifr.name[:], req.Name())
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); e != 0 {
		return fmt.Errorf("disable checksum offload of %q: %w", dev, e)
	}
	return nil
}

package inside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is a packet socket on one device of a namespace (packet(7)). It sends
// frames, and captures those that the device sends and receives.
type Device struct {
	MAC net.HardwareAddr

	file *os.File
	raw  syscall.RawConn
}

// Captured is a frame that passed a device.
type Captured struct {
	Frame
	Raw      []byte    // all of the frame
	Time     time.Time // the kernel's, at the device
	Outgoing bool      // the device sent it
}

// OpenDevice opens a packet socket on device name in the namespace.
func OpenDevice(namespace, name string) (*Device, error) {
	d := new(Device)
	err := Do(namespace, func() error { return d.open(name) })
	if err != nil {
		return nil, fmt.Errorf("open device %s in %s: %w", name, namespace, err)
	}
	return d, nil
}

func (d *Device) open(name string) error {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	d.MAC = nic.HardwareAddr
	// Protocol 0 captures nothing until bind names the device.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d.file = os.NewFile(uintptr(fd), name)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap16(unix.ETH_P_ALL), Ifindex: nic.Index}))
	if err == nil {
		d.raw, err = d.file.SyscallConn()
	}
	if err != nil {
		d.file.Close()
	}
	return err
}

// Send puts a frame on the device as it is.
func (d *Device) Send(frame []byte) error {
	_, err := d.file.Write(frame)
	return err
}

// Close ends the socket, and any Receive on it with os.ErrClosed.
func (d *Device) Close() error { return d.file.Close() }

// Receive returns the next frame that passes the device.
func (d *Device) Receive(ctx context.Context) (Captured, error) {
	stop := context.AfterFunc(ctx, func() { d.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf, oob := make([]byte, 65536), make([]byte, 256)
	var n, oobn int
	var from unix.Sockaddr
	var rerr error
	err := d.raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, rerr = unix.Recvmsg(int(fd), buf, oob, 0)
		return !errors.Is(rerr, unix.EAGAIN)
	})
	if err = errors.Join(err, rerr); err != nil {
		if ctx.Err() != nil {
			return Captured{}, ctx.Err()
		}
		return Captured{}, err
	}
	c := Captured{Raw: buf[:n:n]}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		c.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	c.readControl(oob[:oobn])
	c.Frame, _ = Parse(c.Raw)
	return c, nil
}

// readControl takes the time, and puts a VLAN tag back that the kernel took out
// of the frame.
func (c *Captured) readControl(oob []byte) {
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16:
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			c.Time = time.Unix(ts.Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
			if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 && len(c.Raw) >= 14 {
				tag := []byte{0x81, 0, byte(aux.Vlan_tci >> 8), byte(aux.Vlan_tci)}
				c.Raw = append(append(append([]byte{}, c.Raw[:12]...), tag...), c.Raw[12:]...)
			}
		}
	}
}

// Capture collects what passes a device until Stop.
type Capture struct {
	dev  *Device
	done chan struct{}

	mu     sync.Mutex // guards the fields below
	frames []Captured
	more   chan struct{} // closed and renewed with each frame
}

// StartCapture begins to collect the frames that keep accepts (nil: all) at a
// device of the namespace. When it returns, no later frame is missed.
func StartCapture(namespace, device string, keep func(*Captured) bool) (*Capture, error) {
	d, err := OpenDevice(namespace, device)
	if err != nil {
		return nil, err
	}
	c := &Capture{dev: d, done: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(c.done)
		for {
			f, err := d.Receive(context.Background())
			if err != nil {
				return
			}
			if keep == nil || keep(&f) {
				c.add(f)
			}
		}
	}()
	return c, nil
}

func (c *Capture) add(f Captured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	close(c.more)
	c.more = make(chan struct{})
}

// Frames returns what was collected so far.
func (c *Capture) Frames() []Captured {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Captured(nil), c.frames...)
}

// Await returns the first collected frame that match accepts, as soon as there
// is one, or ctx's error.
func (c *Capture) Await(ctx context.Context, match func(*Captured) bool) (Captured, error) {
	seen := 0
	for {
		c.mu.Lock()
		frames, more := c.frames, c.more
		c.mu.Unlock()
		for ; seen < len(frames); seen++ {
			if match(&frames[seen]) {
				return frames[seen], nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Captured{}, ctx.Err()
		}
	}
}

// Stop ends the capture and returns what it collected.
func (c *Capture) Stop() []Captured {
	c.dev.Close()
	<-c.done
	return c.Frames()
}

func swap16(v uint16) uint16 { return v<<8 | v>>8 }

package inside

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Ping sends one ICMP echo request with size bytes of payload from the
// namespace and returns the time until the answer from dst.
func Ping(ctx context.Context, namespace string, dst netip.Addr, size int) (time.Duration, error) {
	var c net.PacketConn
	err := Do(namespace, func() (err error) {
		c, err = net.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ping %s: %w", dst, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	id := uint16(rand.Uint32())
	request := (&Frame{Proto: ICMP, ICMPType: 8, ID: id, Payload: make([]byte, size)}).transport()
	start := time.Now()
	if _, err := c.WriteTo(request, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, fmt.Errorf("ping %s: %w", dst, err)
	}
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return 0, fmt.Errorf("ping %s: no answer: %w", dst, err)
		}
		sender, _ := netip.ParseAddr(from.String())
		if n == len(request) && buf[0] == 0 && binary.BigEndian.Uint16(buf[4:]) == id && sender == dst {
			return time.Since(start), nil
		}
	}
}

package simnet

import "time"

// meter is a token bucket as OVS's userspace datapath has it (lib/dpif-netdev.c,
// dpif_netdev_run_meter): full at the start, filled by the millisecond.
type meter struct {
	rate, burst uint64 // packets per second; packets
	level       uint64 // thousandths of packets
	used        time.Time
}

// packetCost is a packet's share of the bucket.
const packetCost = 1000

func newMeter(rate, burst uint32, now time.Time) *meter {
	m := &meter{rate: uint64(rate), burst: uint64(burst), used: now}
	if m.burst == 0 {
		m.burst = m.rate
	}
	m.level = m.burst * packetCost
	return m
}

// take reports whether one more packet passes now.
func (m *meter) take(now time.Time) bool {
	if ms := now.Sub(m.used).Milliseconds(); ms > 0 {
		m.level = min(m.burst*packetCost, m.level+uint64(ms)*m.rate)
		m.used = now
	}
	if m.level < packetCost {
		return false
	}
	m.level -= packetCost
	return true
}

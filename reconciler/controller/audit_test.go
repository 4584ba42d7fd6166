package controller

import (
	"testing"
	"time"
)

func TestAuditTakesFewFlowsAtOnceAndAllOfThemInTime(t *testing.T) {
	for _, flows := range []int{0, 100, 8_000, 40_000, 130_000} {
		parts, every := auditPace(flows)
		if parts&(parts-1) != 0 || flows/int(parts) > 2048 {
			t.Errorf("%d flows: %d parts; want a power of two and at most 2048 flows in each", flows, parts)
		}
		if all := every * time.Duration(parts); all < 19*pollEvery/20 || all > 5*pollEvery {
			t.Errorf("%d flows: all within %s; want 2 to 10 s", flows, all)
		}
	}
}

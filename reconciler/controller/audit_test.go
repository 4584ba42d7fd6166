package controller

import (
	"testing"
	"time"
)

func TestAuditTakesFewFlowsAtOnceAndAllOfThemInTime(t *testing.T) {
	for _, cookies := range []int{0, 100, 129, 2_000, 12_000, 130_000} {
		parts, every := auditPace(cookies)
		if parts&(parts-1) != 0 || parts > maxParts {
			t.Errorf("%d cookies: %d parts; want a power of two, at most %d", cookies, parts, maxParts)
		}
		if most := max(fewCookies, cookiesOfPart, cookies/maxParts); cookies/int(parts) > most {
			t.Errorf("%d cookies: %d parts; want at most %d in each", cookies, parts, most)
		}
		if all := every * time.Duration(parts); all < 19*pollEvery/20 || all > 5*pollEvery {
			t.Errorf("%d cookies: all within %s; want 2 to 10 s", cookies, all)
		}
	}
}

package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
)

func TestAuditTakesFewFlowsAtOnceAndAllOfThemInTime(t *testing.T) {
	for _, cookies := range []int{0, 100, 129, 2_000, 12_000, 130_000} {
		parts, every := auditPace(cookies, cookies*flowsOfCookie)
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

// TestCookiesOfManyFlowsAreAuditedInMoreParts: a session may have thousands of lanes.
func TestCookiesOfManyFlowsAreAuditedInMoreParts(t *testing.T) {
	for _, held := range []int{40_000, 500_000} {
		parts, every := auditPace(100, held)
		if most := max(flowsOfLook, held/maxParts); held/int(parts) > most {
			t.Errorf("100 cookies with %d flows: %d parts; want at most %d flows in each", held, parts, most)
		}
		if all := every * time.Duration(lookParts(100, held)); all > lookWithin {
			t.Errorf("100 cookies with %d flows: looked at within %s; want %s", held, all, lookWithin)
		}
	}
}

func TestLooksTakeLittleOfASwitchsTimeAndEndInAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		took  time.Duration
		parts uint32
		want  time.Duration
	}{
		"few flows":                 {time.Millisecond, 1, 200 * time.Millisecond},
		"very many":                 {15 * time.Millisecond, 16, 3 * time.Second},
		"very many on a busy host":  {time.Second, 16, lookWithin / 16},
		"all at once, and it hangs": {time.Minute, 1, lookWithin},
	} {
		if got := lookPause(tt.took, tt.parts); got != tt.want {
			t.Errorf("%s: the next look is %s after one of %s, one of %d; want %s", name, got, tt.took, tt.parts, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		cookies, held int
		want          uint32
	}{
		"it holds what it should":     {12_000, 40_000, 32},
		"drops or strays beside that": {100, 40_000, 32},
		"it is empty":                 {12_000, 0, 32},
		"nothing":                     {1, 0, 1},
	} {
		if got := lookParts(tt.cookies, tt.held); got != tt.want {
			t.Errorf("%s: looked at in %d parts; want %d", name, got, tt.want)
		}
	}
}

// TestPartWhereSomethingIsWrongIsLookedAtTwice, and not more often: a busy switch
// always is about to change.
func TestPartWhereSomethingIsWrongIsLookedAtTwice(t *testing.T) {
	o := lookout{part: engine.Part{Of: 2}, held: 9}
	for i, step := range []struct {
		suspected bool
		index     uint32 // of the next part
		held      int
	}{
		{true, 0, 9}, {true, 1, 9}, {true, 1, 9}, {false, 0, 200},
	} {
		o.looked(100, step.suspected)
		if o.part.Index != step.index || o.held != step.held {
			t.Errorf("after look %d: part %d is next, %d flows are held; want %d, %d", i+1, o.part.Index, o.held, step.index, step.held)
		}
	}
	if o.part != (engine.Part{}) {
		t.Errorf("after the last part: %v; want a new division", o.part)
	}
}

// liar answers each question with so many flows.
type liar int

func (l *liar) FlowStats(context.Context, ...ofswitch.StatsFilter) ([]openflow.FlowStats, error) {
	return make([]openflow.FlowStats, *l), nil
}

// TestASwitchThatListsMoreThanItCanHoldIsStopped before it fills the memory: an
// answer is bounded, and a part has many.
func TestASwitchThatListsMoreThanItCanHoldIsStopped(t *testing.T) {
	const answers, most = 5, 100
	cookies := make([]uint64, answers*cookiesOfWrite)
	l := liar(most / answers)
	if flows, err := listCookies(t.Context(), &l, cookies, most); err != nil || len(flows) != most {
		t.Errorf("as many as may be are %d, %v; want all %d", len(flows), err, most)
	}
	l++
	if flows, err := listCookies(t.Context(), &l, cookies, most); !errors.Is(err, errTooMany) {
		t.Errorf("more than that are %d, %v; want %v", len(flows), err, errTooMany)
	}
}

package simulate_test

import (
	"slices"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/simulate"
)

// TestPlantedBugIsFound plants each bug alone and runs seeds until one of the
// rules that it offends breaks.
func TestPlantedBugIsFound(t *testing.T) {
	const seeds = 100 // a machine does ten of them in a second
	for name, tt := range map[string]struct {
		bug   simulate.Bug
		rules []simulate.Rule
	}{
		"a lost barrier":                       {simulate.BugLostBarrier, []simulate.Rule{simulate.RuleAck}},
		"a stale decision is installed":        {simulate.BugStaleDecision, []simulate.Rule{simulate.RuleSession, simulate.RuleDelivery}},
		"a wire port is released early":        {simulate.BugEarlyRelease, []simulate.Rule{simulate.RuleLabel, simulate.RuleDelivery}},
		"an adoption trusts the cookie only":   {simulate.BugCookieOnly, []simulate.Rule{simulate.RuleFlows, simulate.RuleDelivery, simulate.RuleRest}},
		"a reply flow takes packets that open": {simulate.BugReplyOpens, []simulate.Rule{simulate.RuleDelivery}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			library, err := simulate.NewLibrary()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for seed := uint64(1); seed <= seeds; seed++ {
				_, f := simulate.Run(simulate.Options{Library: library, Seed: seed, Steps: 10_000, Bug: tt.bug})
				if f == nil {
					continue
				}
				t.Logf("found after %s: %v", time.Since(began).Round(time.Millisecond), f)
				if !slices.Contains(tt.rules, f.Rule) {
					t.Errorf("it breaks %q; want one of %q", f.Rule, tt.rules)
				}
				return
			}
			t.Errorf("not found in %d seeds, %s", seeds, time.Since(began).Round(time.Second))
		})
	}
}

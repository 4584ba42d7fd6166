package admission_test

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/testbed/world"
)

// onlyPort allows one destination port.
type onlyPort struct {
	*world.Verdicts
	port uint16
}

func (p onlyPort) Decide(now time.Time, q policy.Query) policy.Decision {
	if q.Port != p.port {
		return policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonIngressDefault}
	}
	return p.Verdicts.Decide(now, q)
}

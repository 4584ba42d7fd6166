package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// A client may open so many sessions to one server at once, and so many a second
// from then on. Each costs its switches flows, and each flow has them look at all
// that they cache: a scan of ports that the policy allows would slow everybody's
// first packets. A client of a service needs one session for all its connections.
const (
	scanBurst = 256
	scanRate  = 32
)

// scanSweep is how often it is looked for pairs that need not be remembered.
const scanSweep = time.Second

// couple is a client and a server in one number, as service is.
type couple uint64

func coupleOf(client, server *inventory.Endpoint) couple {
	return couple(client.AddrID)<<32 | couple(server.AddrID)
}

// opening is how many sessions a client opened to a server lately: a bucket that
// leaks scanRate a second.
type opening struct {
	level float64
	at    int64 // when level was right, in nanoseconds since 1970
}

func (o opening) left(now time.Time) float64 {
	return max(0, o.level-float64(now.UnixNano()-o.at)/float64(time.Second)*scanRate)
}

// scanning reports whether a client opens sessions to a server so fast that it
// may open none now, and counts the one that it may.
func (t *Table) scanning(now time.Time, client, server *inventory.Endpoint) bool {
	k := coupleOf(client, server)
	level := t.openings[k].left(now) + 1
	if level > scanBurst {
		return true
	}
	t.openings[k] = opening{level, now.UnixNano()}
	return false
}

// sweepOpenings forgets who has not opened sessions for long enough.
func (t *Table) sweepOpenings(now time.Time) {
	if now.Sub(t.swept) < scanSweep {
		return
	}
	t.swept = now
	for k, o := range t.openings {
		if o.left(now) == 0 {
			delete(t.openings, k)
		}
	}
}

// scanned denies packets of a client that scans a server. A flow keeps all that
// would open a session between the two from being lifted for scanTTL; what lives
// between them goes on.
func (t *Table) scanned(now time.Time, allowed *admission.Result, packets []*Packet) []Effect {
	r := *allowed
	r.Decision = policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonScan, Revision: allowed.Decision.Revision}
	out := eachDenied(&r, packets)
	p := packets[0]
	if r.Reverse || !droppable(&p.Headers) || p.Headers.Proto == packet.ICMP {
		return out
	}
	d := &Drop{Request: p.request(), Result: r, AllPorts: true, Expires: now.Add(scanTTL)}
	if t.keepDrop(d) {
		out = append(out, InstallDrop{d})
	}
	return out
}

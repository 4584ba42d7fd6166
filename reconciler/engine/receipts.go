package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// Bounds of what is kept of receipts. A line is a session or a host of one, some
// 500 bytes.
const (
	maxReceipts     = 100
	maxReceiptLines = 20_000
	maxCutsListed   = 100 // of one receipt
)

// Cause is what made sessions forbidden.
type Cause string

// Causes. A container that just goes away is none: nothing was forbidden.
const (
	CauseRevision    Cause = "revision"     // another became active, perhaps while no controller ran
	CauseReport      Cause = "report"       // a host said that labels, groups or endpoints are others
	CauseUntil       Cause = "until"        // a rule's time came
	CauseKill        Cause = "kill"         // somebody ended the session
	CauseHostRevoked Cause = "host-revoked" // a host was taken out
)

// Receipt says of one event which sessions it cut, and which switches have
// confirmed that nothing of them is left. The engine keeps the last ones.
type Receipt struct {
	ID       uint64 // from 1, in the order of events
	Cause    Cause
	Host     string // of CauseReport and CauseHostRevoked
	Revision string // in force after the event
	// Seen is when the event was noticed, and At when the sessions were judged and
	// their deletions sent.
	Seen, At time.Time
	Count    int          // of sessions
	Cuts     []CutSession // the first of them, by cookie
	Hosts    []CutHost

	open   int            // of Hosts, those to confirm
	places map[uint64]int // of Hosts, by DPID
}

// CutSession is a session of a Receipt.
type CutSession struct {
	ID     uint64
	From   CutEnd
	To     CutEnd
	Proto  packet.Proto
	Port   uint16
	Why    session.EndReason
	Now    policy.Decision // what forbids it, if Why is session.EndPolicy
	Opened time.Time
}

// CutEnd is an end of a session that was cut, as it was.
type CutEnd struct {
	Endpoint inventory.EndpointRef
	IP       netip.Addr
	Host     string
}

// CutState is how far a switch is with a Receipt.
type CutState string

// States of a CutHost.
const (
	CutSent      CutState = "sent"      // its barrier is awaited
	CutAway      CutState = "away"      // not connected: the flows go when it comes back
	CutConfirmed CutState = "confirmed" // no flow of the sessions is left there
	CutRefused   CutState = "refused"   // it said no; an audit mends what is left
	CutRevoked   CutState = "revoked"   // nobody lets its packets in, whatever it holds
	CutReplaced  CutState = "replaced"  // its host has another switch now
)

// CutHost is a host whose switch held flows of sessions that were cut.
type CutHost struct {
	Name     string
	DPID     uint64
	Sessions int // of the receipt, through it
	State    CutState
	Since    time.Time // of State
	Err      string    // of CutRefused

	waits int // barriers
}

// Done reports whether every host has confirmed, or never will.
func (r *Receipt) Done() bool { return r.open == 0 }

// Last is when the last host confirmed; zero if none has.
func (r *Receipt) Last() time.Time {
	var last time.Time
	for _, h := range r.Hosts {
		if h.State == CutConfirmed && h.Since.After(last) {
			last = h.Since
		}
	}
	return last
}

// ReceiptDone records that the last host of a receipt has confirmed.
type ReceiptDone struct{ Receipt Receipt }

func (ReceiptDone) effect() {}

// receipts are what is kept of cuts.
type receipts struct {
	kept    []*Receipt // by ID
	lines   int        // of kept
	lastID  uint64
	current *Receipt             // of this Step; nil: it cut nothing yet
	event   Event                // of this Step
	away    map[uint64]time.Time // since when switches are, by DPID
}

func newReceipts() receipts {
	return receipts{away: make(map[uint64]time.Time)}
}

// Receipts returns copies of the kept receipts, the newest first.
func (e *Engine) Receipts() []Receipt {
	out := make([]Receipt, 0, len(e.cuts.kept))
	for _, r := range slices.Backward(e.cuts.kept) {
		out = append(out, r.copy())
	}
	return out
}

func (r *Receipt) copy() Receipt {
	c := *r
	c.Cuts, c.Hosts, c.places = slices.Clone(r.Cuts), slices.Clone(r.Hosts), nil
	return c
}

// begin notes the event of a Step: what it cuts is of one receipt.
func (rs *receipts) begin(ev Event) { rs.event, rs.current = ev, nil }

// cause tells what the event is to sessions that end because of it.
func (rs *receipts) cause() (c Cause, host string) {
	switch ev := rs.event.(type) {
	case RevisionLoaded:
		return CauseRevision, ""
	case HostUp:
		return CauseReport, ev.Report.Name
	case HostChanged:
		return CauseReport, ev.Host
	case HostRevoked:
		return CauseHostRevoked, ev.Host
	case SessionKilled:
		return CauseKill, ""
	case Tick:
		return CauseUntil, ""
	}
	return "", ""
}

// adopting notes that what this Step cuts from now on was an earlier controller's: a
// revision forbade it while nobody knew of it.
func (rs *receipts) adopting() {
	if _, same := rs.event.(RevisionLoaded); !same {
		rs.finish()
		rs.begin(RevisionLoaded{})
	}
}

// receiptOf returns the receipt in which a session's end stands; nil: in none,
// since nobody forbade it.
func (e *Engine) receiptOf(now time.Time, why session.EndReason) *Receipt {
	rs := &e.cuts
	cause, host := rs.cause()
	switch {
	case cause == "":
		return nil
	case why == session.EndPolicy, why == session.EndKilled:
	case why == session.EndEndpoint && (cause == CauseRevision || cause == CauseHostRevoked):
	default:
		return nil
	}
	if rs.current == nil {
		rs.lastID++
		rs.current = &Receipt{ID: rs.lastID, Cause: cause, Host: host, Seen: now, At: now, places: make(map[uint64]int)}
		if e.pol != nil {
			rs.current.Revision = e.pol.Revision()
		}
		if ev, ok := rs.event.(RevisionLoaded); ok && !ev.Seen.IsZero() {
			rs.current.Seen = ev.Seen
		}
		rs.keep(rs.current)
	}
	return rs.current
}

// keep adds a receipt and drops old ones, those that are done first.
func (rs *receipts) keep(r *Receipt) {
	rs.kept = append(rs.kept, r)
	for len(rs.kept) > 1 && (len(rs.kept) > maxReceipts || rs.lines > maxReceiptLines) {
		i := max(0, slices.IndexFunc(rs.kept[:len(rs.kept)-1], (*Receipt).Done))
		rs.lines -= len(rs.kept[i].Cuts) + len(rs.kept[i].Hosts)
		rs.kept = slices.Delete(rs.kept, i, i+1)
	}
}

// add notes a session of a receipt, once its deletions are being sent.
func (rs *receipts) add(r *Receipt, s *session.Session, why session.EndReason) {
	r.Count++
	if len(s.Lanes) > 0 {
		for _, h := range s.Hops {
			r.Hosts[r.places[h.DPID]].Sessions++
		}
	}
	if len(r.Cuts) >= maxCutsListed {
		return
	}
	rs.lines++
	c := CutSession{ID: s.ID, From: cutEnd(s.Client), To: cutEnd(s.Server), Proto: s.Proto, Port: s.Port, Why: why, Opened: s.Opened}
	if why == session.EndPolicy {
		c.Now = *s.Decision
	}
	r.Cuts = append(r.Cuts, c)
}

func cutEnd(ep *inventory.Endpoint) CutEnd {
	return CutEnd{Endpoint: inventory.EndpointRef{VPC: ep.VPC, Name: ep.Name}, IP: ep.IP, Host: ep.Host.Name}
}

// sending notes that a switch holds flows of a session of a receipt; with sent they
// are being deleted, else it is not connected.
func (rs *receipts) sending(now time.Time, r *Receipt, h *inventory.Host, sent bool) {
	i, found := r.places[h.DPID]
	if !found {
		i = len(r.Hosts)
		r.places[h.DPID] = i
		rs.lines++
		r.open++
		r.Hosts = append(r.Hosts, CutHost{Name: h.Name, DPID: h.DPID, State: CutSent, Since: now})
	}
	c := &r.Hosts[i]
	if sent {
		c.waits++
	} else if c.State = CutAway; !found {
		if since, known := rs.away[h.DPID]; known {
			c.Since = since
		}
	}
}

// barrier notes that a switch, one of Hosts, did one deletion, or refused it.
func (r *Receipt) barrier(now time.Time, dpid uint64, refused string) []Effect {
	h := &r.Hosts[r.places[dpid]]
	if h.State != CutSent {
		return nil
	}
	h.waits--
	if refused != "" && h.Err == "" {
		h.Err = refused
	}
	switch {
	case h.waits > 0:
		return nil
	case h.Err != "":
		return r.settle(now, h, CutRefused)
	}
	return r.settle(now, h, CutConfirmed)
}

// settle ends the wait for a host.
func (r *Receipt) settle(now time.Time, h *CutHost, s CutState) []Effect {
	h.State, h.Since = s, now
	if r.open--; r.open > 0 {
		return nil
	}
	return []Effect{ReceiptDone{r.copy()}}
}

// each calls f for the hosts of open receipts that have a switch.
func (rs *receipts) each(dpid uint64, f func(*Receipt, *CutHost) []Effect) (out []Effect) {
	for _, r := range rs.kept {
		i, found := r.places[dpid]
		if !found {
			continue
		}
		if h := &r.Hosts[i]; h.State == CutSent || h.State == CutAway {
			out = append(out, f(r, h)...)
		}
	}
	return out
}

// lost notes that a switch is away: what it was told may not have reached it.
func (rs *receipts) lost(now time.Time, dpid uint64) {
	rs.away[dpid] = now
	rs.each(dpid, func(_ *Receipt, h *CutHost) []Effect {
		h.State, h.Since, h.waits = CutAway, now, 0
		return nil
	})
}

// resynced notes that a switch that was away holds what it should and nothing else.
func (rs *receipts) resynced(now time.Time, dpid uint64) []Effect {
	return rs.each(dpid, func(r *Receipt, h *CutHost) []Effect {
		if h.State != CutAway {
			return nil
		}
		return r.settle(now, h, CutConfirmed)
	})
}

// gone notes that a switch will not come back.
func (rs *receipts) gone(now time.Time, dpid uint64, as CutState) []Effect {
	delete(rs.away, dpid)
	return rs.each(dpid, func(r *Receipt, h *CutHost) []Effect { return r.settle(now, h, as) })
}

// finish orders what a Step's receipt lists, so that it is the same each time.
func (rs *receipts) finish() {
	r := rs.current
	if r == nil {
		return
	}
	slices.SortFunc(r.Hosts, func(a, b CutHost) int { return cmp.Compare(a.Name, b.Name) })
	for i := range r.Hosts {
		r.places[r.Hosts[i].DPID] = i
	}
}

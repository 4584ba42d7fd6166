package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// Faults say how messages in a Sim differ from arriving once, at once and in
// order. None of them but Sabotage may change what the
// tables hold in the end.
type Faults struct {
	// Twice lets everything that a switch is told about meters, groups and flows
	// be told twice in a row.
	Twice bool
	// TwiceIn lets every event but an answer reach the engine twice.
	TwiceIn bool
	// LateDecisions lets answers of the policy arrive after all else that is under
	// way.
	LateDecisions bool
	// LateDone lets confirmations of switches arrive only then.
	LateDone bool
	// Sabotage changes each flow on its way to a switch, so that a test can see
	// what a guard guards against.
	Sabotage func(*openflow.Flow)
}

// maxEvents bounds what may follow from one step of a script.
const maxEvents = 10_000

// push queues an event.
func (s *Sim) push(ev engine.Event) { s.events = append(s.events, ev) }

// settle runs the engine until nothing is under way.
func (s *Sim) settle() error {
	for n := 0; len(s.events) > 0; n++ {
		if n == maxEvents {
			return fmt.Errorf("run engine: still busy after %d events", n)
		}
		ev := s.next()
		times := 1
		if _, answer := ev.(engine.Decided); s.faults.TwiceIn && !answer {
			times = 2
		}
		for range times {
			s.perform(s.engine.Step(s.net.Now, ev))
		}
	}
	return s.fault
}

// next takes the event that arrives next: the oldest that is not made late.
func (s *Sim) next() engine.Event {
	at := 0
	for i, ev := range s.events {
		if !s.late(ev) {
			at = i
			break
		}
	}
	ev := s.events[at]
	s.events = append(s.events[:at:at], s.events[at+1:]...)
	return ev
}

func (s *Sim) late(ev engine.Event) bool {
	switch ev.(type) {
	case engine.Decided:
		return s.faults.LateDecisions
	case engine.BatchDone:
		return s.faults.LateDone
	}
	return false
}

// perform does what the engine says. Records are noted first, since a reader
// wants to know why before what.
func (s *Sim) perform(effects []engine.Effect) {
	for _, ef := range effects {
		s.record(ef)
	}
	for _, ef := range effects {
		switch ef := ef.(type) {
		case engine.Send:
			s.apply(*ef.Batch)
		case engine.Decide:
			a := ef.Ask
			s.push(engine.Decided{Decided: session.Decided{Ask: a, Result: admission.Decide(a.Snapshot, a.Policy, s.net.Now, a.Request)}})
		case engine.LeaseGiven:
			s.lease = ef
		case engine.Ack:
			s.refused = ef.Refused
		}
	}
}

// record notes what the engine wants remembered.
func (s *Sim) record(ef engine.Effect) {
	switch ef := ef.(type) {
	case engine.SessionOpened:
		s.note("decision %s", decisionText(*ef.Session.Decision))
	case engine.SessionEnded:
		s.note("session ended why=%s %s", ef.Why, keyText(ef.Session))
	case engine.PacketDenied:
		s.note("decision %s", decisionText(ef.Result.Decision))
	case engine.BatchRefused:
		s.note("switch refused %s", ef.Err)
	}
}

// apply gives a switch a batch and confirms it.
func (s *Sim) apply(b openflow.Batch) {
	if s.faults.Sabotage != nil {
		b.Flows = slices.Clone(b.Flows)
		for i := range b.Flows {
			s.faults.Sabotage(&b.Flows[i].Flow)
		}
	}
	if s.faults.Twice {
		s.failOn(s.net.Apply(openflow.Batch{DPID: b.DPID, Meters: b.Meters, Groups: b.Groups, Flows: b.Flows}))
	}
	errs := s.net.Apply(b)
	s.failOn(errs)
	if b.Token == 0 {
		return
	}
	var why []string
	for _, err := range errs {
		why = append(why, err.Error())
	}
	s.push(engine.BatchDone{DPID: b.DPID, Token: b.Token, Err: strings.Join(why, "; ")})
}

// failOn keeps the first refusal: no message of the controller may be refused
// by a switch.
func (s *Sim) failOn(errs []error) {
	for _, err := range errs {
		if s.fault == nil {
			s.fault = err
		}
	}
}

func decisionText(d policy.Decision) string {
	text := fmt.Sprintf("%s reason=%s", d.Verdict, d.Reason)
	if d.Rule != "" {
		text += " rule=" + d.Rule
	}
	if d.At.File != "" {
		text += " at=" + d.At.String()
	}
	return text
}

func keyText(s *session.Session) string {
	return fmt.Sprintf("%s > %s proto=%d port=%d", s.Client.Name, s.Server.Name, s.Proto, s.Port)
}

// note adds a line, behind what the network did before.
func (s *Sim) note(format string, args ...any) {
	s.drain()
	s.seen.Notes = append(s.seen.Notes, fmt.Sprintf(format, args...))
}

// drain turns the network's log into what Observe returns.
func (s *Sim) drain() {
	o := &s.seen
	for _, e := range s.net.Log {
		switch e.Kind {
		case simnet.EventDelivered:
			o.Arrivals = append(o.Arrivals, Arrival{At: e.Where, Frame: e.Frame})
		case simnet.EventLocal:
			o.Arrivals = append(o.Arrivals, Arrival{At: e.Where, Local: true, Frame: e.Frame})
		case simnet.EventPacketIn:
			o.Notes = append(o.Notes, fmt.Sprintf("packetin %s port=%s %s", e.Host, s.names.PortName(e.Host, e.Port), Describe(e.Frame)))
		case simnet.EventWire:
			o.Notes = append(o.Notes, fmt.Sprintf("wire from %s %s", e.Host, Describe(e.Frame)))
		case simnet.EventLost:
			o.Notes = append(o.Notes, fmt.Sprintf("lost %s: %s", Describe(e.Frame), e.Note))
		case simnet.EventAmbiguous:
			s.failOn([]error{fmt.Errorf("ambiguous flows: %s", e.Note)})
		}
	}
	s.net.Log = nil
}

// Observe tells what happened since the last call.
func (s *Sim) Observe() (Observation, error) {
	s.drain()
	o := s.seen
	s.seen = Observation{}
	o.Flows = map[string][]string{}
	for _, h := range s.net.Hosts() {
		o.Flows[h.Name] = s.flows(h)
	}
	return o, s.fault
}

// flows are a host's flows of the session table.
func (s *Sim) flows(h *simnet.Host) []string {
	var out []string
	for _, f := range h.Switch.Flows() {
		if f.Table == pipeline.TableSession && f.Priority > 0 {
			out = append(out, s.names.Flow(h.Name, f.String()))
		}
	}
	return out
}

// Tables returns all that the switches hold, with names, for comparing runs.
func (s *Sim) Tables() string {
	var b strings.Builder
	for _, h := range s.net.Hosts() {
		for _, line := range strings.SplitAfter(h.Switch.Text(), "\n") {
			if line != "" {
				fmt.Fprintf(&b, "%s %s", h.Name, s.names.Flow(h.Name, line))
			}
		}
	}
	return b.String()
}

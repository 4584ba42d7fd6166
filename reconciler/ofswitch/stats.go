package ofswitch

import (
	"context"
	"fmt"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// StatsFilter says which flow entries FlowStats returns.
type StatsFilter = openflow.StatsFilter

// maxFlowStats bounds the flow entries of one answer: OVS' tables end at a million.
const maxFlowStats = 1 << 20

// statsRequest collects the parts of the answers to one FlowStats; done gets the
// outcome once.
type statsRequest struct {
	flows []openflow.FlowStats // the reader's until done
	left  int                  // answers that are not there yet; the reader's
	done  chan error
}

// answered takes the end of one answer.
func (r *statsRequest) answered(err error) {
	if r.left == 0 {
		return // another one failed
	}
	if r.left--; err != nil {
		r.left = 0
	}
	if r.left == 0 {
		r.done <- err
	}
}

// FlowStats asks for the flow entries that filters name, each one a request, with
// their counters. It waits until the last part of the last answer is there, ctx
// ends, or the connection.
//
// A cookie with all bits of its mask set costs Open vSwitch a look into an index;
// with any other mask it looks at all its flows, on its main thread.
func (s *Switch) FlowStats(ctx context.Context, filters ...StatsFilter) ([]openflow.FlowStats, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	r := &statsRequest{left: len(filters), done: make(chan error, 1)}
	first := s.askStats(r, filters)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range filters {
			delete(s.stats, first+uint32(i))
		}
	}()
	var err error
	select {
	case err = <-r.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.closing:
		err = s.cause()
	}
	if err != nil {
		return nil, fmt.Errorf("read flows of switch %s: %w", s.name(), err)
	}
	return r.flows, nil
}

// askStats sends a request for each filter in one piece, and returns the first
// one's xid; the others' follow.
func (s *Switch) askStats(r *statsRequest, filters []StatsFilter) (first uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first = s.xid; s.err != nil {
		return first
	}
	for _, f := range filters {
		s.stats[s.xid] = r
		s.out = openflow.AppendFlowStatsRequest(s.out, s.xid, f)
		s.xid++
	}
	s.boundQueueLocked()
	s.wakeLocked()
	return first
}

// takeStatsLocked returns the request with xid and forgets it, so that it is done
// once.
func (s *Switch) takeStatsLocked(xid uint32) *statsRequest {
	r := s.stats[xid]
	delete(s.stats, xid)
	return r
}

// statsPart takes one part of the answer to a FlowStats.
func (s *Switch) statsPart(h openflow.Header, b []byte) error {
	t, more, err := openflow.DecodeMultipart(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	r := s.stats[h.Xid]
	s.mu.Unlock()
	if r == nil || t != openflow.MultipartFlow {
		s.counts.unwanted.Add(1)
		return nil
	}
	r.flows, err = openflow.AppendFlowStats(r.flows, b)
	if err == nil && len(r.flows) > maxFlowStats {
		err = fmt.Errorf("more than %d flows", maxFlowStats)
	}
	if more && err == nil {
		return nil
	}
	s.mu.Lock()
	r = s.takeStatsLocked(h.Xid)
	s.mu.Unlock()
	if r != nil {
		r.answered(err)
	}
	return err
}

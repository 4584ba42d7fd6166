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

// statsRequest collects the parts of one answer; done gets the outcome once.
type statsRequest struct {
	flows []openflow.FlowStats // the reader's until done
	done  chan error
}

// FlowStats asks for the flow entries that filter names, with their counters. It
// waits until the last part of the answer is there, ctx ends, or the connection.
func (s *Switch) FlowStats(ctx context.Context, filter StatsFilter) ([]openflow.FlowStats, error) {
	r := &statsRequest{done: make(chan error, 1)}
	var xid uint32
	s.queue(func(b []byte, next uint32) []byte {
		xid = next
		s.stats[xid] = r
		return openflow.AppendFlowStatsRequest(b, xid, filter)
	})
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.stats, xid)
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
		r.done <- err
	}
	return err
}

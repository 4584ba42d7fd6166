package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// backend answers the API from the loop's state.
type backend Controller

// outcomePanic is, beside engine's, the outcome of a packet that made it panic.
const outcomePanic = "panic"

// Status says how the controller is.
func (b *backend) Status(ctx context.Context) (api.Status, error) {
	c := (*Controller)(b)
	st := api.Status{
		Version: c.cfg.Version, Started: c.started, UptimeSeconds: time.Since(c.started).Seconds(),
	}
	if c.decisions != nil {
		st.DecisionLog = &api.DecisionLog{LeftOut: c.decisions.LeftOut()}
	}
	err := c.ask(ctx, func() {
		st.Revision = c.revision
		snap := c.engine.Snapshot()
		for _, h := range snap.Hosts() {
			st.Hosts.Total++
			if _, up := c.engine.HostConnected(h.Name); up {
				st.Hosts.Connected++
			}
		}
		st.Endpoints, st.Sessions = len(snap.Endpoints()), c.engine.Sessions().Len()
		n := c.engine.Counters()
		st.PacketIns = api.PacketIns{
			Total: n.PacketIns, FromEndpoints: n.FromEndpoints, FromWire: n.FromWire,
			Outcomes: make(map[string]uint64), QueueDrops: c.inbox.Dropped(),
		}
		st.PacketIns.Outcomes[outcomePanic] = c.panicked
		for k, v := range n.Outcomes {
			st.PacketIns.Outcomes[string(k)] = v
		}
		st.Drift = make(api.Drift)
		for k, v := range n.Drift {
			st.Drift[string(k)] = v
		}
		st.Decisions.Reasons = make(map[string]uint64)
		for k, v := range n.Reasons {
			st.Decisions.Reasons[string(k)] = v
		}
		if p, ok := c.engine.Policy().(*policy.Policy); ok {
			s := p.Stats()
			st.Decisions.CacheHits, st.Decisions.CacheMisses = s.Hits, s.Misses
		}
	})
	return st, err
}

// Revisions lists what was in force and what was refused.
func (b *backend) Revisions(context.Context) ([]api.Revision, error) {
	return (*Controller)(b).history.list(), nil
}

// Sessions lists live sessions.
func (b *backend) Sessions(ctx context.Context, f api.SessionFilter) ([]api.Session, error) {
	c := (*Controller)(b)
	var out []api.Session
	var failed error
	err := c.ask(ctx, func() {
		var end *inventory.Endpoint
		if f.Endpoint != "" {
			if end, failed = find(c.engine.Snapshot(), f.Endpoint); failed != nil {
				return
			}
		}
		for _, s := range c.engine.Sessions().Sessions() {
			if f.Limit > 0 && len(out) >= f.Limit {
				return
			}
			if selects(f, end, s) {
				out = append(out, c.session(s))
			}
		}
	})
	if err == nil {
		err = failed
	}
	return out, err
}

func selects(f api.SessionFilter, end *inventory.Endpoint, s *session.Session) bool {
	return (f.VPC == "" || f.VPC == string(s.Client.VPC) || f.VPC == string(s.Server.VPC)) &&
		(end == nil || end == s.Client || end == s.Server) &&
		(f.Host == "" || f.Host == s.Client.Host.Name || f.Host == s.Server.Host.Name) &&
		(f.Proto == "" || f.Proto == protoName(s.Proto)) &&
		(f.Port == 0 || f.Port == int(s.Port))
}

// Trace shows a live session hop by hop, with the flows on each switch and
// what they counted.
func (b *backend) Trace(ctx context.Context, q api.Pair) (api.Trace, error) {
	c := (*Controller)(b)
	var tr api.Trace
	var links []*link
	var keys [][]openflow.Key
	var cookie uint64
	var failed error
	err := c.ask(ctx, func() {
		var s *session.Session
		if s, failed = c.sessionOf(q); failed != nil {
			return
		}
		cookie = s.ID
		tr.Session, tr.Legs = c.session(s), legsOf(s)
		tr.Hops, keys = hopsOf(s)
		for _, h := range s.Hops {
			links = append(links, c.switches[h.DPID])
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return api.Trace{}, err
	}
	for i, l := range links {
		if l == nil {
			continue // not connected: its counters are not known
		}
		stats, err := l.sw.FlowStats(ctx, ofswitch.StatsFilter{Table: openflow.AllTables, Cookie: cookie, CookieMask: ^uint64(0)})
		if err != nil {
			return api.Trace{}, fmt.Errorf("read the flows of host %s: %w", tr.Hops[i].Host, err)
		}
		fill(tr.Hops[i].Flows, keys[i], stats)
	}
	return tr, nil
}

// hopsOf shows a session's flows hop by hop, each with the key under which its
// switch reports it.
func hopsOf(s *session.Session) ([]api.Hop, [][]openflow.Key) {
	var hops []api.Hop
	var keys [][]openflow.Key
	for _, l := range s.Lanes {
		for i, hf := range flows.ForLane(s, l) {
			if i == len(hops) {
				hops = append(hops, api.Hop{Host: hf.Host.Name, DPID: fmt.Sprintf("%016x", hf.Host.DPID)})
				keys = append(keys, nil)
			}
			hops[i].Flows = append(hops[i].Flows,
				api.Flow{Direction: "forward", Text: hf.Forward.String()},
				api.Flow{Direction: "reply", Text: hf.Reply.String()})
			keys[i] = append(keys[i], hf.Forward.Key(), hf.Reply.Key())
			if hf.Guard.Table != 0 {
				hops[i].Flows = append(hops[i].Flows, api.Flow{Direction: "guard", Text: hf.Guard.String()})
				keys[i] = append(keys[i], hf.Guard.Key())
			}
		}
	}
	return hops, keys
}

func fill(out []api.Flow, keys []openflow.Key, stats []openflow.FlowStats) {
	for _, st := range stats {
		k := openflow.Key{Table: st.Table, Priority: st.Priority, Match: st.Match}
		if i := slices.Index(keys, k); i >= 0 {
			out[i].Counters = api.Counters{Packets: st.Packets, Bytes: st.Bytes}
		}
	}
}

// Endpoints lists the endpoints seen now.
func (b *backend) Endpoints(ctx context.Context) ([]api.Endpoint, error) {
	c := (*Controller)(b)
	var out []api.Endpoint
	err := c.ask(ctx, func() {
		n := make(map[inventory.EndpointRef]int)
		for s := range c.engine.Sessions().All {
			n[inventory.EndpointRef{VPC: s.Client.VPC, Name: s.Client.Name}]++
			n[inventory.EndpointRef{VPC: s.Server.VPC, Name: s.Server.Name}]++
		}
		for _, e := range c.engine.Snapshot().Endpoints() {
			out = append(out, api.Endpoint{
				Name: e.Name, Tenant: e.Tenant, VPC: e.EndpointReport.VPC, Subnet: e.Subnet,
				IP: e.IP.String(), MAC: macText(e.MAC), Host: e.Host.Name, Port: int(e.Port),
				Groups: e.Identity.Groups, Ignored: e.Ignored, Labels: e.Labels,
				Sessions: n[inventory.EndpointRef{VPC: e.VPC, Name: e.Name}],
			})
		}
	})
	return out, err
}

// Hosts lists the hosts seen now.
func (b *backend) Hosts(ctx context.Context) ([]api.Host, error) {
	c := (*Controller)(b)
	var out []api.Host
	err := c.ask(ctx, func() {
		snap := c.engine.Snapshot()
		for _, h := range snap.Hosts() {
			stream, bridge := c.engine.HostConnected(h.Name)
			a := api.Host{
				Name: h.Name, DPID: fmt.Sprintf("%016x", h.DPID), Address: h.Uplink.Addr.String(), MAC: macText(h.Uplink.MAC),
				NextHop: h.Uplink.NextHop.String(), NextHopMAC: macText(h.Uplink.NextHopMAC), MTU: h.Uplink.MTU,
				Connected: bridge, Reporting: stream, Endpoints: len(snap.EndpointsOf(h)),
			}
			for s := range c.engine.Sessions().Passing(h.DPID, 0, 1) {
				a.Sessions++
				a.Flows += 2 * len(s.Lanes)
			}
			out = append(out, a)
		}
	})
	return withTrust(out, c.trust.Hosts()), err
}

// pair finds both ends of a question.
func (c *Controller) pair(q api.Pair) (client, server *inventory.Endpoint, err error) {
	snap := c.engine.Snapshot()
	if client, err = find(snap, q.From); err != nil {
		return nil, nil, err
	}
	server, err = find(snap, q.To)
	return client, server, err
}

// sessionOf finds the live session of a question.
func (c *Controller) sessionOf(q api.Pair) (*session.Session, error) {
	client, server, err := c.pair(q)
	if err != nil {
		return nil, err
	}
	proto, err := protoOf(q.Proto)
	if err != nil {
		return nil, err
	}
	s := c.engine.Sessions().Find(session.Key{
		Client: inventory.AddrKey{VPC: client.VPC, IP: client.IP}, Server: inventory.AddrKey{VPC: server.VPC, IP: server.IP},
		Proto: proto, Port: uint16(q.Port),
	})
	if s == nil {
		return nil, &api.Error{
			Code:    api.CodeNotFound,
			Message: fmt.Sprintf("no session from %s to %s on %s lives", endpointName(client), endpointName(server), portName(proto, uint16(q.Port))),
			Hint:    "daolictl why says whether one may be opened",
		}
	}
	return s, nil
}

// find returns the endpoint that a user named: NAME if only one has it,
// TENANT/VPC/NAME or TENANT/VPC/IP.
func find(snap *inventory.Snapshot, text string) (*inventory.Endpoint, error) {
	parts := strings.Split(text, "/")
	var found []*inventory.Endpoint
	for _, e := range snap.Endpoints() {
		if len(parts) == 1 && e.Name == text {
			found = append(found, e)
		}
	}
	if len(parts) == 3 {
		vpc := spec.MakeVPCID(parts[0], parts[1])
		e := snap.EndpointByName(inventory.EndpointRef{VPC: vpc, Name: parts[2]})
		if a, err := netip.ParseAddr(parts[2]); e == nil && err == nil {
			e = snap.EndpointByAddr(vpc, a)
		}
		if e != nil {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no endpoint %q", text), Hint: "daolictl get endpoints lists them; write NAME, TENANT/VPC/NAME or TENANT/VPC/IP"}
	}
	names := make([]string, len(found))
	for i, e := range found {
		names[i] = endpointName(e)
	}
	return nil, &api.Error{Code: api.CodeAmbiguous, Message: fmt.Sprintf("%q is the name of several endpoints", text), Hint: "say which: " + strings.Join(names, ", ")}
}

func protoOf(name string) (packet.Proto, error) {
	switch name {
	case "tcp":
		return packet.TCP, nil
	case "udp":
		return packet.UDP, nil
	case "sctp":
		return packet.SCTP, nil
	case "icmp":
		return packet.ICMP, nil
	}
	return 0, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("protocol %q is not known", name), Hint: "tcp, udp, sctp and icmp are"}
}

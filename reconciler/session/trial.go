package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Standing is what of a live session counts when it is judged again. It is a copy,
// and may be judged on any goroutine.
type Standing struct {
	ID             uint64
	Client, Server *inventory.Endpoint
	Proto          packet.Proto
	Port           uint16
	Bridged        bool
}

// Standing returns what of s counts when it is judged again.
func (s *Session) Standing() Standing {
	return Standing{ID: s.ID, Client: s.Client, Server: s.Server, Proto: s.Proto, Port: s.Port, Bridged: s.Bridged}
}

// Judgement is what becomes of a session under another policy or inventory.
type Judgement struct {
	// Cut is EndEndpoint where an end is no longer what it was, EndPolicy where the
	// policy forbids the session, and "" where the session stays.
	Cut            EndReason
	Client, Server *inventory.Endpoint // its ends as they are then; not with EndEndpoint
	Decision       policy.Decision     // not with EndEndpoint
}

// Judge judges a session under pol and what snap shows. A swap of revisions does
// just this for each session, so whoever asks beforehand learns what it will do.
func (w Standing) Judge(now time.Time, snap *inventory.Snapshot, pol admission.Policy) Judgement {
	client := snap.EndpointByAddr(w.Client.VPC, w.Client.IP)
	server := snap.EndpointByAddr(w.Server.VPC, w.Server.IP)
	if !samePlace(w.Client, client) || !samePlace(w.Server, server) || bridged(client, server) != w.Bridged {
		return Judgement{Cut: EndEndpoint}
	}
	j := Judgement{Client: client, Server: server}
	j.Decision = pol.Decide(now, policy.Query{Src: client.Identity, Dst: server.Identity, Proto: w.Proto, Port: w.Port})
	if j.Decision.Verdict != policy.Allow {
		j.Cut = EndPolicy
	}
	return j
}

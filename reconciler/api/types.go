package api

import (
	"context"
	"strings"
	"time"
)

// Backend answers questions about the running controller. Each call returns
// within ctx; what it returns is a copy, sorted in an order that two calls
// share. Lists may be nil. An error that is an *Error decides its own status;
// any other is the controller's fault (500), or the deadline's (504).
type Backend interface {
	Status(ctx context.Context) (Status, error)
	// Sessions returns the live sessions that f selects, at most f.Limit of them
	// unless that is 0.
	Sessions(ctx context.Context, f SessionFilter) ([]Session, error)
	// Trace returns a live session's hops with their flows; CodeNotFound when
	// no session of the pair lives.
	Trace(ctx context.Context, q Pair) (Trace, error)
	// Why returns what the active revision says of a pair, with a session or not.
	Why(ctx context.Context, q Pair) (Why, error)
	Endpoints(ctx context.Context) ([]Endpoint, error)
	Hosts(ctx context.Context) ([]Host, error)
	// Revisions returns what was in force and what was refused, the newest first.
	Revisions(ctx context.Context) ([]Revision, error)

	// Receipts returns what was cut lately, the newest first; KillSession ends a
	// session by its cookie, with CodeNotFound for one that does not live.
	Receipts(ctx context.Context) ([]Receipt, error)
	KillSession(ctx context.Context, id uint64) (Receipt, error)

	// CreateJoinToken makes a token; only this answer has its secret.
	CreateJoinToken(ctx context.Context, q JoinTokenRequest) (JoinToken, error)
	JoinTokens(ctx context.Context) ([]JoinToken, error)
	// DeleteJoinToken and RevokeHost fail with CodeNotFound for what there isn't.
	DeleteJoinToken(ctx context.Context, id string) error
	RevokeHost(ctx context.Context, name string) error
}

// JoinTokenRequest says what a join token is for. Zero fields have defaults: any
// host, any tenant that lets it, an hour, one use.
type JoinTokenRequest struct {
	Hosts      []string `json:"hosts,omitempty"`   // globs of host names
	Tenants    []string `json:"tenants,omitempty"` // whose endpoints the host may have at most
	TTLSeconds float64  `json:"ttlSeconds,omitempty"`
	Uses       int      `json:"uses,omitempty"`
}

// JoinToken lets hosts join.
type JoinToken struct {
	ID      string    `json:"id"`
	Hosts   []string  `json:"hosts"`
	Tenants []string  `json:"tenants"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left

	// Only in the answer to its creation:
	Token       string   `json:"token,omitempty"`       // ID.SECRET
	CAHash      string   `json:"caHash,omitempty"`      // by which a host knows the cluster
	Controllers []string `json:"controllers,omitempty"` // HOST:PORT where it joins
}

// JoinTokenList is the body of GET /v1/join-tokens.
type JoinTokenList struct {
	JoinTokens []JoinToken `json:"joinTokens"`
}

// Pair asks about one (source, destination, protocol, destination port).
type Pair struct {
	From  string `json:"from"` // endpoint: NAME if unambiguous, TENANT/VPC/NAME or TENANT/VPC/IP; of Why also an address
	To    string `json:"to"`   // likewise
	Proto string `json:"proto"`
	Port  int    `json:"port"` // 1-65535; the type for icmp

	// Revision is what Why asks, by the beginning of its id or commit; "": the active one.
	Revision string `json:"revision,omitempty"`
}

// SessionFilter selects sessions; the zero value selects all.
type SessionFilter struct {
	VPC      string // TENANT/VPC of either end
	Endpoint string // either end, written as in Pair
	Host     string // name of any hop's host
	Proto    string
	Port     int // destination port, 0 = any
	Limit    int // 0 = no limit
}

// Status is the controller at a glance. Counters count since Started.
type Status struct {
	Version       string         `json:"version"`
	Started       time.Time      `json:"started"`
	UptimeSeconds float64        `json:"uptimeSeconds"`
	Revision      RevisionStatus `json:"revision"`
	Hosts         HostCount      `json:"hosts"`
	Endpoints     int            `json:"endpoints"`
	Sessions      int            `json:"sessions"`
	PacketIns     PacketIns      `json:"packetIns"`
	Decisions     Decisions      `json:"decisions"`
	Drift         Drift          `json:"drift"`
	DecisionLog   *DecisionLog   `json:"decisionLog,omitempty"` // absent: none is written
}

// DecisionLog is what becomes of the log of decisions.
type DecisionLog struct {
	LeftOut uint64 `json:"leftOut"` // decisions that it lacks since the start
}

// RevisionStatus is the active revision and the newer one that was refused.
type RevisionStatus struct {
	ID     string    `json:"id"`               // commit or content hash; empty: none yet, everything is denied
	Commit *Commit   `json:"commit,omitempty"` // absent: it was read of directories
	Since  time.Time `json:"since"`
	Files  int       `json:"files"`
	// Warnings are what is odd about it, each "FILE:LINE: warning: TEXT"; the last
	// says how many more there are, if there are too many.
	Warnings []string `json:"warnings,omitempty"`
	// Tenants says which tenants' Rego is not used, and why, each "FILE:LINE: TEXT".
	Tenants []string `json:"tenants,omitempty"`
	// Refused is set while what is on disk is not what is active.
	Refused *RefusedRevision `json:"refused,omitempty"`
}

// RefusedRevision is a newer state of the files that could not become active.
type RefusedRevision struct {
	ID       string    `json:"id,omitempty"` // absent: it could not be read
	Commit   *Commit   `json:"commit,omitempty"`
	At       time.Time `json:"at"`
	Problems []string  `json:"problems"` // each "FILE:LINE: what is wrong"
}

// Commit says who made a revision, when, and what they say of it.
type Commit struct {
	Hash    string    `json:"hash"`
	Author  string    `json:"author"`
	Email   string    `json:"email"`
	When    time.Time `json:"when"`
	Subject string    `json:"subject"`
	Signer  string    `json:"signer,omitempty"` // whose signature was verified
}

// RevisionState says what became of a revision.
type RevisionState string

// States of a revision.
const (
	RevisionActive  RevisionState = "active"
	RevisionPast    RevisionState = "past"    // it was active
	RevisionRefused RevisionState = "refused" // it never was
)

// Revision is one of the history.
type Revision struct {
	ID       string        `json:"id"`
	Commit   *Commit       `json:"commit,omitempty"`
	At       time.Time     `json:"at"` // when it became active, or was refused
	State    RevisionState `json:"state"`
	Problems []string      `json:"problems,omitempty"` // why it was refused, each "FILE:LINE: what is wrong"
}

// Begins reports whether name begins the revision's id, its digest or its commit.
func (r *Revision) Begins(name string) bool {
	return strings.HasPrefix(r.ID, name) || strings.HasPrefix(r.ID, "sha256:"+name) || r.Commit != nil && strings.HasPrefix(r.Commit.Hash, name)
}

// RevisionList is the answer to /v1/revisions.
type RevisionList struct {
	Revisions []Revision `json:"revisions"`
}

// HostCount counts hosts by whether their switch is connected.
type HostCount struct {
	Connected int `json:"connected"`
	Total     int `json:"total"`
}

// PacketIns counts the packets that switches lifted.
type PacketIns struct {
	Total         uint64            `json:"total"`
	FromEndpoints uint64            `json:"fromEndpoints"`
	FromWire      uint64            `json:"fromWire"`
	Outcomes      map[string]uint64 `json:"outcomes"`   // allow, drop, reject, duplicate, ... : number
	QueueDrops    uint64            `json:"queueDrops"` // never looked at: the queue was full
}

// Drift counts flows that switches lacked or held though nobody told them so, by
// kind (missing, altered, stray); each was mended.
type Drift map[string]uint64

// Decisions counts decisions by reason, and how many the cache answered.
type Decisions struct {
	Reasons     map[string]uint64 `json:"reasons"`
	CacheHits   uint64            `json:"cacheHits"`
	CacheMisses uint64            `json:"cacheMisses"`
}

// HitRatio is the share of decisions that the cache answered, 0 to 1.
func (d Decisions) HitRatio() float64 {
	if d.CacheHits+d.CacheMisses == 0 {
		return 0
	}
	return float64(d.CacheHits) / float64(d.CacheHits+d.CacheMisses)
}

// Decision is a verdict and where it comes from.
type Decision struct {
	Verdict  string `json:"verdict"` // allow, drop or reject
	Reason   string `json:"reason"`
	Rule     string `json:"rule,omitempty"` // TENANT/VPC/OBJECT/SECTION/INDEX, or ""
	At       string `json:"at,omitempty"`   // FILE:LINE
	Revision string `json:"revision"`
}

// Allowed reports whether the verdict is allow.
func (d Decision) Allowed() bool { return d.Verdict == "allow" }

// Counters counts what passed in one direction.
type Counters struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// End is one end of a session.
type End struct {
	Name string `json:"name"` // TENANT/VPC/NAME
	IP   string `json:"ip"`
	Host string `json:"host"`
}

// Session is one live session.
type Session struct {
	ID          string    `json:"id"` // its cookie, as on every flow of it: 0x...
	From        End       `json:"from"`
	To          End       `json:"to"`
	Proto       string    `json:"proto"`
	Port        int       `json:"port"`      // at the destination; the type for icmp
	Hosts       []string  `json:"hosts"`     // its hops, source first
	WirePorts   []int     `json:"wirePorts"` // one a leg between hosts; two when low source ports showed up
	Decision    Decision  `json:"decision"`
	Opened      time.Time `json:"opened"`
	Adopted     bool      `json:"adopted"` // found in the switches: an earlier controller opened it
	IdleSeconds float64   `json:"idleSeconds"`
	Forward     Counters  `json:"forward"`
	Reply       Counters  `json:"reply"`
}

// Trace is a live session from end to end.
type Trace struct {
	Session Session `json:"session"`
	Legs    []Leg   `json:"legs"` // one more than Hops
	Hops    []Hop   `json:"hops"` // source first
}

// Leg is a stretch of the path and what forward packets wear on it.
type Leg struct {
	From        string `json:"from"`        // endpoint or host
	To          string `json:"to"`          // endpoint or host
	Source      string `json:"source"`      // ADDRESS:PORTS, as 10.1.0.5:32768-65535
	Destination string `json:"destination"` // ADDRESS:PORT
}

// Hop is one switch of a path.
type Hop struct {
	Host  string `json:"host"`
	DPID  string `json:"dpid"`
	Flows []Flow `json:"flows"`
}

// Flow is one flow on a switch.
type Flow struct {
	Direction string `json:"direction"` // forward or reply
	Text      string `json:"text"`      // ovs-ofctl syntax
	Counters
}

// Why explains a decision.
type Why struct {
	From     End      `json:"from"`
	To       End      `json:"to"`
	Proto    string   `json:"proto"`
	Port     int      `json:"port"`
	Decision Decision `json:"decision"`
	Lines    []string `json:"lines"`             // the explanation, a sentence each
	Commit   *Commit  `json:"commit,omitempty"`  // of the revision that decided, where it was read of git
	Session  *Session `json:"session,omitempty"` // the live one, if any
}

// Endpoint is one container interface as seen now.
type Endpoint struct {
	Name     string            `json:"name"` // bare
	Tenant   string            `json:"tenant"`
	VPC      string            `json:"vpc"` // bare
	Subnet   string            `json:"subnet"`
	IP       string            `json:"ip"`
	MAC      string            `json:"mac"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`              // ofport on its host's bridge
	Groups   []string          `json:"groups"`            // it is a member of
	Ignored  []string          `json:"ignored,omitempty"` // claims that grant nothing
	Labels   map[string]string `json:"labels,omitempty"`
	Sessions int               `json:"sessions"` // with it at either end
}

// Host is one server as seen now.
type Host struct {
	Name       string `json:"name"`
	DPID       string `json:"dpid"`
	Address    string `json:"address"` // underlay, A.B.C.D/LEN
	MAC        string `json:"mac"`     // of the uplink
	NextHop    string `json:"nextHop"`
	NextHopMAC string `json:"nextHopMAC"` // empty: not known yet
	MTU        int    `json:"mtu"`
	Connected  bool   `json:"connected"` // its switch, over OpenFlow
	Reporting  bool   `json:"reporting"` // its hostd, over its stream
	Endpoints  int    `json:"endpoints"`
	Sessions   int    `json:"sessions"`
	Flows      int    `json:"flows"` // of sessions, on its switch

	Joined          time.Time  `json:"joined,omitzero"`
	CertificateEnds time.Time  `json:"certificateEnds,omitzero"` // of its last one
	Tenants         []string   `json:"tenants,omitempty"`        // whose endpoints it may have at most; none: all that let it
	Revoked         *time.Time `json:"revoked,omitempty"`
}

// HostList is the body of /v1/hosts.
type HostList struct {
	Hosts []Host `json:"hosts"`
}

// EndpointList is the body of /v1/endpoints.
type EndpointList struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// SessionList is the body of /v1/sessions.
type SessionList struct {
	Sessions  []Session `json:"sessions"`
	Truncated bool      `json:"truncated"` // there are more than the limit
}

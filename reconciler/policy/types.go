package policy

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Verdict says what happens to a packet that wants to open a session.
type Verdict uint8

// Verdicts. The zero Verdict is Drop: what nobody decided is denied.
const (
	Drop Verdict = iota
	Reject
	Allow
)

// String returns allow, drop or reject.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Reject:
		return "reject"
	}
	return "drop"
}

// Reason says why, in SPEC's words; log, metric label and tests use it.
type Reason string

// Reasons of a deny, strongest first, and of an allow.
const (
	ReasonSpoofed         Reason = "spoofed"
	ReasonUnknownEndpoint Reason = "unknown-endpoint"
	ReasonIsolation       Reason = "isolation"
	ReasonAddressReserved Reason = "address-reserved"
	ReasonNoEndpoint      Reason = "no-endpoint"
	ReasonNoIngress       Reason = "no-ingress"
	ReasonOperatorPolicy  Reason = "operator-policy"
	ReasonLinkDeny        Reason = "link-deny"
	ReasonRuleDeny        Reason = "rule-deny"
	ReasonTenantPolicy    Reason = "tenant-policy"
	ReasonPolicyError     Reason = "policy-error"
	ReasonPolicyTimeout   Reason = "policy-timeout"
	ReasonNoEgress        Reason = "no-egress"
	ReasonIngressDefault  Reason = "ingress-default"
	ReasonEgressDefault   Reason = "egress-default"
	ReasonProtocol        Reason = "protocol"
	ReasonQuota           Reason = "quota"
	ReasonScan            Reason = "scan"   // too many new sessions at once to one server
	ReasonKilled          Reason = "killed" // of a connection that somebody ended
	ReasonWirePorts       Reason = "wire-ports-exhausted"
	ReasonUnsupported     Reason = "unsupported"
	ReasonLink            Reason = "link"
	ReasonRule            Reason = "rule"
	ReasonDefault         Reason = "default"
	ReasonOpen            Reason = "open"
)

// Decision is the answer to a Query, complete enough to explain itself.
type Decision struct {
	Verdict  Verdict
	Reason   Reason
	Rule     string    // rule's id, or "" where no rule decided
	At       spec.Pos  // where it is written
	Log      bool      // the rule asks for a log record
	Revision string    // that decided
	Until    time.Time // earliest time at which the decision could change; zero: never
}

// Ended reports whether the time has come at which the decision could change.
func (d *Decision) Ended(now time.Time) bool { return !d.Until.IsZero() && !now.Before(d.Until) }

// Query asks whether Src may open a session to Dst.
type Query struct {
	Src, Dst *inventory.Identity
	Proto    packet.Proto
	Port     uint16 // destination port; for ICMP the type
}

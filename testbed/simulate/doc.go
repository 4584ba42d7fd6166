// Package simulate runs the whole of DaoliNet but its sockets in one process
// under virtual time: the controller's engine, hostd's endpoint machines, base
// flows, simnet's switches, containers that talk, and the messages between all of
// them. Every choice comes from one seed: what is delayed and how long, what is
// lost with its connection, which part is killed, who attaches, moves and sends,
// which revision is loaded. The same seed makes the same run, so a failure is
// repeated by its seed.
//
// After each step the invariants of Rule are checked against the organisation
// as plain Go reads it, and against a tag that each packet carries and that says
// who really sent it.
//
//	containers ─► simnet switch ─► underlay ─► simnet switch ─► containers
//	                 ▲   │ PacketIn, barrier, flow stats
//	        batches  │   ▼           one FIFO connection each,
//	              engine.Step        with faults
//	                 ▲   │ acks, leases
//	         reports │   ▼
//	           endpoint.Machine
//
// A message is reordered with those of other connections, never with those of
// its own; it is lost only when its connection ends, and of what was under way
// then a part may still arrive.
package simulate

// Rule names an invariant.
type Rule string

// Rules.
const (
	// RuleDelivery: a packet reaches an endpoint only as its sender wrote it, if
	// addresses give it to that endpoint, and if the organisation allows it, or
	// did until the receiver's switch had all that the controller told it since.
	RuleDelivery Rule = "delivery"
	// RuleHost: a packet of an endpoint never reaches a host's own stack.
	RuleHost Rule = "host"
	// RuleSession: each live session is allowed by the revision in force.
	RuleSession Rule = "session"
	// RuleLabel: a wire port or ICMP tag between two hosts stands for one pair of
	// endpoints and port, in all the flows that are in switches.
	RuleLabel Rule = "label"
	// RuleFlows: a switch that has all that it was told holds no flow without an
	// owner, and each flow of each live session.
	RuleFlows Rule = "flows"
	// RuleAck: an acknowledged report's flows are in the switch.
	RuleAck Rule = "ack"
	// RuleSwitch: a switch refuses nothing, and no packet is taken by two flows.
	RuleSwitch Rule = "switch"
	// RuleRest: when nothing is under way, what is allowed works, what is denied
	// does not, tables are those of a clean start and live sessions, and nothing
	// is remembered of what is over.
	RuleRest Rule = "rest"
	// RulePanic: no part panics.
	RulePanic Rule = "panic"
)

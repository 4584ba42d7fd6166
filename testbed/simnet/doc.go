// Package simnet is a network in memory: switches that interpret openflow
// values as Open vSwitch does, hosts with endpoints and a stack of their own,
// and a router between them. A test sends a packet and asserts where it comes
// out and with which headers, without root and in microseconds.
//
// Everything is deterministic: no goroutines, and time is what the caller says
// it is. What a Switch must share with Open vSwitch is checked against the real
// one by the tests with the build tag e2e.
//
//	        endpoints             endpoints
//	         16  17                16  17
//	       ┌──┴───┴──┐           ┌──┴───┴──┐
//	stack ─┤ switch  ├─1      1─┤ switch  ├─ stack     the stack is the host's own,
//	 LOCAL └─────────┘ │      │ └─────────┘ LOCAL      behind the port LOCAL
//	         host h1   └router┘   host h2
//	                      │
//	                outside stacks
package simnet

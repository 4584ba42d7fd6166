// Package soak lives with a testbed for a while: containers come, go and move,
// the specs are edited, well and badly, there is traffic, and programs are killed,
// all of it at random from one seed. Between such spells it lets the testbed
// settle and looks: the endpoints are those that it attached, what `matrix` says
// of the specs is what packets meet, no switch drifts any more, and nothing that
// a spell made is left of it, be it flows, meters, ports, devices, leases,
// namespaces, files or memory.
//
// What happens follows from the seed, as far as the machine's own timing lets it.
package soak

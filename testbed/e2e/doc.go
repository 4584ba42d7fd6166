// Package e2e holds the end-to-end tests: the real controller, the real
// daoli-hostd and real Open vSwitch on the topology of package netns, and real
// packets. Run them as root with
//
//	go test -tags e2e ./testbed/e2e
//
// Nothing here waits for time to pass to conclude that a packet did not come.
// A test that expects silence sends an honest packet behind the suspect on the
// same path, waits for that one, and looks what came before.
//
// # Hazards
//
// Each hazard is one test that runs twice: guarded, that is as built, where it
// must not see the hazard, and unguarded, where it must. So a test that could not
// see anything cannot pass. The product has no knob for that: guards are taken out
// by changing flows in the switch, by the configuration, or by keeping a program
// from running, and in less time than the controller and hostd need to mend it. Of
// Docker, what is told to it is changed on the way, or daoli-hostd is built anew
// without the guard.
//
// The hazards in the words of their tests, and below each what guards against it,
// and what is done instead in its unguarded run. TestDocNamesEveryHazard compares
// this list with the tests.
//
// TestHazards:
//
//   - an expired NAT-in flow lets the host's stack answer:
//     what no session takes of the wire range is lifted / it is the host's.
//   - two containers with the same source port to the same destination port:
//     each session has a wire port / the second writes the first one's.
//   - a source port below 32768:
//     low ports have a wire port of their own / they take the other one.
//   - overlapping addresses in two VPCs on one host:
//     a session's flows ask the container's port / they ask its address alone.
//   - a container that spoofs IP, a container that spoofs MAC, a container that
//     spoofs ARP, a container that tags its frames:
//     its port takes its own addresses alone / it takes everything.
//   - a wire packet forged by a container:
//     the same / the host sends it on.
//   - a wire packet forged by a container of the receiving host:
//     the wire's flows ask the uplink / they take it from any port.
//   - a container talking to its host's address, a container talking to another host's
//     address, a container talking to the controllers, a container talking to
//     169.254.x.x, a container talking to broadcast and multicast:
//     what no session takes ends in the switch or at the controller, which denies
//     it / the switch hands it to the host, routes or floods it.
//   - B opening towards A through a reply flow:
//     a reply's flows take nothing that opens / they take it.
//   - both ends opening from the same port:
//     the same, so each is a session of its own / the second one is a reply.
//   - a revision that arrives half written:
//     a file is read when it rests / its half rests. That one which is no right
//     YAML changes nothing is TestBadEditKeepsTheLastGoodRevisionAndSaysWhere.
//   - a container restarted with another address while sessions live:
//     its sessions' flows go with it, its port's number is nobody's, its address rests / they
//     stay, and it gets that number.
//   - a decision that arrives after its revision:
//     it is asked for again / its flows are installed. TestStaleDecisionIsAskedForAgain
//     of package session makes the very order of events.
//   - server's push on a connection whose flows are gone:
//     it is lifted, and the session's flows come back / it is dropped.
//   - a host process sending to a live wire port:
//     flows of the session keep the host's processes off / they go on.
//   - a SYN from a client port in the wire range to a host service, UDP listeners in
//     the wire range:
//     each listener of the host has flows / they drop.
//
// TestUnderlayHazards:
//
//   - a server's push to the host itself after its switch started anew:
//     hostd makes flows of the host's connections / they are taken out.
//   - ICMP errors through NAT (path MTU):
//     errors of routers are lifted and translated / they are dropped.
//   - a wire reply without flow reaches a listener of the host:
//     what looks like a wire reply is lifted / it is the listener's.
//   - a host's own connection to a server on a port inside the wire range:
//     the switch learns from what it sends / it doesn't.
//   - a host service listening in the wire range:
//     its listeners have flows / they drop.
//
// Tests of their own:
//
//   - 64k-port scan, and every other flood: TestScanOf64kPortsHarmsNobodyElse,
//     TestFloodOfOneContainerHarmsNobodyElse,
//     TestScanOfTheWireRangeFromOutsideCostsTheControllerNothing:
//     meters / they are taken out of the flows.
//   - an interface of Docker's own beside the switch's: TestDockerHasNoWayAroundTheSwitch:
//     Docker is given a gateway, and told to add none / neither.
//   - a container that speaks before its policy is there: TestDockerFirstPacketWaitsForItsFlows:
//     Join waits for the controller / it doesn't.
//   - hostd, vswitchd, ovsdb-server, controller killed with -9 in every order:
//     TestKill, TestNoLiveWirePortIsGivenAgain, TestAForbiddingEditCutsWhatWasAdopted:
//     each program reads what the others still hold / TestKillSeesWhatDoesNotComeBack:
//     there is no controller that would; nothing is left in the switches to read.
//
// Clock jumps can't be made here: all programs of a machine share its clock. They
// are made where `now` is an argument, TestClockJumpsEndNothing of package engine.
package e2e

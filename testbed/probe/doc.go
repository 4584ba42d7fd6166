// Package probe measures which machines of a testbed reach which, by packets
// and nothing else: it enters their network namespaces, sends, and looks what
// arrives. It never speaks to the controller or to a host's programs, so what
// it measures can judge what they say.
//
// Every ordered pair of two different names of an endpoints file (SPEC 4) is
// asked on each of its ports, outside to outside excepted, with a verdict each:
//
//	allow   the target itself saw the probe's nonce, and its answer, which
//	        carries the nonce and the target's name, came back
//	reject  the sender was told: a TCP RST, or ICMP administratively
//	        prohibited (type 3, code 9, 10 or 13) that quotes the probe
//	drop    silence, after several tries from different source ports
//
// Listeners stand on all probed ports of all machines, so a RST is the
// network's word and not that of an empty port. A ping is answered by the
// target's kernel, which has no name to give: there the target's raw socket
// must have seen the nonce too. TCP's first packet has no room for a nonce: that
// it arrived is known by its ports.
//
// Two VPCs without a Peering in force can't address each other: what A sends to
// B's address means somebody else in A's own VPC, or the outside. Whatever
// answer A gets is not B's. Such a pair is allow if B saw the nonce (the SYN),
// which means that isolation is broken, else drop. So is a pair with an outside
// name whose address lies in a subnet of the endpoint's VPC or of one peered
// with it.
//
// What can't be probed is left out, and said: sctp, and icmp other than echo.
//
// There is no way out of a VPC and none in yet (NAT-out, Ingress), so outside
// pairs that policy allows measure as drop; Tolerate says so to a comparison.
// From outside, the packets are for the endpoint's own address: the testbed's
// underlay takes them to its host, who must not let them in.
package probe

// Package scenario runs scripts of what happens in a cluster, and writes down
// what came of it. A script is a txtar archive:
//
//	-- specs/tenants/acme/prod.yaml --      the first revision: YAML, and policies/ for Rego
//	...
//	-- steps --                             one step a line, or several with ; between them; # starts a comment
//	host h1 172.31.1.1/24; host h2 172.31.2.1/24
//	endpoint web1 h1 acme/prod/web; endpoint db1 h2 acme/prod/db
//	packet web1 > db1 tcp 40000 > 5432 syn
//	edit specs/tenants/acme/prod.yaml
//	-- specs/tenants/acme/prod.yaml --      what the first edit of the file makes of it
//	...
//	-- want --                              the transcript; go test -update rewrites it
//
// The same script runs on a Network of either kind: Sim, in memory, with the
// controller's engine and without its sockets, or namespaces with real Open
// vSwitch and the real programs. Lines of the transcript that both can tell must
// be the same, see Shared.
//
// # Steps
//
//	host NAME ADDR/LEN
//	endpoint NAME HOST TENANT/VPC/SUBNET [IP] [group=A,B] [label=K=V]...
//	outside NAME IP                          a machine behind the router
//	listen NAME tcp|udp PORT                 endpoint, host or outside machine
//	packet FROM > TO tcp|udp SPORT > DPORT [syn|ack|fin|rst|psh|syn-ack|...] [OPTION]...
//	packet FROM > TO proto N [OPTION]...
//	error FROM > TO TYPE/CODE about tcp|udp IP:PORT > IP:PORT [mtu=N] [cut]   an ICMP error
//	ping FROM > TO [OPTION]...
//	arp FROM > IP [spa=IP] [sha=MAC] [smac=MAC] [vlan=N] [reply]
//	connect FROM > TO PORT [from=SPORT] [keep]   TCP, by a real stack; keep: it stays open
//	mtu HOST BYTES                           of the way from the router to a host
//	edit FILE; remove FILE                   a new revision
//	tick DURATION
//	detach NAME; move NAME HOST
//	restart HOST                             its vswitchd: all flows go, then the host mends its own
//	expect delivered NAME | only NAME | rst | icmp | nothing | connected | refused | unreachable | no-answer
//
// FROM and TO are names, TO an address also. OPTIONs of a frame: ttl=N vlan=N
// src=IP smac=MAC data=TEXT size=N (of the payload) code=N (ping).
package scenario

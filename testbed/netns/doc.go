// Package netns builds DaoliNet's whole topology on one machine from network
// namespaces, with Open vSwitch's userspace datapath and the real programs:
//
//	       internet 203.0.113.0/24      controller 172.31.250.1/24
//	                .9 |                       |
//	                   |.254                   |.254
//	              +----+-----------------------+----+
//	              |        underlay router          |
//	              +--+--------------+------------+--+
//	            .254 |         .254 |       .254 |
//	h1 172.31.1.1/24 |  h2 172.31.2.1/24         h3 172.31.3.1/24
//	+----------------+--+
//	| eth0 - br-daoli   |   each host: a namespace with its own
//	|        |    |     |   ovsdb-server, ovs-vswitchd, daoli-hostd
//	+--------+----+-----+
//	       web1  db1        each container: a namespace
//
// With Options.Docker a host has a dockerd too, in its namespace and with a /run,
// a host name and a memory of its own, and its containers are the demo's and the
// tests' busyboxes.
//
// AddOutside adds machines to the internet, each on a cable of its own.
//
// A run has an id, dl and five characters. Its namespaces are named ID-h1,
// ID-web1 and so on, its files are in one directory $TMPDIR/ID, and no device
// of it is ever in the machine's own namespace, so any number of runs live side
// by side.
//
// Nothing outlives a run. Close removes it all. When its owner is killed
// instead, the next Up (or Sweep) does: the owner holds a lock on the run
// directory for as long as it lives, so a directory that nobody locks is a dead
// run's. Its processes are known by their pid files, which hold pid and start
// time, by the run's mark in their environment, and, those in containers, by the
// run's control groups, so no other process is ever touched.
package netns

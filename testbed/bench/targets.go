package bench

// Lines returns all lines of the report with their targets, in its order.
func Lines() []Line {
	return []Line{
		{"first-packet-200-p50", "first packet of a session, cross host, 200 new sessions/s: median", atMost(1.5, Milliseconds)},
		{"first-packet-200-p99", "the same: 99th percentile", atMost(6, Milliseconds)},
		{"first-packet-200-lost", "the same: lost", atMost(0, Lost)},
		{"first-packet-500-p50", "first packet of a session, cross host, 500 new sessions/s: median", atMost(1.5, Milliseconds)},
		{"first-packet-500-p99", "the same: 99th percentile", atMost(6, Milliseconds)},
		{"first-packet-500-lost", "the same: lost", atMost(0, Lost)},
		{"sessions-one-switch", "new sessions/s through one vswitchd, of a null controller's", atLeast(0.80, Ratio)},
		{"connect-cross-host", "further TCP connections/s of a known service, two hosts, of two static flows a switch", atLeast(0.93, Ratio)},
		{"connect-one-host", "the same on one host, of plain L2", atLeast(0.93, Ratio)},
		{"engine-cached", "admission core, PacketIn bytes to FlowMod bytes, decision cached, one core", atLeast(400_000, PerSecond)},
		{"engine-allocated", "the same: allocations a session", Target{}},
		{"decide-uncached", "uncached decisions/s, of OPA's own evaluation alone", atLeast(0.80, Ratio)},
		{"codec-flowmod", "FlowMods encoded/s, of libOpenflow's", atLeast(10, Ratio)},
		{"sockets-answers", "controller, 16 fake switches, answers/s, of ovs-testcontroller's", atLeast(1, Ratio)},
		{"sockets-cpu", "the same: CPU an answer, of ovs-testcontroller's", atMost(1, Ratio)},
		{"revision-cold", "revision of 1,000 tenants and 100,000 rules, from nothing: CPU", atMost(3, Seconds)},
		{"revision-edit", "the same after an edit of one tenant: CPU", atMost(50, Milliseconds)},
		{"rejudge", "10,000 live sessions judged again under a new revision: CPU", atMost(0.5, Seconds)},
		{"adopt", "10,000 sessions adopted from three switches by a new engine: CPU", atMost(1, Seconds)},
		{"cut-p99", "edit seen to last of 1,000 sessions cut, 10,000 live, 16 fake switches: 99th percentile", atMost(1, Seconds)},
		{"revoke-p99", "edit seen to last barrier of 1,000 sessions cut, 10,000 live, 4 fake switches, by the receipts: 99th percentile", atMost(1, Seconds)},
		{"revoke-cpu", "the same: CPU of the controller an edit", Target{}},
		{"revoke-memory", "the same: memory of the controller", Target{}},
		{"restart", "controller killed with 10,000 sessions in 16 fake switches: from its next start until all live again", atMost(1, Seconds)},
		{"flood-first-packet-p99", "first packets beside a container that floods (2,000/s, of six kinds the worst), of those without: 99th percentile", atMost(2, Ratio)},
		{"flood-first-packet-lost", "the same: lost", atMost(0, Lost)},
		{"scale-endpoint-memory", "memory of the engine an endpoint, 2,000 on one host", atMost(4, Kilobytes)},
		{"scale-session-memory", "memory of the engine a session between hosts", atMost(4, Kilobytes)},
		{"scale-first-packet-p50", "first packets with 2,000 endpoints on the host and 10,000 live sessions, of those with few and none: median", atMost(1.25, Ratio)},
		{"scale-first-packet-p99", "the same: 99th percentile", atMost(1.5, Ratio)},
		{"scale-first-packet-lost", "the same: lost", atMost(0, Lost)},
		{"scale-controller", "the same: memory of the controller", atMost(150, Megabytes)},
		{"scale-delta", "an endpoint comes or goes on a host of 2,000, 10,000 sessions live: CPU", atMost(20, Milliseconds)},
		{"scale-audit", "the same host's switch, 40,000 flows, counted and audited once: CPU", atMost(50, Milliseconds)},
		{"docker-run", "docker run in a network of ours until another host reaches it, of 1.2 x --network none + 300 ms", atMost(1, Ratio)},
		{"idle-controller", "memory of an idle controller", atMost(150, Megabytes)},
		{"idle-hostd", "memory of an idle daoli-hostd", atMost(40, Megabytes)},
		{"idle-cpu", "CPU of an idle controller and the daoli-hostd of two hosts together", atMost(1, Percent)},
	}
}

func atLeast(n float64, u Unit) Target { return Target{AtLeast, Quantity{n, u}} }
func atMost(n float64, u Unit) Target  { return Target{AtMost, Quantity{n, u}} }

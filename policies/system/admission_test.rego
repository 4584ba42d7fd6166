package daoli.admission_test

import data.daoli.admission
import data.daoli.fixture

# An endpoint, and the keys of the peers that select it.
_endpoint(vpc, subnet, groups, peers) := {
	"tenant": split(vpc, "/")[0],
	"vpc": vpc,
	"subnet": subnet,
	"groups": groups,
	"labels": {},
	"keys": [],
	"peers": peers,
}

# An endpoint with keys of its own: what Links and Ingresses call it.
_called(endpoint, keys) := object.union(endpoint, {"keys": keys})

_outside(peers) := {"outside": true, "groups": [], "keys": [], "peers": peers}

_web := _endpoint("acme/prod", "web", [], ["group:acme/prod/web"])

_db := _endpoint("acme/prod", "db", ["db"], ["group:acme/prod/db"])

_quiet := _endpoint("acme/prod", "web", ["quiet"], [])

_open := _endpoint("acme/open", "a", [], [])

_shut := _endpoint("acme/shut", "a", [], [])

_globex := _endpoint("globex/prod", "a", [], [])

_api := _endpoint("globex/prod", "a", [], ["group:globex/prod/api"])

_batch := _endpoint("acme/prod", "web", [], [`labels:acme/prod/"role"="batch"`])

_eight := _outside(["cidr:8.0.0.0/8!8.8.8.0/24"])

_elsewhere := _outside([])

_nine := _outside(["any", "cidr:9.0.0.0/8"])

_anybody := _outside(["any"])

_web1 := _called(_web, ["endpoint:acme/prod/web1"])

_web2 := _called(_web, ["endpoint:acme/prod/web2"])

_sealed := _called(_endpoint("acme/prod", "web", ["sealed"], []), ["group:acme/prod/sealed"])

# The pairs of these ports and peers that stand in rules of one kind.
_pairs(end, side, kind, ports, peers) := {port: found |
	some port in ports
	found := [peer |
		some peer in peers
		some sections in object.get(fixture.index.vpcs, [object.get(end, "vpc", ""), "groups"], {})
		sections[side][kind][port][peer]
	]
	found != []
}

# No operator's or tenant's Rego has anything to say.
_no_hooks := {"operator": [], "deny": [], "failed": []}

# The exceptions that Links with these ranks and the rest of the rules make.
_exceptions([], ingress, egress) := {} if {
	ingress == {}
	egress == {}
}

else := {"links": [], "ingress": ingress, "egress": egress, "hooks": _no_hooks}

_exceptions(links, ingress, egress) := {"links": links, "ingress": ingress, "egress": egress, "hooks": _no_hooks} if links != []

# The decision for ports (the keys of those that hold the port) at the time now,
# with Links of these ranks between src and dst.
_linked_at(now, links, src, dst, ports) := decision if {
	query := {
		"src": object.remove(src, ["peers"]),
		"dst": object.remove(dst, ["peers"]),
		"proto": "tcp",
		"port": 1,
		"exceptions": _exceptions(
			links,
			_pairs(dst, "ingress", "rest", ports, src.peers),
			_pairs(src, "egress", "rest", ports, dst.peers),
		),
		"now": now,
	}
	allowing := {name: pairs |
		some name, pairs in {
			"ingress": _pairs(dst, "ingress", "allow", ports, src.peers),
			"egress": _pairs(src, "egress", "allow", ports, dst.peers),
			"entries": {port: src.peers | some port in ports},
		}
		pairs != {}
	}
	asked := object.union(query, allowing)
	decision := admission.decision with input as asked with data.daoli.index as fixture.index
}

_at(now, src, dst, ports) := _linked_at(now, [], src, dst, ports)

_linked(links, src, dst, ports) := _linked_at(0, links, src, dst, ports)

_decide(src, dst, ports) := _at(0, src, dst, ports)

_is(decision, verdict, reason, rule, at) if {
	decision.verdict == verdict
	decision.reason == reason
	decision.rule == rule
	decision.at == at
}

# 1. Isolation.
test_one_vpc_is_reachable if {
	_is(_decide(_open, _open, []), "allow", "default", "acme/open", "net.yaml:5")
}

test_two_vpcs_are_isolated if {
	_is(_decide(_open, _web, []), "drop", "isolation", "", "")
}

test_a_peering_joins_two_vpcs if {
	_is(_decide(_api, _db, ["tcp/80,tcp/8000-8999"]), "allow", "rule", "acme/prod/db/ingress/1", "net.yaml:14")
}

test_a_onesided_peering_is_named if {
	_is(_decide(_open, _globex, []), "drop", "isolation", "acme/ask", "net.yaml:36")
	_is(_decide(_globex, _open, []), "drop", "isolation", "acme/ask", "net.yaml:36")
}

test_a_vpc_that_is_gone_is_isolated if {
	gone := _endpoint("acme/gone", "a", [], [])
	_is(_decide(gone, gone, []), "drop", "isolation", "", "")
	_is(_decide(gone, _eight, []), "drop", "isolation", "", "")
}

# 2. Any deny wins.
test_a_rule_rejects if {
	_is(_decide(_batch, _db, ["any"]), "reject", "rule-deny", "acme/prod/db/ingress/2", "net.yaml:15")
}

test_drop_beats_reject if {
	_is(_decide(_batch, _db, ["any", "tcp/1"]), "drop", "rule-deny", "acme/prod/db/ingress/3", "net.yaml:16")
}

test_a_deny_beats_an_allow if {
	both := _endpoint("acme/prod", "web", [], ["group:acme/prod/web", `labels:acme/prod/"role"="batch"`])
	_is(_decide(both, _db, ["any", "tcp/5432"]), "reject", "rule-deny", "acme/prod/db/ingress/2", "net.yaml:15")
}

test_a_deny_for_others_does_not_matter if {
	_is(_decide(_web, _db, ["any", "tcp/5432"]), "allow", "rule", "acme/prod/db/ingress/0", "net.yaml:13")
}

test_a_link_disconnects if {
	_is(_linked([0], _web, _db, ["tcp/5432"]), "drop", "link-deny", "acme/prod/cut", "net.yaml:24")
	_is(_linked([0], _db, _web, []), "drop", "link-deny", "acme/prod/cut", "net.yaml:24")
}

test_a_link_that_disconnects_beats_one_that_connects if {
	_is(_linked([0, 1], _web, _sealed, []), "drop", "link-deny", "acme/prod/cut", "net.yaml:24")
}

# 3. A Link that connects.
test_a_link_opens_both_sides_of_its_tenant if {
	_is(_linked([1], _quiet, _sealed, []), "allow", "link", "acme/prod/tie", "net.yaml:25")
}

test_a_link_opens_the_sides_of_no_other_tenant if {
	_is(_linked([2], _sealed, _api, []), "allow", "link", "globex/prod/half", "net.yaml:26")
	_is(_linked([2], _api, _sealed, []), "drop", "ingress-default", "acme/prod/sealed", "net.yaml:23")
}

test_a_rule_that_denies_beats_a_link if {
	_is(_linked([1], _batch, _db, ["any"]), "reject", "rule-deny", "acme/prod/db/ingress/2", "net.yaml:15")
}

# 4. dst's side.
test_a_rule_opens_dst if {
	decision := _decide(_web, _db, ["tcp/5432"])
	_is(decision, "allow", "rule", "acme/prod/db/ingress/0", "net.yaml:13")
	decision.log == true
	decision.ends == []
}

test_another_port_does_not_open_dst if {
	_is(_decide(_web, _db, ["tcp/1"]), "reject", "ingress-default", "acme/prod/db", "net.yaml:12")
}

test_another_peer_does_not_open_dst if {
	_is(_decide(_quiet, _db, ["tcp/1"]), "reject", "ingress-default", "acme/prod/db", "net.yaml:12")
}

test_same_subnet_lets_a_subnet_through if {
	_is(_decide(_web, _web, []), "allow", "default", "acme/prod", "net.yaml:2")
}

test_same_subnet_lets_no_other_through if {
	_is(_decide(_db, _web, []), "reject", "ingress-default", "acme/prod", "net.yaml:2")
}

test_same_vpc_lets_a_vpc_through if {
	_is(_decide(_globex, _api, []), "allow", "default", "globex/prod", "net.yaml:10")
}

test_default_deny_lets_nobody_through if {
	_is(_decide(_shut, _shut, []), "reject", "ingress-default", "acme/shut", "net.yaml:8")
}

test_no_default_holds_across_a_peering if {
	_is(_decide(_web, _globex, []), "drop", "ingress-default", "globex/prod", "net.yaml:10")
}

test_an_empty_section_isolates if {
	sealed := _endpoint("acme/prod", "web", ["sealed"], [])
	_is(_decide(_web, sealed, []), "reject", "ingress-default", "acme/prod/sealed", "net.yaml:23")
}

# 4. src's side.
test_a_rule_opens_src if {
	both := _endpoint("acme/prod", "web", ["quiet"], ["group:acme/prod/web"])
	_is(_decide(both, _db, ["tcp/5432"]), "allow", "rule", "acme/prod/db/ingress/0", "net.yaml:13")
}

test_an_isolating_section_closes_src if {
	_is(_decide(_quiet, _web, []), "reject", "egress-default", "acme/prod/quiet", "net.yaml:19")
}

# Operator's and tenants' Rego.
_hooked(hooks, src, dst) := decision if {
	query := {
		"src": object.remove(src, ["peers"]),
		"dst": object.remove(dst, ["peers"]),
		"proto": "tcp",
		"port": 1,
		"exceptions": {"links": [], "ingress": {}, "egress": {}, "hooks": object.union(_no_hooks, hooks)},
		"now": 0,
	}
	decision := admission.decision with input as query with data.daoli.index as fixture.index
}

_hit(line) := {"rule": "tenants.acme.policy.x", "at": sprintf("p.rego:%d", [line]), "log": false}

test_a_tenants_rego_denies if {
	_is(_hooked({"deny": [_hit(1)]}, _web, _web), "drop", "tenant-policy", "tenants.acme.policy.x", "p.rego:1")
}

test_a_deny_of_rego_beats_an_allow_of_rego if {
	_is(_hooked({"deny": [_hit(1)], "allow_ingress": _hit(2)}, _db, _web), "drop", "tenant-policy", "tenants.acme.policy.x", "p.rego:1")
}

test_an_operators_deny_beats_all_that_tenants_say if {
	hooks := {"operator": [_hit(3)], "deny": [_hit(1)], "allow_ingress": _hit(2), "allow_egress": _hit(2)}
	_is(_hooked(hooks, _web, _web), "drop", "operator-policy", "tenants.acme.policy.x", "p.rego:3")
}

test_rego_that_failed_denies if {
	failed := object.union(_hit(4), {"reason": "policy-timeout"})
	_is(_hooked({"failed": [failed], "allow_ingress": _hit(2)}, _web, _web), "drop", "policy-timeout", "tenants.acme.policy.x", "p.rego:4")
}

test_a_tenants_rego_opens_dst if {
	_is(_hooked({"allow_ingress": _hit(2)}, _db, _web), "allow", "tenant-policy", "tenants.acme.policy.x", "p.rego:2")
}

test_a_tenants_rego_opens_src if {
	_is(_hooked({"allow_egress": _hit(2)}, _quiet, _web), "allow", "default", "acme/prod", "net.yaml:2")
}

test_a_tenants_rego_opens_nothing_over_isolation if {
	_hooked({"allow_ingress": _hit(2), "allow_egress": _hit(2)}, _shut, _web).reason == "isolation"
}

# Ends of rules.
test_a_rule_matches_until_its_end if {
	decision := _at(1780322399, _web, _db, ["udp/53"])
	_is(decision, "allow", "rule", "acme/prod/db/ingress/4", "net.yaml:17")
	decision.ends == [1780322400]
}

test_a_rule_that_ended_matches_nothing if {
	decision := _at(1780322400, _web, _db, ["udp/53"])
	_is(decision, "reject", "ingress-default", "acme/prod/db", "net.yaml:12")
	decision.ends == []
}

test_a_rule_opens_src_until_its_end if {
	waning := _endpoint("acme/prod", "web", ["waning"], ["group:acme/prod/web"])
	decision := _at(1780322399, waning, _db, ["tcp/5432"])
	_is(decision, "allow", "rule", "acme/prod/db/ingress/0", "net.yaml:13")
	decision.ends == [1780322400]
	_is(_at(1780322400, waning, _db, ["tcp/5432"]), "reject", "egress-default", "acme/prod/waning", "net.yaml:38")
}

# Outside.
test_a_rule_lets_out if {
	_is(_decide(_quiet, _eight, ["tcp/443"]), "allow", "rule", "acme/prod/quiet/egress/0", "net.yaml:20")
}

test_no_rule_lets_out if {
	_is(_decide(_quiet, _elsewhere, ["tcp/443"]), "reject", "egress-default", "acme/prod/quiet", "net.yaml:19")
}

test_egress_default_allow_lets_out if {
	_is(_decide(_open, _elsewhere, []), "allow", "default", "acme/open", "net.yaml:6")
}

test_egress_default_deny_lets_nobody_out if {
	_is(_decide(_web, _elsewhere, []), "reject", "egress-default", "acme/prod", "net.yaml:3")
}

test_without_egress_there_is_no_way_out if {
	_is(_decide(_shut, _elsewhere, []), "reject", "no-egress", "acme/shut", "net.yaml:7")
}

test_an_ingress_lets_in if {
	_is(_decide(_eight, _web1, ["tcp/8443"]), "allow", "open", "acme/prod/shop", "net.yaml:29")
	_is(_decide(_outside(["any", "cidr:8.0.0.0/8!8.8.8.0/24"]), _web1, ["tcp/8443"]), "allow", "open", "acme/prod/shop", "net.yaml:29")
	_is(_decide(_anybody, _web1, ["tcp/8443"]), "allow", "open", "acme/prod/twin", "net.yaml:31")
}

test_an_ingress_lets_in_from_its_sources_on_its_port_to_its_endpoint if {
	_is(_decide(_elsewhere, _web1, ["tcp/8443"]), "drop", "no-ingress", "", "")
	_is(_decide(_eight, _web1, ["tcp/80"]), "drop", "no-ingress", "", "")
	_is(_decide(_eight, _web2, ["tcp/8443"]), "drop", "no-ingress", "", "")
}

test_an_isolating_section_closes_an_ingress if {
	_is(_decide(_anybody, _sealed, ["tcp/80"]), "drop", "ingress-default", "acme/prod/sealed", "net.yaml:23")
}

test_a_rule_opens_behind_an_ingress if {
	guarded := _called(_endpoint("acme/prod", "web", ["guarded"], []), ["group:acme/prod/guarded"])
	_is(_decide(_nine, guarded, ["tcp/80"]), "allow", "rule", "acme/prod/guarded/ingress/0", "net.yaml:35")
	_is(_decide(_anybody, guarded, ["tcp/80"]), "drop", "ingress-default", "acme/prod/guarded", "net.yaml:34")
}

test_nothing_else_comes_in_from_outside if {
	_is(_decide(_eight, _open, ["any"]), "drop", "no-ingress", "", "")
}

# What is missing never allows.
test_an_empty_input_is_not_allowed if {
	not admission.decision.verdict == "allow" with input as {} with data.daoli.index as fixture.index
}

test_without_an_index_nothing_is_allowed if {
	query := {
		"src": _web,
		"dst": _web,
		"exceptions": {},
		"now": 0,
	}
	not admission.decision.verdict == "allow" with input as query
}

# METADATA
# title: Admission
# description: |
#   May src open a session to dst? Each answer is one branch of decision, the
#   reasons of a deny in order of precedence. Only the first branch allows, and
#   only where each of its conditions holds: what is missing or malformed in the
#   input never allows. README.md describes the documents.
package daoli.admission

import data.daoli.index

# METADATA
# entrypoint: true
decision := {
	"verdict": "allow",
	"reason": receiver.reason,
	"rule": receiver.by.rule,
	"at": receiver.by.at,
	"log": true in [sender.by.log, receiver.by.log],
	"ends": _ends,
} if {
	_reachable
	_objections == []
	receiver := _receiver_open
	sender := _sender_open
}

# No common VPC, no Peering in force: perhaps one side's alone.
else := {
	"verdict": "drop",
	"reason": "isolation",
	"rule": _onesided.rule,
	"at": _onesided.at,
	"log": false,
	"ends": [],
} if {
	input.src.vpc
	not _reachable
}

# Nothing of dst's listens for the outside.
else := {
	"verdict": "drop",
	"reason": "no-ingress",
	"rule": "",
	"at": "",
	"log": false,
	"ends": [],
} if {
	input.src.outside
	not _reachable
}

# The operator's own Rego denies: no tenant changes that.
else := {
	"verdict": "drop",
	"reason": "operator-policy",
	"rule": denial.rule,
	"at": denial.at,
	"log": false,
	"ends": [],
} if {
	denial := input.exceptions.hooks.operator[0]
}

# A Link disconnects: no end of a rule changes that.
else := {
	"verdict": "drop",
	"reason": "link-deny",
	"rule": link.rule,
	"at": link.at,
	"log": false,
	"ends": [],
} if {
	link := _disconnecting(input.exceptions.links)[0]
}

# A rule denies,
else := {
	"verdict": "drop",
	"reason": "rule-deny",
	"rule": rule.rule,
	"at": rule.at,
	"log": rule.log,
	"ends": _ends,
} if {
	denials := _denials(input.exceptions.ingress, input.exceptions.egress)
	rule := [r | some r in denials; r.action == "deny"][0]
}

# or rejects.
else := {
	"verdict": "reject",
	"reason": "rule-deny",
	"rule": rule.rule,
	"at": rule.at,
	"log": rule.log,
	"ends": _ends,
} if {
	rule := _denials(input.exceptions.ingress, input.exceptions.egress)[0]
}

# A tenant's own Rego denies,
else := {
	"verdict": "drop",
	"reason": "tenant-policy",
	"rule": denial.rule,
	"at": denial.at,
	"log": false,
	"ends": _ends,
} if {
	denial := input.exceptions.hooks.deny[0]
}

# or could not be asked.
else := {
	"verdict": "drop",
	"reason": failed.reason,
	"rule": failed.rule,
	"at": failed.at,
	"log": false,
	"ends": _ends,
} if {
	failed := input.exceptions.hooks.failed[0]
}

# To outside, and src's VPC has no way out.
else := {
	"verdict": "reject",
	"reason": "no-egress",
	"rule": vpc.rule,
	"at": vpc.at,
	"log": false,
	"ends": _ends,
} if {
	input.dst.outside
	vpc := index.vpcs[input.src.vpc]
	not vpc.egress
}

# dst's side is closed,
else := {
	"verdict": _refusal,
	"reason": "ingress-default",
	"rule": by.rule,
	"at": by.at,
	"log": false,
	"ends": _ends,
} if {
	vpc := index.vpcs[input.dst.vpc]
	not _receiver_open
	by := array.concat(_receiver_isolating, [vpc.default])[0]
}

# or only src's is.
else := {
	"verdict": _refusal,
	"reason": "egress-default",
	"rule": by.rule,
	"at": by.at,
	"log": false,
	"ends": _ends,
} if {
	not _sender_open
	vpc := index.vpcs[input.src.vpc]
	by := array.concat(_sender_isolating, [egress | egress := vpc.egress])[0]
}

# Isolation comes before anything that a tenant wrote: one VPC,
_reachable if {
	index.vpcs[input.src.vpc]
	input.src.vpc == input.dst.vpc
}

# two VPCs that a Peering joins,
_reachable if index.peers[input.src.vpc][input.dst.vpc]

# the outside, from a VPC that is there,
_reachable if {
	input.dst.outside
	index.vpcs[input.src.vpc]
}

# or from the outside what listens for it.
_reachable if {
	input.src.outside
	_entry
}

# The Peering that only one of the two VPCs' tenants declared.
_onesided := peering if {
	peering := index.onesided[input.src.vpc][input.dst.vpc]
}

else := {"rule": "", "at": ""}

# Nobody learns across a Peering, or from outside, whether somebody listens.
_refusal := "reject" if input.src.vpc == input.dst.vpc

else := "reject" if input.dst.outside

else := "drop"

# The Links and rules that deny. Most queries meet no exception: no Link between src
# and dst, no rule that denies or has an end.
_objections := [] if input.exceptions == {}

else := array.concat(
	array.concat(
		_disconnecting(input.exceptions.links),
		_denials(input.exceptions.ingress, input.exceptions.egress),
	),
	array.concat(
		input.exceptions.hooks.operator,
		array.concat(input.exceptions.hooks.deny, input.exceptions.hooks.failed),
	),
)

# Of the Links with these ranks, those that disconnect,
_disconnecting(ranks) := [link |
	some rank in ranks
	link := links[rank]
	link.action == "disconnect"
] if {
	links := index.links
}

# and those by which a tenant opens its own side.
_connecting(ranks, tenant) := [link |
	some rank in ranks
	link := links[rank]
	link.action == "connect"
	link.tenant == tenant
] if {
	links := index.links
}

# What listens on dst's port for src: an Ingress, or a Service with hosts. What is
# read of the input is read outside the comprehension, where a missing field leaves
# all undefined, so that nothing is allowed: inside, it would just find nothing. So
# it is with all that follows.
_entry := vpc.entries[min(ranks)] if {
	listening := input.entries
	keys := input.dst.keys
	vpc := index.vpcs[input.dst.vpc]
	targets := vpc.targets
	ranks := {rank |
		some ports, sources in listening
		some source in sources
		some key in keys
		rank := targets[key][ports][source]
	}
}

# The rules that match and deny, dst's before src's.
_denials(ingress, egress) := [rule | some rules in both; some rule in rules; rule.action != "allow"] if {
	both := [_matching(input.dst, "ingress", ingress), _matching(input.src, "egress", egress)]
}

# dst's side is open by a Link of its tenant,
_receiver_open := {"reason": "link", "by": link} if {
	link := _connecting(input.exceptions.links, input.dst.tenant)[0]
}

# by a rule,
else := {"reason": "rule", "by": rule} if {
	matching := _matching(input.dst, "ingress", input.exceptions.ingress)
	ending := {rank | some rank, rule in matching; rule.action == "allow"}
	vpc := index.vpcs[input.dst.vpc]
	lasting := _lasting(vpc, input.dst.groups, "ingress", object.get(input, "ingress", {}))
	rule := vpc.rules[min(lasting | ending)]
}

else := {"reason": "rule", "by": rule} if {
	vpc := index.vpcs[input.dst.vpc]
	rule := vpc.rules[min(_lasting(vpc, input.dst.groups, "ingress", input.ingress))]
}

# by its tenant's Rego,
else := {"reason": "tenant-policy", "by": hook} if {
	hook := input.exceptions.hooks.allow_ingress
}

# by the VPC's default, where no group isolates dst,
else := {"reason": "default", "by": vpc.default} if {
	_receiver_isolating == []
	vpc := index.vpcs[input.dst.vpc]
	vpc.default.is in _admitting
}

# to the outside by what listens for it, where no group isolates dst,
else := {"reason": "open", "by": entry} if {
	input.src.outside
	_receiver_isolating == []
	entry := _entry
}

# and what lies outside, through src's egress: src's side alone decides.
else := _sender_open if {
	input.dst.outside
	index.vpcs[input.src.vpc].egress
}

# The defaults that let src through.
_admitting contains "same-vpc" if input.src.vpc == input.dst.vpc

_admitting contains "same-subnet" if {
	input.src.vpc == input.dst.vpc
	input.src.subnet == input.dst.subnet
}

# src's side is open by a Link of its tenant,
_sender_open := {"reason": "link", "by": link} if {
	link := _connecting(input.exceptions.links, input.src.tenant)[0]
}

# by a rule,
else := {"reason": "rule", "by": rule} if {
	matching := _matching(input.src, "egress", input.exceptions.egress)
	ending := {rank | some rank, rule in matching; rule.action == "allow"}
	vpc := index.vpcs[input.src.vpc]
	lasting := _lasting(vpc, input.src.groups, "egress", object.get(input, "egress", {}))
	rule := vpc.rules[min(lasting | ending)]
}

else := {"reason": "rule", "by": rule} if {
	vpc := index.vpcs[input.src.vpc]
	rule := vpc.rules[min(_lasting(vpc, input.src.groups, "egress", input.egress))]
}

# by its tenant's Rego,
else := {"reason": "tenant-policy", "by": hook} if {
	hook := input.exceptions.hooks.allow_egress
}

# where no group isolates src, and what lies outside none does, towards endpoints,
else := {"reason": "default", "by": {"log": false}} if {
	_sender_isolating == []
	input.dst.vpc
}

# and by the VPC's egress.default towards the outside.
else := {"reason": "default", "by": egress} if {
	_sender_isolating == []
	egress := index.vpcs[input.src.vpc].egress
	egress.is == "allow"
}

# The sections that close a side to what they do not allow, in order of groups.
_receiver_isolating := [section.isolating |
	some group in groups
	section := index.vpcs[input.dst.vpc].groups[group].ingress
] if {
	groups := input.dst.groups
}

_sender_isolating := [section.isolating |
	some group in groups
	section := index.vpcs[input.src.vpc].groups[group].egress
] if {
	groups := input.src.groups
}

# The rules of these groups that match and allow for good: the first of each section,
# ports and peer, by rank.
_lasting(vpc, groups, side, pairs) := {rank |
	some ports, peers in pairs
	some peer in peers
	some group in groups
	rank := vpc.groups[group][side].allow[ports][peer]
}

# The other rules of an end's groups that match, by rank. Those that ended match
# nothing.
_matching(end, side, pairs) := {} if pairs == {}

else := {rank: rule |
	some ports, peers in pairs
	some peer in peers
	some group in groups
	some rank in sections[group][side].rest[ports][peer]
	rule := rules[rank]
	rule.until > now
} if {
	now := input.now
	groups := end.groups
	vpc := index.vpcs[end.vpc]
	rules := vpc.rules
	sections := vpc.groups
}

# When the rules that match end: then the answer could be another.
_ends := [] if input.exceptions == {}

else := [rule.until | some rules in both; some rule in rules] if {
	both := [
		_matching(input.dst, "ingress", input.exceptions.ingress),
		_matching(input.src, "egress", input.exceptions.egress),
	]
}

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
	_disconnects == []
	_denials == []
	sender := _sender_open
	receiver := _receiver_open
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

# A Link disconnects: no end of a rule changes that.
else := {
	"verdict": "drop",
	"reason": "link-deny",
	"rule": link.rule,
	"at": link.at,
	"log": false,
	"ends": [],
} if {
	link := _disconnects[0]
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
	rule := [r | some r in _denials; r.action == "deny"][0]
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
	rule := _denials[0]
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
_reachable if _peered

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

_peered if index.peers[input.src.vpc][input.dst.vpc]

# The Peering that only one of the two VPCs' tenants declared.
_onesided := peering if {
	peering := index.onesided[input.src.vpc][input.dst.vpc]
}

else := {"rule": "", "at": ""}

# Nobody learns across a Peering, or from outside, whether somebody listens.
_refusal := "drop" if _peered

else := "drop" if input.src.outside

else := "reject"

# The Links between src and dst, in order of their paths. What is read of the
# input is read outside the comprehension, where a missing field leaves all
# undefined, so that nothing is allowed: inside, it would just find no Link that
# disconnects. So it is with all that follows.
_links := [link | some rank in ranks; link := links[rank]] if {
	from := input.src.keys
	to := input.dst.keys
	ends := index.ends
	links := index.links
	ranks := {rank |
		some key in from
		others := ends[key]
		some other in to
		some rank in others[other]
	}
}

_disconnects := [link | some link in links; link.action == "disconnect"] if {
	links := _links
}

# The Links by which a tenant opens its own side.
_connects(tenant) := [link |
	some link in _links
	link.action == "connect"
	link.tenant == tenant
]

# What listens on dst's port for src: an Ingress, or a Service with hosts.
_entry := entries[min(ranks)] if {
	vpc := index.vpcs[input.dst.vpc]
	entries := vpc.entries
	ranks := {rank |
		some key in input.dst.keys
		target := vpc.targets[key]
		some port in input.ports.dst
		sources := target[port]
		some peer in input.peers.dst
		rank := sources[peer]
	}
}

# The rules that deny, dst's before src's.
_denials := [rule | some rules in both; some rule in rules; rule.action != "allow"] if {
	both := [_ingress, _egress]
}

# dst's side is open by a Link of its tenant,
_receiver_open := {"reason": "link", "by": link} if {
	link := _connects(input.dst.tenant)[0]
}

# by a rule,
else := {"reason": "rule", "by": rule} if {
	rule := [r | some r in _ingress; r.action == "allow"][0]
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
	link := _connects(input.src.tenant)[0]
}

# by a rule,
else := {"reason": "rule", "by": rule} if {
	rule := [r | some r in _egress; r.action == "allow"][0]
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
	some group in input.dst.groups
	section := index.vpcs[input.dst.vpc].groups[group].ingress
]

_sender_isolating := [section.isolating |
	some group in input.src.groups
	section := index.vpcs[input.src.vpc].groups[group].egress
]

# The rules that match and have not ended, in order of (group name, index).
_ingress := [rule |
	some rank in ranks
	rule := rules[rank]
	rule.until > now
] if {
	now := input.now
	ports := input.ports.dst
	peers := input.peers.dst
	groups := input.dst.groups
	vpc := index.vpcs[input.dst.vpc]
	rules := vpc.rules
	sections := vpc.groups
	ranks := {rank |
		some group in groups
		section := sections[group].ingress.rules
		some port in ports
		matching := section[port]
		some peer in peers
		some rank in matching[peer]
	}
}

else := [] if input.dst.outside

_egress := [rule |
	some rank in ranks
	rule := rules[rank]
	rule.until > now
] if {
	now := input.now
	ports := input.ports.src
	peers := input.peers.src
	groups := input.src.groups
	vpc := index.vpcs[input.src.vpc]
	rules := vpc.rules
	sections := vpc.groups
	ranks := {rank |
		some group in groups
		section := sections[group].egress.rules
		some port in ports
		matching := section[port]
		some peer in peers
		some rank in matching[peer]
	}
}

else := [] if input.src.outside

# When the rules that match end: then the answer could be another.
_ends := [rule.until | some rules in [_ingress, _egress]; some rule in rules]

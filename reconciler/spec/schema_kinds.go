package spec

import (
	"maps"
	"slices"
)

// Patterns of strings, as ECMA 262 writes them.
const (
	namePattern    = `[a-z0-9]([a-z0-9-]*[a-z0-9])?`
	octetPattern   = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	addressPattern = octetPattern + `(\.` + octetPattern + `){3}`
	portPattern    = `(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})`
	rangePattern   = `(tcp|udp|sctp)/` + portPattern + `(-` + portPattern + `)?`

	durationPattern = `\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+`
	instantPattern  = `[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})`
)

// whole is a string that a pattern describes from its first to its last character.
func whole(description, pattern string) *schema {
	return &schema{Description: description, Type: "string", Pattern: "^(" + pattern + ")$"}
}

// definitions are the schemas that have a name: scalars, parts and the spec of
// each kind.
func definitions() map[string]*schema {
	defs := map[string]*schema{
		"name":     whole("A name: lower case letters, digits and hyphens, at most 63", namePattern),
		"vpcID":    whole("A VPC as TENANT/VPC", namePattern+"/"+namePattern),
		"address":  whole("An IPv4 address", addressPattern),
		"cidr":     whole("A range of IPv4 addresses whose host bits are zero, as 10.1.0.0/24", addressPattern+`/(3[0-2]|[12]?[0-9])`),
		"duration": whole("A time, as 2h4m", durationPattern),
		"instant":  whole("A moment in RFC 3339 with a zone, as 2026-12-24T18:00:00Z", instantPattern),
		"port": whole("tcp, udp or sctp, alone or with /N or /N-M; or icmp, icmp/echo or icmp/TYPE",
			"tcp|udp|sctp|"+rangePattern+"|icmp|icmp/(echo|25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"),
		"numberedPort": whole("tcp, udp or sctp with /N or /N-M", rangePattern),
		"listenPort":   whole("tcp, udp or sctp, alone or with /N or /N-M", "tcp|udp|sctp|"+rangePattern),
		"labels": {
			Description: "Labels, all of which must hold", Type: "object", MinProperties: 1,
			AdditionalProperties: &schema{Type: "string"}, PropertyNames: &schema{MinLength: 1},
		},
		"hostGlob": {
			Description: "A host's name, or a pattern of names such as edge-*", Type: "string",
			MinLength: 1, MaxLength: maxGlob, Pattern: `^[^/\s]*$`,
		},
		"hostName": {
			Description: "The name of one host", Type: "string",
			MinLength: 1, MaxLength: maxGlob, Pattern: `^[^/\s*?\[\]\\]*$`,
		},
	}
	defs["name"].MaxLength = maxName
	for _, part := range []map[string]*schema{peerSchemas(), tenantSchemas(), groupSchemas(), pairSchemas(), entrySchemas(), placeSchemas()} {
		maps.Copy(defs, part)
	}
	return defs
}

// peerSchemas are PEER and what differs from it by its place.
func peerSchemas() map[string]*schema {
	inside := func(required ...string) []*schema {
		var choices []*schema
		for _, key := range []string{"group", "subnet", "labels"} {
			selector := ref("name")
			if key == "labels" {
				selector = ref("labels")
			}
			choices = append(choices, record("", fields{key: selector, "vpc": ref("vpcID")}, append(required, key)...))
		}
		return append(choices, record("All endpoints of a VPC", fields{"vpc": ref("vpcID")}, "vpc"))
	}
	outside := []*schema{
		record("Outside addresses", fields{"cidr": ref("cidr"), "except": list(ref("cidr"))}, "cidr"),
		record("Anybody that isolation lets through", fields{"any": {Const: true}}, "any"),
	}
	endpoint := record("One endpoint, by its name", fields{"endpoint": ref("name"), "vpc": ref("vpcID")}, "endpoint", "vpc")
	return map[string]*schema{
		"peer":     {Description: "PEER: exactly one selector", Type: "object", OneOf: append(inside(), outside...)},
		"backends": {Description: "PEER of the Service's own VPC", Type: "object", OneOf: inside()},
		"subject":  {Description: "PEER of a VPC that it names, or an endpoint", Type: "object", OneOf: slices.Concat(inside("vpc"), outside, []*schema{endpoint})},
	}
}

// tenantSchemas are Tenant and VPC.
func tenantSchemas() map[string]*schema {
	subnet := record("A range of the VPC", fields{"name": ref("name"), "cidr": ref("cidr")}, "name", "cidr")
	granularity := func(value Granularity) *schema {
		return defaulting(oneOf(string(PerService), string(PerConnection)), string(value))
	}
	return map[string]*schema{
		kindTenant: record("Who may use the network", fields{
			"hosts": list(ref("hostGlob")),
			"quota": record("Limits; absent is unlimited", fields{
				"endpoints": number(maxQuota), "sessions": number(maxQuota), "newSessionsPerSecond": number(maxQuota),
			}),
			"listen": record("What its Ingresses may take; absent is none", fields{
				"hosts": list(ref("hostGlob")), "ports": list(ref("listenPort")),
			}),
		}),
		kindVPC: record("A private network", fields{
			"subnets": some(subnet),
			"default": defaulting(oneOf(string(SameSubnet), string(SameVPC), string(Deny)), string(SameSubnet)),
			"egress": record("The way out; absent is none", fields{
				"via": defaulting(&schema{Ref: ref("name").Ref}, ownHost), "default": defaulting(oneOf("allow", "deny"), "deny"),
			}),
			"sessions": record("How sessions are told apart, and how long idle TCP ones live", fields{
				"tcp": granularity(PerService), "udp": granularity(PerConnection),
				"idle": defaulting(&schema{Ref: ref("duration").Ref}, short(defaultIdle)),
			}),
		}, "subnets"),
	}
}

// groupSchemas are SecurityGroup and RULE.
func groupSchemas() map[string]*schema {
	rule := func(peers string) *schema {
		return list(record("RULE", fields{
			peers: list(ref("peer")), "ports": list(ref("port")), "log": truth(), "until": ref("instant"),
			"action": defaulting(oneOf(string(Allow), string(DenyRule), string(Reject)), string(Allow)),
		}))
	}
	selectors := record("Selectors, all of which must hold", fields{
		"subnets": some(ref("name")), "labels": ref("labels"), "endpoints": some(ref("name")),
	})
	selectors.MinProperties = 1
	return map[string]*schema{
		"members": {
			Description: "The endpoints of the group; absent: those that claim it", Type: "object",
			OneOf: []*schema{selectors, record("All endpoints of the VPC", fields{"all": {Const: true}}, "all")},
		},
		kindSecurityGroup: record("Endpoints, and the rules for them", fields{
			"members": ref("members"), "ingress": rule("from"), "egress": rule("to"),
		}),
	}
}

// pairSchemas are Peering, Link and Assertion.
func pairSchemas() map[string]*schema {
	end := record("An endpoint or a group", fields{"endpoint": ref("name"), "group": ref("name"), "vpc": ref("vpcID")})
	end.OneOf = either("endpoint", "group")
	claim := fields{"from": ref("subject"), "to": ref("subject"), "port": ref("port")}
	expected := maps.Clone(claim)
	expected["expect"] = oneOf("allow", "deny")
	return map[string]*schema{
		kindPeering: record("Two VPCs that may talk, once the tenant of each has said so", fields{"vpcs": two(ref("vpcID"))}, "vpcs"),
		kindLink: record("Two ends that are connected or not", fields{
			"action": oneOf("connect", "disconnect"), "between": two(end),
		}, "action", "between"),
		kindAssertion: {Description: "A promise that each revision must keep", Type: "object", OneOf: []*schema{
			record("", fields{"never": record("What must be denied", claim, "from", "to")}, "never"),
			record("", expected, "from", "to", "expect"),
		}},
	}
}

// entrySchemas are Ingress and Service.
func entrySchemas() map[string]*schema {
	ports := list(record("A port that is listened on, and the one that it leads to",
		fields{"listen": ref("numberedPort"), "target": ref("numberedPort")}, "listen"))
	source := record("Outside addresses", fields{"cidr": ref("cidr"), "except": list(ref("cidr"))}, "cidr")
	entry := func(more fields) fields {
		maps.Copy(more, fields{
			"hosts": list(ref("hostGlob")), "gateway": ref("name"), "ports": ports, "sources": list(source),
		})
		return more
	}
	ingress := record("Lets the outside in to one endpoint", entry(fields{
		"to": record("The endpoint", fields{"endpoint": ref("name")}, "endpoint"),
	}), "ports", "to")
	ingress.OneOf = either("hosts", "gateway")

	check := record("How it is found out whether a backend lives", fields{
		"http": {Type: "string", Pattern: "^/[!-\"$-~]*$", MaxLength: maxCheckPath}, "tcp": {Const: true},
		"every": defaulting(&schema{Ref: ref("duration").Ref}, short(defaultEvery)),
		"fall":  defaulting(number(maxInRow), defaultFall), "rise": defaulting(number(maxInRow), defaultRise),
	})
	check.OneOf = either("http", "tcp")
	service := record("Spreads sessions over endpoints", entry(fields{
		"vip": ref("address"), "backends": ref("backends"), "check": check,
		"algorithm": defaulting(oneOf(string(RoundRobin), string(LeastSessions), string(SourceHash)), string(RoundRobin)),
	}), "ports", "backends")
	service.OneOf = either("vip", "hosts", "gateway")
	service.Not = &schema{Required: []string{"vip", "sources"}}
	return map[string]*schema{kindIngress: ingress, kindService: service}
}

// placeSchemas are Gateway and Site.
func placeSchemas() map[string]*schema {
	gateway := record("A host through which the Site is reached", fields{"host": ref("hostName"), "address": ref("address")}, "host", "address")
	return map[string]*schema{
		kindGateway: record("Hosts through which traffic leaves or enters", fields{"hosts": list(ref("hostGlob"))}, "hosts"),
		kindSite: record("Hosts that reach each other directly", fields{
			"hosts": list(ref("hostGlob")), "gateways": list(gateway), "trusted": truth(),
		}, "hosts"),
	}
}

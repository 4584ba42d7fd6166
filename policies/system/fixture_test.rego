# The network of the tests, as daoli-reconcile indexes it. A test in Go keeps the
# two the same.
package daoli.fixture

index := {
	"peers": {
		"acme/prod": {"globex/prod": true},
		"globex/prod": {"acme/prod": true},
	},
	"onesided": {
		"acme/open": {"globex/prod": {"rule": "acme/ask", "at": "net.yaml:36"}},
		"globex/prod": {"acme/open": {"rule": "acme/ask", "at": "net.yaml:36"}},
	},
	"links": [
		{"rule": "acme/prod/cut", "at": "net.yaml:24", "action": "disconnect", "tenant": "acme", "log": false},
		{"rule": "acme/prod/tie", "at": "net.yaml:25", "action": "connect", "tenant": "acme", "log": false},
		{"rule": "globex/prod/half", "at": "net.yaml:26", "action": "connect", "tenant": "globex", "log": false},
	],
	"vpcs": {
		"acme/open": {
			"rule": "acme/open",
			"at": "net.yaml:4",
			"default": {"is": "same-vpc", "rule": "acme/open", "at": "net.yaml:5", "log": false},
			"egress": {"is": "allow", "rule": "acme/open", "at": "net.yaml:6", "log": false},
			"groups": {},
			"rules": [],
			"entries": [],
			"targets": {},
		},
		"acme/prod": {
			"rule": "acme/prod",
			"at": "net.yaml:1",
			"default": {"is": "same-subnet", "rule": "acme/prod", "at": "net.yaml:2", "log": false},
			"egress": {"is": "deny", "rule": "acme/prod", "at": "net.yaml:3", "log": false},
			"groups": {
				"db": {"ingress": {
					"isolating": {"rule": "acme/prod/db", "at": "net.yaml:12"},
					"allow": {
						"tcp/5432": {"group:acme/prod/web": 0},
						"tcp/80,tcp/8000-8999": {"group:globex/prod/api": 1},
					},
					"rest": {
						"any": {`labels:acme/prod/"role"="batch"`: [2]},
						"tcp/1": {
							`labels:acme/prod/"role"="batch"`: [3],
							"subnet:acme/prod/dmz": [3],
						},
						"udp/53": {"group:acme/prod/web": [4]},
					},
				}},
				"guarded": {"ingress": {
					"isolating": {"rule": "acme/prod/guarded", "at": "net.yaml:34"},
					"allow": {"tcp/80": {"cidr:9.0.0.0/8": 5}},
					"rest": {},
				}},
				"quiet": {"egress": {
					"isolating": {"rule": "acme/prod/quiet", "at": "net.yaml:19"},
					"allow": {
						"tcp/443": {"cidr:8.0.0.0/8!8.8.8.0/24": 6},
						"tcp/5432": {"group:acme/prod/db": 7},
					},
					"rest": {},
				}},
				"sealed": {"ingress": {
					"isolating": {"rule": "acme/prod/sealed", "at": "net.yaml:23"},
					"allow": {},
					"rest": {},
				}},
				"waning": {"egress": {
					"isolating": {"rule": "acme/prod/waning", "at": "net.yaml:38"},
					"allow": {},
					"rest": {"tcp/5432": {"group:acme/prod/db": [8]}},
				}},
			},
			"rules": [
				{"rule": "acme/prod/db/ingress/0", "at": "net.yaml:13", "action": "allow", "log": true, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/1", "at": "net.yaml:14", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/2", "at": "net.yaml:15", "action": "reject", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/3", "at": "net.yaml:16", "action": "deny", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/4", "at": "net.yaml:17", "action": "allow", "log": false, "until": 1780322400},
				{"rule": "acme/prod/guarded/ingress/0", "at": "net.yaml:35", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/quiet/egress/0", "at": "net.yaml:20", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/quiet/egress/1", "at": "net.yaml:21", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/waning/egress/0", "at": "net.yaml:39", "action": "allow", "log": false, "until": 1780322400},
			],
			"entries": [
				{"rule": "acme/prod/api", "at": "net.yaml:30", "log": false},
				{"rule": "acme/prod/out", "at": "net.yaml:32", "log": false},
				{"rule": "acme/prod/shop", "at": "net.yaml:29", "log": false},
				{"rule": "acme/prod/twin", "at": "net.yaml:31", "log": false},
			],
			"targets": {
				"endpoint:acme/prod/web1": {"tcp/8443": {
					"any": 3,
					"cidr:8.0.0.0/8!8.8.8.0/24": 2,
				}},
				"group:acme/prod/guarded": {"tcp/80": {"any": 1}},
				"group:acme/prod/sealed": {"tcp/80": {"any": 0}},
			},
		},
		"acme/shut": {
			"rule": "acme/shut",
			"at": "net.yaml:7",
			"default": {"is": "deny", "rule": "acme/shut", "at": "net.yaml:8", "log": false},
			"groups": {},
			"rules": [],
			"entries": [],
			"targets": {},
		},
		"globex/prod": {
			"rule": "globex/prod",
			"at": "net.yaml:9",
			"default": {"is": "same-vpc", "rule": "globex/prod", "at": "net.yaml:10", "log": false},
			"groups": {},
			"rules": [],
			"entries": [],
			"targets": {},
		},
	},
}

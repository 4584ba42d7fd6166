# The network of the tests, as daoli-reconcile indexes it. A test in Go keeps the
# two the same.
package daoli.fixture

index := {
	"peers": {
		"acme/prod": {"globex/prod": true},
		"globex/prod": {"acme/prod": true},
	},
	"vpcs": {
		"acme/open": {
			"rule": "acme/open",
			"at": "net.yaml:4",
			"default": {"is": "same-vpc", "rule": "acme/open", "at": "net.yaml:5", "log": false},
			"egress": {"is": "allow", "rule": "acme/open", "at": "net.yaml:6", "log": false},
			"groups": {},
			"rules": [],
		},
		"acme/prod": {
			"rule": "acme/prod",
			"at": "net.yaml:1",
			"default": {"is": "same-subnet", "rule": "acme/prod", "at": "net.yaml:2", "log": false},
			"egress": {"is": "deny", "rule": "acme/prod", "at": "net.yaml:3", "log": false},
			"groups": {
				"db": {"ingress": {
					"isolating": {"rule": "acme/prod/db", "at": "net.yaml:12"},
					"rules": {
						"any": {`labels:acme/prod/"role"="batch"`: [2]},
						"tcp/1": {
							`labels:acme/prod/"role"="batch"`: [3],
							"subnet:acme/prod/dmz": [3],
						},
						"tcp/5432": {"group:acme/prod/web": [0]},
						"tcp/80,tcp/8000-8999": {"group:globex/prod/api": [1]},
						"udp/53": {"group:acme/prod/web": [4]},
					},
				}},
				"quiet": {"egress": {
					"isolating": {"rule": "acme/prod/quiet", "at": "net.yaml:19"},
					"rules": {
						"tcp/443": {"cidr:8.0.0.0/8!8.8.8.0/24": [5]},
						"tcp/5432": {"group:acme/prod/db": [6]},
					},
				}},
				"sealed": {"ingress": {
					"isolating": {"rule": "acme/prod/sealed", "at": "net.yaml:23"},
					"rules": {},
				}},
			},
			"rules": [
				{"rule": "acme/prod/db/ingress/0", "at": "net.yaml:13", "action": "allow", "log": true, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/1", "at": "net.yaml:14", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/2", "at": "net.yaml:15", "action": "reject", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/3", "at": "net.yaml:16", "action": "deny", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/db/ingress/4", "at": "net.yaml:17", "action": "allow", "log": false, "until": 1780322400},
				{"rule": "acme/prod/quiet/egress/0", "at": "net.yaml:20", "action": "allow", "log": false, "until": 9223372036854775807},
				{"rule": "acme/prod/quiet/egress/1", "at": "net.yaml:21", "action": "allow", "log": false, "until": 9223372036854775807},
			],
		},
		"acme/shut": {
			"rule": "acme/shut",
			"at": "net.yaml:7",
			"default": {"is": "deny", "rule": "acme/shut", "at": "net.yaml:8", "log": false},
			"groups": {},
			"rules": [],
		},
		"globex/prod": {
			"rule": "globex/prod",
			"at": "net.yaml:9",
			"default": {"is": "same-vpc", "rule": "globex/prod", "at": "net.yaml:10", "log": false},
			"groups": {},
			"rules": [],
		},
	},
}

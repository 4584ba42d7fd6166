package tenants.pay.policy

test_quarantined_is_not_reached if {
	deny with input as {"dst": {"labels": {"quarantine": "yes"}}, "port": 443}
}

test_others_are if {
	not deny with input as {"dst": {"labels": {}}, "port": 443}
}

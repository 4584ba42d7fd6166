# Pay's own Rego: what its YAML can't say.
package tenants.pay.policy

# Nobody reaches a container of pay that is labelled so, whoever allows it.
deny if input.dst.labels.quarantine == "yes"

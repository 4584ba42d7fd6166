package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// allowedBuiltins are the built-ins of OPA that a policy may use. All are
// functions of their arguments alone, so that a decision may be cached, and none
// makes much out of little or runs long within one step: neither the network,
// the clock, random numbers, nor walk, numbers.range, graph.*, json.*, yaml.*,
// regex.replace, bits.lsh or crypto.*.
const allowedBuiltins = `
	abs array.concat array.flatten array.reverse array.slice assign ceil concat contains count
	div endswith eq equal floor format_int glob.match glob.quote_meta gt gte indexof indexof_n
	internal.member_2 internal.member_3 internal.print internal.template_string intersection
	is_array is_boolean is_null is_number is_object is_set is_string lower lt lte max min minus
	mul neq net.cidr_contains net.cidr_intersects net.cidr_is_valid net.cidr_overlap
	object.filter object.get object.keys object.remove object.subset object.union or and plus
	print product regex.find_n regex.is_valid regex.match regex.split rem round semver.compare
	semver.is_valid set_diff sort split sprintf startswith strings.any_prefix_match
	strings.any_suffix_match strings.count strings.reverse substring sum to_number trim trim_left
	trim_prefix trim_right trim_space trim_suffix type_name union units.parse units.parse_bytes
	upper`

// Capabilities returns OPA's capabilities less all other built-ins.
func Capabilities() *ast.Capabilities {
	allowed := strings.Fields(allowedBuiltins)
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || !slices.Contains(allowed, b.Name)
	})
	c.AllowNet = []string{}
	return c
}

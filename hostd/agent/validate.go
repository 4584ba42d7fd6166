package agent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
)

// limits are those of the contract with the controllers.
func limits() endpoint.Limits {
	return endpoint.Limits{
		Endpoints: hostpb.MaxEndpoints, FirstPort: hostpb.FirstEndpointPort, LastPort: hostpb.LastEndpointPort,
	}
}

// validate reports the first thing wrong with r, by the limits of the contract:
// a controller would refuse the whole host for it.
func validate(r *endpoint.Request) error {
	for _, n := range []struct{ what, name string }{
		{"tenant", r.Tenant}, {"vpc", r.VPC}, {"subnet", r.Subnet}, {"name", r.Name},
	} {
		if !hostpb.ValidName(n.name) {
			return fmt.Errorf("%s %q is not allowed: use small letters, digits and hyphens, at most %d", n.what, n.name, hostpb.MaxName)
		}
	}
	if len(r.Groups) > hostpb.MaxClaims {
		return fmt.Errorf("%d groups are more than %d", len(r.Groups), hostpb.MaxClaims)
	}
	for _, g := range r.Groups {
		if !hostpb.ValidName(g) {
			return fmt.Errorf("group %q is not allowed: use small letters, digits and hyphens, at most %d", g, hostpb.MaxName)
		}
	}
	if !hostpb.ValidLabels(r.Labels) {
		return fmt.Errorf("labels are more than %d, too long, or not printable", hostpb.MaxLabels)
	}
	if r.IP.IsValid() && !r.IP.Is4() {
		return fmt.Errorf("ip %s is not IPv4", r.IP)
	}
	if hostpb.IsHold(r.Name) != r.Hidden {
		return fmt.Errorf("name %q is not allowed: names that begin with %s are made up for addresses", r.Name, hostpb.HoldPrefix)
	}
	if r.Namespace == "" && r.Docker == nil {
		return errors.New("no network namespace")
	}
	return validInterface(r.Interface)
}

// validInterface refuses what Linux refuses, and what could be taken for a path
// or an option.
func validInterface(s string) error {
	if s == "" || len(s) > 15 || s[0] == '-' || s == "." || s == ".." || s == "lo" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == ':'
	}) {
		return fmt.Errorf("interface name %q is not allowed", s)
	}
	return nil
}

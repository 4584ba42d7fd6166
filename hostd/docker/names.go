package docker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Labels of containers that we read.
const (
	GroupsLabel = "daoli.groups" // names with commas between
	LabelPrefix = "daoli.label." // the rest is the label's key
)

// Names gives each subnet the name of its Docker network: TENANT-VPC-SUBNET.
// Where that would be the name of several, all of them have a hash of what they
// are at the end: a tenant cannot take the name of another's network by a VPC
// that is called to match it.
func Names(networks []uplink.Network) map[string]uplink.Network {
	count := make(map[string]int)
	for _, n := range networks {
		count[plainName(n)]++
	}
	out := make(map[string]uplink.Network, len(networks))
	for _, n := range networks {
		name := plainName(n)
		if count[name] > 1 {
			name = LongName(n)
		}
		out[name] = n
	}
	return out
}

func plainName(n uplink.Network) string { return n.Tenant + "-" + n.VPC + "-" + n.Subnet }

// LongName is the name of a subnet's Docker network where TENANT-VPC-SUBNET is
// somebody else's already.
func LongName(n uplink.Network) string {
	h := sha256.Sum256([]byte(n.VPCID() + "/" + n.Subnet))
	return plainName(n) + "-" + hex.EncodeToString(h[:4])
}

// endpointNames returns the names that a container's endpoint may have, the best
// first: the container's, and if another host has one of that name, the same with
// the beginning of its ID.
func endpointNames(container, id string) []string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.TrimPrefix(container, "/"))
	clean = strings.Trim(clean, "-")
	if clean == "" || strings.HasPrefix(clean+"-", hostpb.HoldPrefix) {
		clean = strings.TrimRight("c-"+clean, "-")
	}
	short := id[:min(len(id), 12)]
	long := strings.TrimRight(clean[:min(len(clean), hostpb.MaxName-1-len(short))], "-") + "-" + short
	if len(clean) > hostpb.MaxName {
		return []string{long}
	}
	return []string{clean, long}
}

// claims reads the groups and labels that a container's labels ask for.
func claims(labels map[string]string) (groups []string, own map[string]string, err error) {
	for g := range strings.SplitSeq(labels[GroupsLabel], ",") {
		g = strings.TrimSpace(g)
		switch {
		case g == "":
			continue
		case !hostpb.ValidName(g):
			return nil, nil, fmt.Errorf("label %s: group %q is not allowed: use small letters, digits and hyphens, at most %d", GroupsLabel, g, hostpb.MaxName)
		}
		groups = append(groups, g)
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	if len(groups) > hostpb.MaxClaims {
		return nil, nil, fmt.Errorf("label %s: %d groups are more than %d", GroupsLabel, len(groups), hostpb.MaxClaims)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		key, ours := strings.CutPrefix(k, LabelPrefix)
		if !ours {
			continue
		}
		if own == nil {
			own = make(map[string]string)
		}
		own[key] = labels[k]
	}
	if !hostpb.ValidLabels(own) {
		return nil, nil, fmt.Errorf("labels %s* are more than %d, too long, or not printable", LabelPrefix, hostpb.MaxLabels)
	}
	return groups, own, nil
}

// sortNetworks puts networks in a fixed order.
func sortNetworks(ns []uplink.Network) {
	slices.SortFunc(ns, func(a, b uplink.Network) int {
		return cmp.Or(cmp.Compare(a.VPCID(), b.VPCID()), cmp.Compare(a.Subnet, b.Subnet))
	})
}

// overlap returns why a container may not be in two VPCs, or nil: their routes
// would be the same.
func overlap(known []uplink.Network, a, b string) error {
	if a == b {
		return fmt.Errorf("the container is in vpc %s already, by another of its networks: one reaches all of it", a)
	}
	for _, n := range known {
		for _, o := range known {
			if n.VPCID() == a && o.VPCID() == b && n.CIDR.Overlaps(o.CIDR) {
				return errors.New("the container is in vpc " + b + ", whose subnet " + o.CIDR.String() + " overlaps " + n.CIDR.String() + " of vpc " + a)
			}
		}
	}
	return nil
}

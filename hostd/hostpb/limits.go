package hostpb

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the contract. The sender keeps them, and the receiver refuses the
// stream of one that doesn't.
const (
	MaxMessage   = 4 << 20 // bytes of one message
	MaxName      = 63      // bytes of a tenant's, VPC's, subnet's, group's or endpoint's name
	MaxHostName  = 253     // bytes
	MaxBootID    = 64      // bytes
	MaxEndpoints = 4096    // of one host
	MaxClaims    = 64      // of one endpoint
	MaxLabels    = 64      // of one endpoint
	MaxLabelKey  = 128     // bytes
	MaxLabelText = 256     // bytes of a label's value
	MaxErrorText = 1024    // bytes
	MaxTargets   = 64      // controllers in one Welcome
	MaxAddresses = 1024    // in each list of an AddressList
	MaxNetworks  = 4096    // of one host
	MaxQueries   = 256     // names that one host asks for at once
	MaxAnswers   = 64      // addresses of one name
	MaxResolvers = 8       // name servers of one host
	MaxDNSName   = 253     // bytes of a name that is asked for
	MaxCSR       = 8 << 10 // bytes
	MaxToken     = 256     // bytes
)

// Port numbers on a host's bridge. Uplinks and internal ports lie below
// FirstEndpointPort. LastEndpointPort keeps an endpoint's port within the 14
// bits that an alias in 169.254.64.0/18 has room for.
const (
	UplinkPort        = 1
	FirstEndpointPort = 16
	LastEndpointPort  = 1<<14 - 1
)

// MTUs that an uplink may have, in bytes (RFC 791: every host takes 576).
const (
	MinMTU = 576
	MaxMTU = 65535
)

// ValidName reports whether s names a tenant, VPC, subnet, group or endpoint:
// small letters, digits and inner hyphens, at most MaxName bytes.
func ValidName(s string) bool {
	return validLabel(s, MaxName, func(c byte) bool { return c == '-' })
}

// HoldPrefix begins the names under which a host asks for addresses before it
// knows for which endpoint. No endpoint may have such a name.
const HoldPrefix = "hold-"

// IsHold reports whether s is such a name.
func IsHold(s string) bool { return ValidName(s) && strings.HasPrefix(s, HoldPrefix) }

// ValidHostName reports whether s names a host: as ValidName, with inner dots
// too and at most MaxHostName bytes.
func ValidHostName(s string) bool {
	return validLabel(s, MaxHostName, func(c byte) bool { return c == '-' || c == '.' })
}

// ValidVPCID reports whether s is TENANT/NAME.
func ValidVPCID(s string) bool {
	tenant, name, ok := strings.Cut(s, "/")
	return ok && ValidName(tenant) && ValidName(name)
}

// ValidAddress reports whether a may stand in an AddressList: an IPv4 address
// that is not reserved for everybody anyway.
func ValidAddress(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	first := a.As4()[0]
	return first != 0 && first < 224 && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

// ValidText reports whether s is printable UTF-8 of at most limit bytes.
func ValidText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// ValidLabels reports whether an endpoint may have these labels.
func ValidLabels(labels map[string]string) bool {
	if len(labels) > MaxLabels {
		return false
	}
	for k, v := range labels {
		if k == "" || !ValidText(k, MaxLabelKey) || !ValidText(v, MaxLabelText) {
			return false
		}
	}
	return true
}

func validLabel(s string, limit int, inner func(byte) bool) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		edge := i == 0 || i == len(s)-1
		if !alnum && (edge || !inner(c)) {
			return false
		}
	}
	return true
}

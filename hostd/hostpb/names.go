package hostpb

import "strings"

// ValidDNSName reports whether s is a name that a host may ask for: labels of
// small letters, digits, inner hyphens and underscores, each at most MaxName
// bytes and all of it at most MaxDNSName, without a dot at the end.
func ValidDNSName(s string) bool {
	if s == "" || len(s) > MaxDNSName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label, MaxName, func(c byte) bool { return c == '-' || c == '_' }) {
			return false
		}
	}
	return true
}

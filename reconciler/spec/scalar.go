package spec

import (
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

const (
	maxName = 63
	maxGlob = 253 // as long as a host's name may be, RFC 1035 2.3.4

	nameRule = "use 1 to 63 of a-z, 0-9 and -, with no - at either end"
)

// validName reports whether s matches [a-z0-9]([a-z0-9-]*[a-z0-9])? and is at
// most 63 bytes long.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// name returns the name that n is.
func (s *source) name(n *yaml.Node, what string) (string, bool) {
	v, ok := s.text(n, what)
	if ok && !validName(v) {
		s.err(s.pos(n), "%s is %s; %s", what, quote(v), nameRule)
		return "", false
	}
	return v, ok
}

// names returns the names of a list that must not be empty, and their nodes.
func (s *source) names(n *yaml.Node, what string) (names []string, nodes []*yaml.Node) {
	elements, _ := s.filled(n, what, "name one or leave the key out")
	for _, e := range elements {
		if v, ok := s.name(e, what); ok {
			names, nodes = append(names, v), append(nodes, e)
		}
	}
	return names, nodes
}

// vpcID returns the id that n is, "tenant/vpc".
func (s *source) vpcID(n *yaml.Node, what string) (VPCID, bool) {
	v, ok := s.text(n, what)
	if !ok {
		return "", false
	}
	tenant, name, _ := strings.Cut(v, "/")
	if !validName(tenant) || !validName(name) {
		s.err(s.pos(n), "%s is %s; write it as TENANT/VPC", what, quote(v))
		return "", false
	}
	return MakeVPCID(tenant, name), true
}

// labels returns the labels that n is, at least one.
func (s *source) labels(n *yaml.Node) (map[string]string, bool) {
	if isReported(n) {
		return nil, false
	}
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		s.err(s.pos(n), "labels is %s; write at least one as {KEY: VALUE}", shown(n))
		return nil, false
	}
	labels := make(map[string]string, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if !isScalar(key) || key.Tag != "!!str" {
			continue // check has said so
		}
		if key.Value == "" {
			s.err(s.pos(key), `a label's key is ""; name the label`)
			continue
		}
		if v, ok := s.text(n.Content[i+1], "label "+quote(key.Value)); ok {
			labels[key.Value] = v
		}
	}
	return labels, len(labels) > 0
}

// globs returns the patterns of host names that n lists, and where each stands.
func (s *source) globs(n *yaml.Node, what string) (globs []string, at []Pos) {
	elements, _ := s.list(n, what)
	for _, e := range elements {
		v, ok := s.text(e, what)
		if !ok {
			continue
		}
		if !isGlob(v) {
			s.err(s.pos(e), `%s has %s, which is no pattern of host names; write a name, "edge-*" or "*"`, what, quote(v))
			continue
		}
		globs, at = append(globs, v), append(at, s.pos(e))
	}
	return globs, at
}

// isGlob reports whether v is a pattern of host names.
func isGlob(v string) bool {
	_, err := path.Match(v, "")
	return v != "" && len(v) <= maxGlob && err == nil && !strings.Contains(v, "/") && !strings.ContainsFunc(v, unicode.IsSpace)
}

// decimal is a number without sign or leading zero.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// number returns the number from 1 to most that n is, or 0. What may be written
// instead is said by instead.
func (s *source) number(n *yaml.Node, what string, most int, instead string) int {
	if isReported(n) {
		return 0
	}
	v, _ := strconv.Atoi(n.Value)
	if !isScalar(n) || n.Tag != "!!int" || !decimal.MatchString(n.Value) || v == 0 || v > most {
		s.err(s.pos(n), "%s is %s; write a number from 1 to %d%s", what, shown(n), most, instead)
		return 0
	}
	return v
}

// duration returns the time between least and most that n is, as example is one.
func (s *source) duration(n *yaml.Node, what string, least, most time.Duration, example string) (time.Duration, bool) {
	v, ok := s.text(n, what)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		s.err(s.pos(n), "%s is %s; write a time from %s to %s, such as %s", what, quote(v), short(least), short(most), example)
		return 0, false
	}
	return d, true
}

// short returns whole hours or minutes without what is zero.
func short(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// instant returns the time that n is: RFC 3339 with a zone, quoted or not.
func (s *source) instant(n *yaml.Node, what string) time.Time {
	if isReported(n) {
		return time.Time{}
	}
	var t time.Time
	isText := isScalar(n) && (n.Tag == "!!str" || n.Tag == "!!timestamp")
	if !isText || t.UnmarshalText([]byte(strings.ToUpper(n.Value))) != nil || t.IsZero() {
		s.err(s.pos(n), `%s is %s; write RFC 3339 with a zone, such as "2026-12-24T18:00:00Z"`, what, shown(n))
		return time.Time{}
	}
	return t
}

// address returns the IPv4 address that n is.
func (s *source) address(n *yaml.Node, what string) (netip.Addr, bool) {
	v, ok := s.text(n, what)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(v)
	switch {
	case err != nil:
		s.err(s.pos(n), "%s is %s, which is no IPv4 address; write it as 10.1.0.200", what, quote(v))
	case a.Is4In6():
		s.err(s.pos(n), "%s is %s, which is IPv4-mapped IPv6; write the IPv4 address", what, quote(v))
	case !a.Is4():
		s.err(s.pos(n), "%s is %s, which is IPv6, and that is refused until dual stack is built; write an IPv4 address", what, quote(v))
	default:
		return a, true
	}
	return netip.Addr{}, false
}

// hostName returns the name of one host that n is, as certificates have it.
func (s *source) hostName(n *yaml.Node, what string) (string, bool) {
	v, ok := s.text(n, what)
	if ok && (v == "" || len(v) > maxGlob || strings.ContainsAny(v, `/*?[]\`) || strings.ContainsFunc(v, unicode.IsSpace)) {
		s.err(s.pos(n), "%s is %s, which is no host's name; write one, without patterns", what, quote(v))
		return "", false
	}
	return v, ok
}

// cidr returns the IPv4 range that n is.
func (s *source) cidr(n *yaml.Node, what string) (netip.Prefix, bool) {
	v, ok := s.text(n, what)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(v)
	a, errAddr := netip.ParseAddr(v)
	if err != nil && errAddr == nil {
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case err != nil && errAddr != nil:
		s.err(s.pos(n), "%s is %s, which is no range of IPv4 addresses; write it as 10.1.0.0/24", what, quote(v))
	case p.Addr().Is4In6():
		s.err(s.pos(n), "%s is %s, which is IPv4-mapped IPv6; write the IPv4 range", what, quote(v))
	case !p.Addr().Is4():
		s.err(s.pos(n), "%s is %s, which is IPv6, and that is refused until dual stack is built; write an IPv4 range", what, quote(v))
	case err != nil:
		s.err(s.pos(n), "%s is %s, which has no length; write %s", what, quote(v), p)
	case p != p.Masked():
		s.err(s.pos(n), "%s is %s, which has host bits; write %s", what, quote(v), p.Masked())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

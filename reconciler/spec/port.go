package spec

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	icmpEcho    = 8 // type of an echo request, RFC 792
	maxICMPType = 255
	maxPort     = 65535

	portRule = "write tcp, udp or sctp, alone or with /N or /N-M from 1 to 65535; or icmp, icmp/echo or icmp/TYPE from 0 to 255"
)

// parsePort returns the PORT that text is.
func parsePort(text string) (Port, bool) {
	proto, numbers, found := strings.Cut(text, "/")
	switch proto {
	case "tcp", "udp", "sctp":
		if !found {
			return Port{proto, 0, maxPort}, true
		}
		first, last, isRange := strings.Cut(numbers, "-")
		if !isRange {
			last = first
		}
		lo, okLo := parseNumber(first, maxPort)
		hi, okHi := parseNumber(last, maxPort)
		return Port{proto, lo, hi}, okLo && okHi && 1 <= lo && lo <= hi
	case "icmp":
		if !found {
			return Port{proto, 0, maxICMPType}, true
		}
		if numbers == "echo" {
			return Port{proto, icmpEcho, icmpEcho}, true
		}
		icmpType, ok := parseNumber(numbers, maxICMPType)
		return Port{proto, icmpType, icmpType}, ok
	}
	return Port{}, false
}

// parseNumber returns the decimal number that text is, without sign or leading
// zero and at most most.
func parseNumber(text string, most uint64) (uint16, bool) {
	if !decimal.MatchString(text) {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n <= most
}

// ports returns the PORTs that n lists. Entries that are wrong are left out.
func (s *source) ports(n *yaml.Node, what string) []Port {
	elements, _ := s.list(n, what)
	var ports []Port
	for _, e := range elements {
		text, ok := s.text(e, what)
		if !ok {
			continue
		}
		port, ok := parsePort(text)
		if !ok {
			s.err(s.pos(e), "%s has %s; %s", what, quote(text), portRule)
			continue
		}
		ports = append(ports, port)
	}
	return ports
}

// String returns p as the YAML writes it.
func (p Port) String() string {
	switch {
	case p.Proto == "icmp" && p.Hi == maxICMPType && p.Lo == 0, p.Lo == 0 && p.Hi == maxPort:
		return p.Proto
	case p.Lo == p.Hi:
		return p.Proto + "/" + strconv.Itoa(int(p.Lo))
	}
	return p.Proto + "/" + strconv.Itoa(int(p.Lo)) + "-" + strconv.Itoa(int(p.Hi))
}

// overlaps reports whether p and q have a port in common.
func (p Port) overlaps(q Port) bool {
	return p.Proto == q.Proto && p.Lo <= q.Hi && q.Lo <= p.Hi
}

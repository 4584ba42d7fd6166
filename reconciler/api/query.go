package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of a question.
const (
	DefaultLimit = 1_000   // sessions in one answer, unless asked for more
	MaxLimit     = 100_000 // and never more than this
	maxNameBytes = 3*63 + 2
	icmpEcho     = 8
)

var protos = []string{"tcp", "udp", "sctp", "icmp"}

// ParseTarget reads what people type for a destination: B:443 (tcp), B:443/udp
// or B:udp/443, B:icmp (echo), B:icmp/TYPE. From stays empty.
func ParseTarget(s string) (Pair, error) {
	name, port, found := cutLast(s, ":")
	if !found || name == "" || port == "" {
		return Pair{}, invalid("write the destination as NAME:PORT, NAME:PORT/udp or NAME:icmp", "no port in %q", s)
	}
	a, b, both := strings.Cut(port, "/")
	proto, number := "tcp", a
	switch {
	case slices.Contains(protos, a):
		proto, number = a, b
	case both:
		proto = b
	}
	q := Pair{To: name, Proto: proto}
	if proto == "icmp" && (number == "" || number == "echo") {
		q.Port = icmpEcho
		return q, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return Pair{}, invalid("write it as 443, 443/udp, udp/53 or icmp", "port %q is neither a number nor a protocol", port)
	}
	q.Port = n
	return q, checkPort(proto, n)
}

// Target writes q's destination as ParseTarget reads it.
func (q Pair) Target() string {
	switch {
	case q.Proto == "icmp" && q.Port == icmpEcho:
		return q.To + ":icmp"
	case q.Proto == "icmp":
		return fmt.Sprintf("%s:icmp/%d", q.To, q.Port)
	}
	return fmt.Sprintf("%s:%d/%s", q.To, q.Port, q.Proto)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (q Pair) values() url.Values {
	v := url.Values{"from": {q.From}, "to": {q.To}, "proto": {q.Proto}, "port": {strconv.Itoa(q.Port)}}
	if q.Revision != "" {
		v.Set("revision", q.Revision)
	}
	return v
}

// parseQuery reads a Pair, and of its optional keys those in more.
func parseQuery(v url.Values, more ...string) (Pair, error) {
	q := Pair{From: v.Get("from"), To: v.Get("to"), Proto: v.Get("proto"), Revision: v.Get("revision")}
	if err := onlyKeys(v, append([]string{"from", "to", "proto", "port"}, more...)...); err != nil {
		return Pair{}, err
	}
	if err := checkName("revision", q.Revision); err != nil {
		return Pair{}, err
	}
	for _, end := range []struct{ key, name string }{{"from", q.From}, {"to", q.To}} {
		if err := checkName(end.key, end.name); err != nil {
			return Pair{}, err
		}
		if end.name == "" {
			return Pair{}, invalid("give from, to, proto and port", "%s is missing", end.key)
		}
	}
	var err error
	if q.Port, err = number(v, "port"); err != nil {
		return Pair{}, err
	}
	return q, checkPort(q.Proto, q.Port)
}

func (f SessionFilter) values() url.Values {
	v := url.Values{}
	for key, s := range map[string]string{"vpc": f.VPC, "endpoint": f.Endpoint, "host": f.Host, "proto": f.Proto} {
		if s != "" {
			v.Set(key, s)
		}
	}
	for key, n := range map[string]int{"port": f.Port, "limit": f.Limit} {
		if n != 0 {
			v.Set(key, strconv.Itoa(n))
		}
	}
	return v
}

func parseFilter(v url.Values) (SessionFilter, error) {
	f := SessionFilter{VPC: v.Get("vpc"), Endpoint: v.Get("endpoint"), Host: v.Get("host"), Proto: v.Get("proto")}
	if err := onlyKeys(v, "vpc", "endpoint", "host", "proto", "port", "limit"); err != nil {
		return f, err
	}
	for _, key := range []string{"vpc", "endpoint", "host"} {
		if err := checkName(key, v.Get(key)); err != nil {
			return f, err
		}
	}
	if f.Proto != "" && !slices.Contains(protos, f.Proto) {
		return f, unknownProto(f.Proto)
	}
	var err error
	if f.Port, err = number(v, "port"); err != nil {
		return f, err
	}
	if f.Port < 0 || f.Port > 65535 {
		return f, invalid("ports go from 0 to 65535", "port %d is out of range", f.Port)
	}
	if f.Limit, err = number(v, "limit"); err != nil {
		return f, err
	}
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	if f.Limit < 1 || f.Limit > MaxLimit {
		return f, invalid(fmt.Sprintf("ask for 1 to %d", MaxLimit), "limit %d is out of range", f.Limit)
	}
	return f, nil
}

// onlyKeys refuses what it doesn't know, so that a misspelt filter never
// answers as if it were not there.
func onlyKeys(v url.Values, known ...string) error {
	for key, values := range v {
		if !slices.Contains(known, key) {
			return invalid("the parameters are "+strings.Join(known, ", "), "unknown parameter %q", key)
		}
		if len(values) > 1 {
			return invalid("give it once", "parameter %q stands there %d times", key, len(values))
		}
	}
	return nil
}

func checkName(key, name string) error {
	if len(name) > maxNameBytes {
		return invalid("names have at most 63 bytes a part", "%s is too long", key)
	}
	return nil
}

func checkPort(proto string, port int) error {
	low, high := 1, 65535
	switch {
	case !slices.Contains(protos, proto):
		return unknownProto(proto)
	case proto == "icmp":
		low, high = 0, 255
	}
	if port < low || port > high {
		return invalid(fmt.Sprintf("for %s give %d to %d", proto, low, high), "port %d is out of range", port)
	}
	return nil
}

func number(v url.Values, key string) (int, error) {
	text := v.Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid("give a decimal number", "%s %q is no number", key, text)
	}
	return n, nil
}

func unknownProto(proto string) error {
	return invalid("use one of "+strings.Join(protos, ", "), "unknown protocol %q", proto)
}

func invalid(hint, format string, args ...any) error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...), Hint: hint}
}

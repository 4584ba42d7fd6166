package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// tcpFlags are the names of TCP flags, in the order in which they are written.
var tcpFlags = []struct {
	bit  uint8
	name string
}{{packet.SYN, "syn"}, {packet.FIN, "fin"}, {packet.RST, "rst"}, {packet.PSH, "psh"}, {packet.ACK, "ack"}}

// parseFlags reads syn-ack and the like.
func parseFlags(s string) (uint8, bool) {
	var flags uint8
	for _, name := range strings.Split(s, "-") {
		found := false
		for _, f := range tcpFlags {
			if f.name == name {
				flags, found = flags|f.bit, true
			}
		}
		if !found {
			return 0, false
		}
	}
	return flags, true
}

// parseOptions reads what follows a frame's addresses; flags nil: it has none.
func parseOptions(args []string, o *FrameOptions, flags *uint8) error {
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			f, good := parseFlags(a)
			if !good || flags == nil {
				return fmt.Errorf("unknown option %q", a)
			}
			*flags |= f
			continue
		}
		if err := o.parse(key, value); err != nil {
			return fmt.Errorf("option %q: %w", a, err)
		}
	}
	return nil
}

func (o *FrameOptions) parse(key, value string) (err error) {
	switch key {
	case "ttl":
		o.TTL, err = parse8(value)
	case "code":
		o.Code, err = parse8(value)
	case "vlan":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 12)
		o.VLAN = packet.VLANPresent | uint16(n)
	case "src":
		o.Src, err = netip.ParseAddr(value)
	case "smac":
		o.SrcMAC, err = parseMAC(value)
	case "data":
		o.Data = value
	case "size":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 16)
		o.Data = strings.Repeat("x", int(n))
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func parse8(s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err
}

func parseMAC(s string) (*packet.MAC, error) {
	var m packet.MAC
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return nil, fmt.Errorf("%q is no hardware address", s)
	}
	for i, p := range parts {
		b, err := strconv.ParseUint(p, 16, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is no hardware address", s)
		}
		m[i] = byte(b)
	}
	return &m, nil
}

func parseARP(args []string) (Step, error) {
	from, to, args, err := ends(args)
	if err != nil {
		return nil, err
	}
	a := ARP{From: from}
	if a.Target, err = netip.ParseAddr(to); err != nil {
		return nil, err
	}
	var rest []string
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "reply":
			a.Reply = true
		case "spa":
			a.Sender, err = netip.ParseAddr(value)
		case "sha":
			a.SenderMAC, err = parseMAC(value)
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	err = parseOptions(rest, &a.Frame, nil)
	return a, err
}

func parseConnect(args []string, defaultPort uint16) (Step, error) {
	from, to, args, err := ends(args)
	if err != nil || len(args) < 1 || len(args) > 3 {
		return nil, errUsage("connect FROM > TO PORT [from=SPORT] [keep]")
	}
	c := Connect{From: from, To: to, SrcPort: defaultPort}
	if c.Port, err = parsePort(args[0]); err != nil {
		return nil, err
	}
	for _, a := range args[1:] {
		port, ok := strings.CutPrefix(a, "from=")
		switch {
		case a == "keep":
			c.Keep = true
		case !ok:
			return nil, fmt.Errorf("unknown option %q", a)
		default:
			if c.SrcPort, err = parsePort(port); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func parseMTU(args []string) (Step, error) {
	if len(args) != 2 {
		return nil, errUsage("mtu HOST BYTES")
	}
	n, err := strconv.ParseUint(args[1], 10, 16)
	return MTU{args[0], int(n)}, err
}

func parseICMPError(args []string) (Step, error) {
	from, to, args, err := ends(args)
	if err != nil || len(args) < 6 || args[1] != "about" || args[4] != ">" {
		return nil, errUsage("error FROM > TO TYPE/CODE about tcp|udp IP:PORT > IP:PORT [mtu=N] [cut]")
	}
	e := ICMPError{From: from, To: to}
	typ, code, _ := strings.Cut(args[0], "/")
	if e.Type, err = parse8(typ); err != nil {
		return nil, err
	}
	if e.Code, err = parse8(code); err != nil {
		return nil, err
	}
	if e.Proto, err = parseProto(args[2]); err != nil {
		return nil, err
	}
	if e.Src, err = netip.ParseAddrPort(args[3]); err != nil {
		return nil, err
	}
	if e.Dst, err = netip.ParseAddrPort(args[5]); err != nil {
		return nil, err
	}
	for _, a := range args[6:] {
		mtu, ok := strings.CutPrefix(a, "mtu=")
		switch {
		case a == "cut":
			e.Cut = true
		case !ok:
			return nil, fmt.Errorf("unknown option %q", a)
		default:
			if e.MTU, err = parsePort(mtu); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

// edit makes a step of a file's next section.
func (p *parser) edit(args []string, remove bool) (Step, error) {
	if len(args) != 1 {
		return nil, errUsage("one file")
	}
	name := args[0]
	if remove {
		return Edit{File: name, Remove: true}, nil
	}
	if len(p.edits[name]) == 0 {
		return nil, fmt.Errorf("no section %q is left", name)
	}
	data := p.edits[name][0]
	p.edits[name] = p.edits[name][1:]
	return Edit{File: name, Data: data}, nil
}

func parseExpect(args []string) (Step, error) {
	if len(args) == 0 {
		return nil, errUsage("expect OUTCOME")
	}
	e := Expect{Outcome: Outcome(args[0])}
	switch e.Outcome {
	case OutcomeDelivered, OutcomeOnly:
		if len(args) != 2 {
			return nil, errUsage("expect " + args[0] + " NAME")
		}
		e.At = args[1]
		return e, nil
	case OutcomeRST, OutcomeICMP, OutcomeNothing, OutcomeConnected, OutcomeRefused, OutcomeUnreachable, OutcomeNoAnswer:
		if len(args) == 1 {
			return e, nil
		}
	}
	return nil, fmt.Errorf("unknown outcome %q", strings.Join(args, " "))
}

package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Scenario is a parsed script.
type Scenario struct {
	Comment string // what stands before the first section
	Files   []File // of the first revision
	Steps   []Line
	Want    string // the transcript as it should be
}

// File is one file of a revision: specs/... or policies/...
type File struct {
	Name string
	Data []byte
}

// Line is one step and where it stands.
type Line struct {
	No   int    // in the section steps, from 1
	Text string // as written
	Step Step
}

// sections of the archive that are no files of a revision.
const (
	sectionSteps = "steps"
	sectionWant  = "want"
)

// Parse reads an archive. Errors begin with the line of the section steps.
func Parse(archive []byte) (*Scenario, error) {
	a := txtar.Parse(archive)
	p := parser{edits: map[string][][]byte{}}
	s := &Scenario{Comment: string(a.Comment)}
	var steps string
	for _, f := range a.Files {
		switch {
		case f.Name == sectionSteps:
			steps = string(f.Data)
		case f.Name == sectionWant:
			s.Want = string(f.Data)
		case !strings.HasPrefix(f.Name, "specs/") && !strings.HasPrefix(f.Name, "policies/"):
			return nil, fmt.Errorf("section %q is neither steps nor want, nor in specs or policies", f.Name)
		default:
			p.section(s, f)
		}
	}
	for i, line := range strings.Split(steps, "\n") {
		line, _, _ = strings.Cut(line, "#")
		for _, text := range strings.Split(line, ";") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			step, err := p.step(strings.Fields(text))
			if err != nil {
				return nil, fmt.Errorf("steps:%d: %s: %w", i+1, text, err)
			}
			s.Steps = append(s.Steps, Line{i + 1, text, step})
		}
	}
	for name, left := range p.edits {
		if len(left) > 0 {
			return nil, fmt.Errorf("section %q is in no edit step", name)
		}
	}
	return s, nil
}

// WithWant returns the archive with another transcript.
func WithWant(archive []byte, want string) []byte {
	a := txtar.Parse(archive)
	for i := range a.Files {
		if a.Files[i].Name == sectionWant {
			a.Files[i].Data = []byte(want)
			return txtar.Format(a)
		}
	}
	a.Files = append(a.Files, txtar.File{Name: sectionWant, Data: []byte(want)})
	return txtar.Format(a)
}

// parser keeps what later steps need.
type parser struct {
	edits    map[string][][]byte // by file: contents that edit steps will give it
	connects uint16
}

// section takes a file's first section as of the first revision unless it is
// empty, and the others as edits.
func (p *parser) section(s *Scenario, f txtar.File) {
	if _, again := p.edits[f.Name]; again {
		p.edits[f.Name] = append(p.edits[f.Name], f.Data)
		return
	}
	p.edits[f.Name] = nil
	if len(f.Data) > 0 {
		s.Files = append(s.Files, File{f.Name, f.Data})
	}
}

// firstConnectPort is the client's port of the first connect step without one.
const firstConnectPort = 50000

func (p *parser) step(w []string) (Step, error) {
	switch verb, args := w[0], w[1:]; verb {
	case "host":
		return parseHost(args)
	case "endpoint":
		return parseEndpoint(args)
	case "outside":
		return parseOutside(args)
	case "listen":
		return parseListen(args)
	case "packet":
		return parsePacket(args)
	case "ping":
		return parsePing(args)
	case "error":
		return parseICMPError(args)
	case "arp":
		return parseARP(args)
	case "mtu":
		return parseMTU(args)
	case "connect":
		p.connects++
		return parseConnect(args, firstConnectPort-1+p.connects)
	case "edit", "remove":
		return p.edit(args, verb == "remove")
	case "tick":
		return parseTick(args)
	case "detach":
		return one(args, func(s string) Step { return Detach{s} })
	case "restart":
		return one(args, func(s string) Step { return Restart{s} })
	case "move":
		if len(args) != 2 {
			return nil, errUsage("move NAME HOST")
		}
		return Move{args[0], args[1]}, nil
	case "expect":
		return parseExpect(args)
	}
	return nil, fmt.Errorf("unknown step %q", w[0])
}

func errUsage(usage string) error { return fmt.Errorf("want %s", usage) }

func one(args []string, make func(string) Step) (Step, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one name")
	}
	return make(args[0]), nil
}

func parseHost(args []string) (Step, error) {
	if len(args) != 2 {
		return nil, errUsage("host NAME ADDR/LEN")
	}
	addr, err := netip.ParsePrefix(args[1])
	return Host{args[0], addr}, err
}

func parseEndpoint(args []string) (Step, error) {
	if len(args) < 3 || strings.Count(args[2], "/") != 2 {
		return nil, errUsage("endpoint NAME HOST TENANT/VPC/SUBNET ...")
	}
	at := strings.Split(args[2], "/")
	e := Endpoint{Name: args[0], Host: args[1], Tenant: at[0], VPC: at[1], Subnet: at[2]}
	for _, a := range args[3:] {
		switch key, value, ok := strings.Cut(a, "="); {
		case !ok:
			ip, err := netip.ParseAddr(a)
			if err != nil {
				return nil, err
			}
			e.IP = ip
		case key == "group":
			e.Groups = strings.Split(value, ",")
		case key == "label":
			if e.Labels == nil {
				e.Labels = map[string]string{}
			}
			k, v, _ := strings.Cut(value, "=")
			e.Labels[k] = v
		default:
			return nil, fmt.Errorf("unknown option %q", a)
		}
	}
	return e, nil
}

func parseOutside(args []string) (Step, error) {
	if len(args) != 2 {
		return nil, errUsage("outside NAME IP")
	}
	ip, err := netip.ParseAddr(args[1])
	return Outside{args[0], ip}, err
}

func parseListen(args []string) (Step, error) {
	if len(args) != 3 {
		return nil, errUsage("listen NAME tcp|udp PORT")
	}
	proto, err := parseProto(args[1])
	if err != nil {
		return nil, err
	}
	port, err := parsePort(args[2])
	return Listen{args[0], proto, port}, err
}

func parseProto(s string) (packet.Proto, error) {
	switch s {
	case "tcp":
		return packet.TCP, nil
	case "udp":
		return packet.UDP, nil
	}
	return 0, fmt.Errorf("unknown protocol %q", s)
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// ends cuts "FROM > TO" off args.
func ends(args []string) (from, to string, rest []string, err error) {
	if len(args) < 3 || args[1] != ">" {
		return "", "", nil, errUsage("FROM > TO")
	}
	return args[0], args[2], args[3:], nil
}

func parsePacket(args []string) (Step, error) {
	from, to, args, err := ends(args)
	if err != nil {
		return nil, err
	}
	p := Packet{From: from, To: to}
	switch {
	case len(args) >= 2 && args[0] == "proto":
		n, err := strconv.ParseUint(args[1], 10, 8)
		if err != nil {
			return nil, err
		}
		p.Proto, args = packet.Proto(n), args[2:]
	case len(args) >= 4 && args[2] == ">":
		if p.Proto, err = parseProto(args[0]); err != nil {
			return nil, err
		}
		if p.SrcPort, err = parsePort(args[1]); err != nil {
			return nil, err
		}
		if p.DstPort, err = parsePort(args[3]); err != nil {
			return nil, err
		}
		args = args[4:]
	default:
		return nil, errUsage("packet FROM > TO tcp|udp SPORT > DPORT ... or packet FROM > TO proto N ...")
	}
	err = parseOptions(args, &p.Frame, &p.Flags)
	return p, err
}

func parsePing(args []string) (Step, error) {
	from, to, args, err := ends(args)
	if err != nil {
		return nil, err
	}
	p := Packet{From: from, To: to, Proto: packet.ICMP, ICMPType: 8}
	err = parseOptions(args, &p.Frame, nil)
	return p, err
}

func parseTick(args []string) (Step, error) {
	if len(args) != 1 {
		return nil, errUsage("tick DURATION")
	}
	d, err := time.ParseDuration(args[0])
	return Tick{d}, err
}

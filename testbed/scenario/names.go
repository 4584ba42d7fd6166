package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// Namer writes flows with names where a run's own numbers stand: ports by what
// is behind them, tables and hardware addresses by name, and no cookies. So
// flows of different runs, and of different Networks, can be compared.
type Namer struct {
	ports map[string]map[openflow.PortNo]string // by host
	macs  map[string]string
}

// NewNamer returns a Namer that knows the gateway of all endpoints.
func NewNamer() *Namer {
	n := &Namer{ports: map[string]map[openflow.PortNo]string{}, macs: map[string]string{}}
	n.MAC(packet.MAC(pipeline.GatewayMAC), "gateway")
	return n
}

// Port names a port of a host.
func (n *Namer) Port(host string, p openflow.PortNo, name string) {
	if n.ports[host] == nil {
		n.ports[host] = map[openflow.PortNo]string{}
	}
	n.ports[host][p] = name
}

// MAC names a hardware address.
func (n *Namer) MAC(m packet.MAC, name string) { n.macs[macText(m)] = name }

// PortName returns the name of a host's port, or its number.
func (n *Namer) PortName(host string, p openflow.PortNo) string {
	if name := n.ports[host][p]; name != "" {
		return name
	}
	return p.String()
}

var (
	cookieText = regexp.MustCompile(`,?cookie=0x[0-9a-f]+`)
	tableText  = regexp.MustCompile(`\b(table=|goto_table:)(\d+)`)
	portText   = regexp.MustCompile(`\b(in_port=|output:)(\d+)`)
	macsText   = regexp.MustCompile(`\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b`)
)

// Flow returns the text of a host's flow, in ovs-ofctl's syntax, with names.
func (n *Namer) Flow(host, text string) string {
	text = cookieText.ReplaceAllString(text, "")
	text = tableText.ReplaceAllStringFunc(text, func(s string) string { return named(tableText, s, tableName) })
	text = portText.ReplaceAllStringFunc(text, func(s string) string {
		return named(portText, s, func(no uint64) string { return n.PortName(host, openflow.PortNo(no)) })
	})
	return macsText.ReplaceAllStringFunc(text, func(s string) string {
		if name := n.macs[s]; name != "" {
			return "mac(" + name + ")"
		}
		return s
	})
}

// named replaces the number in s, a match of re.
func named(re *regexp.Regexp, s string, name func(uint64) string) string {
	m := re.FindStringSubmatch(s)
	no, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil {
		return s
	}
	return m[1] + name(no)
}

func tableName(no uint64) string {
	switch openflow.TableID(no) {
	case pipeline.TableClassify:
		return "classify"
	case pipeline.TableOpener:
		return "opener"
	case pipeline.TableSession:
		return "session"
	case pipeline.TableMiss:
		return "miss"
	}
	return strconv.FormatUint(no, 10)
}

// diff returns the lines that came and went between two canonical lists of a
// host's flows.
func diff(host string, old, new []string) []string {
	left := map[string]int{}
	for _, l := range old {
		left[l]++
	}
	var came, went []string
	for _, l := range new {
		if left[l] > 0 {
			left[l]--
			continue
		}
		came = append(came, fmt.Sprintf("+ %s %s", host, l))
	}
	for _, l := range old {
		if left[l] > 0 {
			left[l]--
			went = append(went, fmt.Sprintf("- %s %s", host, l))
		}
	}
	return append(went, came...)
}

// Detail says how much of a transcript is compared.
type Detail uint8

// Details, from the least to all.
const (
	Outcomes Detail = iota // steps, where frames arrived, what became of connections, revisions
	Flows                  // also the flows that came and went
	All                    // also what only Sim can tell
)

// Filter returns the lines of a transcript that belong to a detail.
func Filter(transcript string, d Detail) string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(transcript, "\n") {
		if detailOf(line) <= d {
			b.WriteString(line)
		}
	}
	return b.String()
}

// detailOf returns the least detail that a line belongs to.
func detailOf(line string) Detail {
	text, indented := strings.CutPrefix(line, "  ")
	if !indented {
		return Outcomes
	}
	switch word, _, _ := strings.Cut(strings.TrimSpace(text), " "); word {
	case "+", "-":
		return Flows
	case "delivered", "local", "outcome", "revision", "refused":
		return Outcomes
	}
	return All
}

// Package decisionlog writes what admission decided, one JSON object a line, and
// reads it again. Whoever decides only queues: a goroutine of its own encodes and
// writes, and what a full queue or a failing disk leaves out is counted, in the log
// itself.
package decisionlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Side is one end of what was decided, as far as it was known.
type Side struct {
	VPC    string            `json:"vpc,omitempty"` // TENANT/NAME
	Subnet string            `json:"subnet,omitempty"`
	Name   string            `json:"name,omitempty"`
	Groups []string          `json:"groups,omitempty"` // sorted
	Labels map[string]string `json:"labels,omitempty"` // as declared
	Host   string            `json:"host,omitempty"`
	IP     netip.Addr        `json:"ip,omitzero"`
}

// Record is one line: a decision, or, with LeftOut, how many are missing here.
type Record struct {
	Time     time.Time `json:"time"`
	Revision string    `json:"revision,omitempty"` // that decided; from git: the commit
	Switch   string    `json:"switch,omitempty"`   // datapath id that lifted the packet, 16 hex digits; "" for an allow
	InPort   uint32    `json:"in_port,omitempty"`
	Src      Side      `json:"src,omitzero"` // who opens the session, not always who sent the packet
	Dst      Side      `json:"dst,omitzero"`
	Proto    string    `json:"proto,omitempty"` // tcp, udp, icmp or a number
	Port     uint16    `json:"port"`            // the server's; for ICMP the type
	Verdict  string    `json:"verdict,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	At       string    `json:"at,omitempty"`      // FILE:LINE of the rule
	Session  string    `json:"session,omitempty"` // cookie, 0x and hex digits
	LeftOut  uint64    `json:"left_out,omitempty"`
}

// Entry is a decision as it is queued: by value, and what it points to is immutable.
type Entry struct {
	Time           time.Time
	DPID           uint64 // 0: of several switches, see the hosts
	InPort         uint32
	Client, Server *inventory.Endpoint // nil: unknown, or no endpoint
	Src, Dst       netip.Addr          // of the packet; for an end that is nil
	Proto          packet.Proto
	Port           uint16
	Decision       policy.Decision
	Session        uint64 // 0: none was opened
}

// record is the line of e.
func (e *Entry) record() Record {
	d := &e.Decision
	r := Record{
		Time: e.Time, Revision: d.Revision, InPort: e.InPort, Src: side(e.Client, e.Src), Dst: side(e.Server, e.Dst),
		Proto: e.Proto.String(), Port: e.Port, Verdict: d.Verdict.String(), Reason: string(d.Reason), Rule: d.Rule,
	}
	if d.At.File != "" {
		r.At = d.At.String()
	}
	if e.DPID != 0 {
		r.Switch = fmt.Sprintf("%016x", e.DPID)
	}
	if e.Session != 0 {
		r.Session = fmt.Sprintf("%#x", e.Session)
	}
	return r
}

func side(ep *inventory.Endpoint, seen netip.Addr) Side {
	if ep == nil {
		return Side{IP: seen}
	}
	s := Side{VPC: string(ep.VPC), Name: ep.Name, IP: ep.IP}
	if ep.Host != nil {
		s.Host = ep.Host.Name
	}
	if id := ep.Identity; id != nil {
		s.Subnet, s.Groups, s.Labels = id.Subnet, id.Groups, id.Labels
	}
	return s
}

// Parse reads one line. It refuses what is no record as a whole: unknown fields,
// more than one object, no time, or neither a verdict that is known nor left_out.
func Parse(line []byte) (Record, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("read record: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("more follows the record on its line")
	}
	if r.Time.IsZero() {
		return Record{}, errors.New("record has no time")
	}
	switch r.Verdict {
	case "allow", "drop", "reject":
	default:
		if r.LeftOut == 0 {
			return Record{}, fmt.Errorf("verdict %q is none of allow, drop and reject", r.Verdict)
		}
	}
	return r, nil
}

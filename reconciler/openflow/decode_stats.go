package openflow

import "fmt"

// MultipartType says what a multipart message is about (OpenFlow 1.3.5, enum
// ofp_multipart_type).
type MultipartType uint16

// Multipart types that DaoliNet asks for.
const (
	MultipartFlow     MultipartType = 1
	MultipartPortDesc MultipartType = 13
)

const (
	multipartHeaderLen = 16
	replyMore          = 1  // OFPMPF_REPLY_MORE
	flowStatsLen       = 48 // of an ofp_flow_stats up to its match
)

// DecodeMultipart returns the type of an OFPT_MULTIPART_REPLY, and whether more
// replies with its xid follow.
func DecodeMultipart(b []byte) (t MultipartType, more bool, err error) {
	if len(b) < multipartHeaderLen {
		return 0, false, errShort("multipart reply", b, multipartHeaderLen)
	}
	return MultipartType(be.Uint16(b[8:])), be.Uint16(b[10:])&replyMore != 0, nil
}

// AppendFlowStats appends the flow entries of an OFPT_MULTIPART_REPLY of type
// MultipartFlow to dst. With an error it returns dst as it was. What an entry has
// beyond a FlowStats is left out and no error; only lengths that don't fit are.
func AppendFlowStats(dst []FlowStats, b []byte) ([]FlowStats, error) {
	if len(b) < multipartHeaderLen {
		return dst, errShort("flow statistics", b, multipartHeaderLen)
	}
	all := dst
	for b = b[multipartHeaderLen:]; len(b) > 0; {
		if len(b) < flowStatsLen {
			return dst, errShort("flow statistics", b, flowStatsLen)
		}
		n := int(be.Uint16(b))
		if n < flowStatsLen || n > len(b) {
			return dst, fmt.Errorf("decode flow statistics: entry of %d bytes in %d", n, len(b))
		}
		all = append(all, FlowStats{})
		if err := all[len(all)-1].decode(b[:n]); err != nil {
			return dst, fmt.Errorf("decode flow statistics: %w", err)
		}
		b = b[n:]
	}
	return all, nil
}

// decode decodes the entry b to s, which is zero: a Flow is large, and thousands
// of them are not copied.
func (s *FlowStats) decode(b []byte) error {
	m, known, instructions, ok := DecodeMatch(b[flowStatsLen:])
	if !ok {
		return fmt.Errorf("match does not fit into its entry")
	}
	whole, ok := s.decodeInstructions(instructions)
	if !ok {
		return fmt.Errorf("instructions do not fit into their entry")
	}
	s.Table = TableID(b[2])
	s.DurationSec = be.Uint32(b[4:])
	s.Priority = be.Uint16(b[12:])
	s.IdleTimeout = be.Uint16(b[14:])
	s.HardTimeout = be.Uint16(b[16:])
	flags := be.Uint16(b[18:])
	s.Cookie = be.Uint64(b[24:])
	s.Packets = be.Uint64(b[32:])
	s.Bytes = be.Uint64(b[40:])
	s.Match = m
	s.Known = known
	s.Whole = known && whole && flags == 0 // Flow has no flags
	return nil
}

// AppendPorts appends the ports of an OFPT_MULTIPART_REPLY of type
// MultipartPortDesc to dst. With an error it returns dst as it was.
func AppendPorts(dst []Port, b []byte) ([]Port, error) {
	if len(b) < multipartHeaderLen {
		return dst, errShort("port description", b, multipartHeaderLen)
	}
	b = b[multipartHeaderLen:]
	if len(b)%portLen != 0 {
		return dst, fmt.Errorf("decode port description: %d bytes are not a number of ports", len(b))
	}
	for ; len(b) > 0; b = b[portLen:] {
		dst = append(dst, decodePort(b))
	}
	return dst, nil
}

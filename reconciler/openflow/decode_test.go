package openflow_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// message builds a message of the given type from hexadecimal.
func message(t testing.TB, typ of.MessageType, body ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(body, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte{of.Version, byte(typ), 0, 0, 0, 0, 0, 9}, b...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// packetIn builds an OFPT_PACKET_IN as OVS sends it.
func packetIn(frame []byte) []byte {
	b := []byte{of.Version, byte(of.TypePacketIn), 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}
	b = binary.BigEndian.AppendUint16(b, uint16(len(frame)))
	b = append(b, byte(of.ReasonAction), 3)
	b = binary.BigEndian.AppendUint64(b, cookie)
	b = append(b, 0, 1, 0, 24) // match: in_port, metadata
	b = append(b, 0x80, 0, 0, 4, 0, 0, 0, 16)
	b = append(b, 0x80, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1)
	b = append(b, 0, 0)
	b = append(b, frame...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func TestDecodePacketIn(t *testing.T) {
	frame := []byte("a frame of some bytes")
	got, err := of.DecodePacketIn(packetIn(frame))
	if err != nil {
		t.Fatal(err)
	}
	want := of.PacketIn{InPort: 16, Table: 3, Cookie: cookie, Reason: of.ReasonAction, Metadata: 1, Frame: frame}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DecodePacketIn (-want +got):\n%s", diff)
	}
}

func TestDecodePacketInRefusesWhatDoesNotFit(t *testing.T) {
	whole := packetIn([]byte("frame"))
	for n := range len(whole) {
		if _, err := of.DecodePacketIn(whole[:n]); err == nil {
			t.Errorf("DecodePacketIn of the first %d of %d bytes succeeded", n, len(whole))
		}
	}
	for _, c := range []struct {
		name string
		at   int
		with []byte
	}{
		{"packet longer than the message", 12, []byte{0, 6}},
		{"match of no known type", 24, []byte{0, 0}},
		{"match shorter than its header", 26, []byte{0, 3}},
		{"match longer than the message", 26, []byte{0, 200}},
		{"field longer than the match", 31, []byte{0xff}},
	} {
		b := bytes.Clone(whole)
		copy(b[c.at:], c.with)
		if p, err := of.DecodePacketIn(b); err == nil {
			t.Errorf("%s: DecodePacketIn = %+v; want an error", c.name, p)
		}
	}
}

func TestParseHeaderRefusesWhatCannotBeFramed(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"hello of a newer version", []byte{6, 0, 0, 16, 0, 0, 0, 1}, true},
		{"hello of an older version", []byte{1, 0, 0, 8, 0, 0, 0, 1}, true},
		{"barrier reply", []byte{4, 21, 0, 8, 0, 0, 0, 1}, true},
		{"other version", []byte{1, 21, 0, 8, 0, 0, 0, 1}, false},
		{"length 7", []byte{4, 21, 0, 7, 0, 0, 0, 1}, false},
		{"length 0", []byte{4, 21, 0, 0, 0, 0, 0, 1}, false},
		{"short", []byte{4, 21, 0, 8}, false},
		{"empty", nil, false},
	} {
		if h, err := of.ParseHeader(c.b); (err == nil) != c.ok {
			t.Errorf("%s: ParseHeader(%x) = %+v, %v; want success %v", c.name, c.b, h, err, c.ok)
		}
	}
}

func TestDecodeHelloLooksForVersion13(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"1.3 only", []byte{4, 0, 0, 8, 0, 0, 0, 1}, true},
		{"1.0", []byte{1, 0, 0, 8, 0, 0, 0, 1}, false},
		{"1.5 without a bitmap", []byte{6, 0, 0, 8, 0, 0, 0, 1}, true},
		{"1.5 and 1.3", []byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x50}, true},
		{"1.5 and 1.4", []byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x60}, false},
		{"bitmap behind an unknown element", []byte{6, 0, 0, 24, 0, 0, 0, 1, 0, 9, 0, 5, 1, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0x10}, true},
	} {
		got, err := of.DecodeHello(c.b)
		if got != c.want || err != nil {
			t.Errorf("%s: DecodeHello = %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	if _, err := of.DecodeHello([]byte{4, 0, 0, 12, 0, 0, 0, 1, 0, 9, 0, 0}); err == nil {
		t.Error("DecodeHello accepted an element of length 0")
	}
}

func TestDecodeFlowRemoved(t *testing.T) {
	b := message(t, of.TypeFlowRemoved, "0310000a00000007 00c8 01 02 00000004 00000000 0000 000a",
		"0000000000000005 00000000000001f4 0001000400000000")
	got, err := of.DecodeFlowRemoved(b)
	want := of.FlowRemoved{Table: 2, Priority: 200, Cookie: cookie, Reason: of.RemovedHard, Packets: 5, Bytes: 500}
	if err != nil || got != want {
		t.Errorf("DecodeFlowRemoved = %+v, %v; want %+v", got, err, want)
	}
}

func TestDecodeRole(t *testing.T) {
	role, generation, err := of.DecodeRole(message(t, of.TypeRoleReply, "00000002 00000000 0102030405060708"))
	if role != of.RoleMaster || generation != 0x0102030405060708 || err != nil {
		t.Errorf("DecodeRole = %v, %#x, %v; want master, 0x102030405060708", role, generation, err)
	}
}

func TestDecodeFeatures(t *testing.T) {
	b := message(t, of.TypeFeaturesReply, "0000525400000001 00000000 fe 00 0000 0000004f 00000000")
	got, err := of.DecodeFeatures(b)
	if want := (of.Features{DPID: 0x525400000001, Tables: 254}); got != want || err != nil {
		t.Errorf("DecodeFeatures = %+v, %v; want %+v", got, err, want)
	}
}

// portBytes are a struct ofp_port: port 16, 02:00:00:00:01:0b, "veth16".
const portBytes = "00000010 00000000 02000000010b 0000 76657468313600000000000000000000" +
	"00000000 00000004 00000000 00000000 00000000 00000000 00000000 00000000"

func TestDecodePorts(t *testing.T) {
	want := of.Port{No: 16, MAC: c1MAC, Name: "veth16"}
	status, err := of.DecodePortStatus(message(t, of.TypePortStatus, "02 00000000000000", portBytes))
	if (status != of.PortStatus{Reason: of.PortModified, Port: want}) || err != nil {
		t.Errorf("DecodePortStatus = %+v, %v; want port %+v modified", status, err, want)
	}
	ports, err := of.AppendPorts(nil, message(t, of.TypeMultipartReply, "000d 0000 00000000", portBytes, portBytes))
	if diff := cmp.Diff([]of.Port{want, want}, ports); diff != "" || err != nil {
		t.Errorf("AppendPorts: %v (-want +got):\n%s", err, diff)
	}
	if _, err := of.AppendPorts(nil, message(t, of.TypeMultipartReply, "000d 0000 00000000", portBytes, "00")); err == nil {
		t.Error("AppendPorts accepted a port that is cut off")
	}
}

func TestDecodeErrorNamesTheError(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"000c 0001 041d0020", "OFPMMFC_METER_EXISTS"},
		{"0004 0009", "OFPBMC_BAD_PREREQ"},
		{"0001 000a", "OFPBRC_IS_SLAVE"},
		{"0002 0009", "OFPBAC_BAD_OUT_GROUP"},
		{"000b 0000", "OFPRRFC_STALE"},
		{"0005 0063", "OFPET_FLOW_MOD_FAILED/99"},
		{"0063 0001", "error 99/1"},
		{"ffff 08fe 00002320 0102", "experimenter error 0x2320/2302"},
		{"0000 0000 6e6f", `OFPHFC_INCOMPATIBLE: "no"`},
	} {
		e, err := of.DecodeError(message(t, of.TypeError, c.body))
		if err != nil || e.Error() != c.want || e.Xid != 9 {
			t.Errorf("DecodeError(%s) = %+v, %v; want %s", c.body, e, err, c.want)
		}
	}
	for _, short := range []string{"", "0004", "000400"} {
		if e, err := of.DecodeError(message(t, of.TypeError, short)); err == nil {
			t.Errorf("DecodeError(%q) = %+v; want an error", short, e)
		}
	}
}

func TestOnlyAKnownMeterIsAnExpectedError(t *testing.T) {
	for code, want := range map[uint16]bool{1: true, 2: false, 3: false} {
		if got := (&of.ErrorMessage{Type: 12, Code: code}).Expected(); got != want {
			t.Errorf("meter error %d: Expected() = %v; want %v", code, got, want)
		}
	}
	wrapped := errors.Join(&of.ErrorMessage{Type: 4, Code: 9})
	var e *of.ErrorMessage
	if !errors.As(wrapped, &e) || e.Expected() {
		t.Errorf("errors.As(%v) = %+v", wrapped, e)
	}
}

// flowStats builds an OFPT_MULTIPART_REPLY with an entry for each match.
func flowStats(flags uint16, matches ...[]byte) []byte {
	b := []byte{of.Version, byte(of.TypeMultipartReply), 0, 0, 0, 0, 0, 9, 0, 1, byte(flags >> 8), byte(flags), 0, 0, 0, 0}
	for _, m := range matches {
		instructions := []byte{0, 1, 0, 8, 2, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, uint16(48+len(m)+len(instructions)))
		b = append(b, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 201, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint64(b, cookie)
		b = binary.BigEndian.AppendUint64(b, 5)
		b = binary.BigEndian.AppendUint64(b, 500)
		b = append(append(b, m...), instructions...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// matchOf returns the bytes of m's ofp_match, out of a FlowMod.
func matchOf(m of.Match) []byte {
	mod := of.FlowMod{Command: of.FlowDeleteStrict, Flow: of.Flow{Match: m}}
	return of.AppendFlowMod(nil, 0, &mod)[48:]
}

func TestDecodeMatchKnowsWhatItCannotHold(t *testing.T) {
	for _, c := range []struct {
		name, fields string
		known        bool
	}{
		{"nothing", "", true},
		{"udp with its port", "80000a020800 80001401 11 80001e020035", true},
		{"udp with a tcp port", "80000a020800 80001401 11 80001a020035", false},
		{"tcp with a udp port", "80000a020800 80001401 06 80001e020035", false},
		{"tcp and udp port", "80000a020800 80001401 06 80001a020035 80001e020035", false},
		{"sctp port", "80002202 0035", false},
		{"ip_frag", "0001350201 01", false},
		{"unknown class", "12340001 00", false},
		{"vlan 5", "80000c02 1005", false},
		{"any vlan", "80000d04 1000 1000", false},
		{"masked mac", "8000070c 010000000000 010000000000", false},
		{"a field twice", "80001401 11 80001401 11", false},
		{"in_port 0", "80000004 00000000", false},
		{"a value of the wrong length", "80001402 1100", false},
		{"a mask of zero", "80001502 0000", false},
		{"another experimenter's field", "ffff5406 00002320 0002", false},
		{"an experimenter's field without its id", "ffff5402 0002", false},
	} {
		fields, err := hex.DecodeString(strings.ReplaceAll(c.fields, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b := append([]byte{0, 1, 0, byte(4 + len(fields))}, fields...)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		m, known, rest, ok := of.DecodeMatch(append(b, 1, 2, 3))
		if known != c.known || !ok || len(rest) != 3 {
			t.Errorf("%s: DecodeMatch = %s, known %v, %d bytes left, ok %v; want known %v, 3 bytes left", c.name, m, known, len(rest), ok, c.known)
		}
	}
}

func TestFlowStatsRefuseWhatDoesNotFit(t *testing.T) {
	whole := flowStats(1, matchOf(sessionFlow.Match), matchOf(of.Match{}))
	if typ, more, err := of.DecodeMultipart(whole); typ != of.MultipartFlow || !more || err != nil {
		t.Errorf("DecodeMultipart = %v, %v, %v; want flows, and more of them", typ, more, err)
	}
	before := []of.FlowStats{{Packets: 1}}
	for n := range len(whole) {
		got, err := of.AppendFlowStats(before, whole[:n])
		if len(got) != 1 && err != nil {
			t.Errorf("AppendFlowStats of the first %d bytes added %d flows with %v", n, len(got)-1, err)
		}
		if n != 16 && n != 16+48+80+8 && err == nil {
			t.Errorf("AppendFlowStats of the first %d of %d bytes succeeded", n, len(whole))
		}
	}
	for _, length := range []uint16{0, 1, 47, 48, 51, 0xffff} {
		b := bytes.Clone(whole)
		binary.BigEndian.PutUint16(b[16:], length)
		if got, err := of.AppendFlowStats(nil, b); err == nil {
			t.Errorf("entry of length %d: AppendFlowStats = %+v; want an error", length, got)
		}
	}
}

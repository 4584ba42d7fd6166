package packet_test

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Frames that two Linux 6.18 stacks sent each other over a veth pair, transmit
// checksumming on. client is 192.0.2.1, server 192.0.2.2.
var (
	arpRequest = unhex("ffffffffffff 020000000a01 0806 0001 0800 06 04 0001 020000000a01 c0000201 000000000000 c0000202")
	syn        = unhex("020000000a02 020000000a01 0800 4500003cc75240004006ef65c0000201c0000202" +
		"9c400051c4c5158c00000000a002faf0b1670000020405b40402080afe7aa242000000000103030a")
	// What the server answered to syn: nobody listens there.
	synReset = unhex("020000000a01 020000000a02 0800 450000280000400040 06b6ccc0000202c0000201" +
		"00519c4000000000c4c5158d50140000b4e80000")
	udp = unhex("020000000a02 020000000a01 0800 450000212914400040118db4c0000201c0000202" +
		"9c410035000da28b64616f6c69")
	// What the server answered to udp: port unreachable, quoting it.
	udpUnreachable = unhex("020000000a01 020000000a02 0800 45c0003dff7800004001f683c0000202c0000201" +
		"0303811f00000000450000212914400040118db4c0000201c00002029c410035000da28b64616f6c69")
	echoRequest = unhex("020000000a02 020000000a01 0800 4500002963724000 4001535ec0000201c0000202" +
		"0800a3952a4500010001 02030405060708090a0b0c")
	echoReply = unhex("020000000a01 020000000a02 0800 45000029ff7a00004001f755c0000202c0000201" +
		"0000ab952a4500010001 02030405060708090a0b0c")
)

var (
	client    = netip.MustParseAddr("192.0.2.1")
	server    = netip.MustParseAddr("192.0.2.2")
	gateway   = netip.MustParseAddr("169.254.1.1")
	clientMAC = packet.MAC{2, 0, 0, 0, 0x0a, 1}
	serverMAC = packet.MAC{2, 0, 0, 0, 0x0a, 2}
	gwMAC     = packet.MAC{2, 0, 0, 0, 0, 1}
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// with returns a copy of frame with the bytes at offset at replaced.
func with(frame []byte, at int, bytes ...byte) []byte {
	f := append([]byte(nil), frame...)
	copy(f[at:], bytes)
	return f
}

// tagged returns frame with an 802.1Q tag.
func tagged(frame []byte, vid uint16) []byte {
	f := append([]byte(nil), frame[:12]...)
	f = append(f, 0x81, 0x00, byte(vid>>8), byte(vid))
	return append(f, frame[12:]...)
}

// hopByHop is the IPv6 frame whose hop-by-hop option length of 254 makes a
// decoder with 8-bit offsets spin.
func hopByHop() []byte {
	f := unhex("020000000a02 020000000a01 86dd 60000000 0200 00 40" + strings.Repeat("fe80000000000000 0000000000000001", 2))
	f = append(f, 6, 63, 1, 254)
	return append(f, make([]byte, 566-len(f))...)
}

// hostile are the frames that stop other decoders, and others like them.
func hostile() map[string][]byte {
	return map[string][]byte{
		"ihl 0":                         with(syn, 14, 0x40),
		"ihl 4":                         with(syn, 14, 0x44),
		"ihl 15 beyond the packet":      with(syn, 14, 0x4f)[:60],
		"ihl 15 over the tcp header":    with(syn, 14, 0x4f),
		"vlan header at the end":        tagged(syn, 100)[:14],
		"vlan header cut":               tagged(syn, 100)[:16],
		"vlan header, nothing behind":   tagged(syn, 100)[:18],
		"two vlan headers":              tagged(tagged(syn, 100), 200),
		"short ip":                      syn[:30],
		"short arp":                     arpRequest[:40],
		"ipv6 hop-by-hop option 254":    hopByHop(),
		"total length 0":                with(syn, 16, 0, 0),
		"total length beyond frame":     with(syn, 16, 0xff, 0xff),
		"tcp cut":                       with(syn, 16, 0, 39),
		"tcp data offset 0":             with(syn, 46, 0x00),
		"tcp data offset 15":            with(syn, 46, 0xf0),
		"udp length 7":                  with(udp, 38, 0, 7),
		"udp length beyond packet":      with(udp, 38, 0, 200),
		"icmp cut":                      with(echoRequest, 16, 0, 27),
		"icmp error without quote":      with(udpUnreachable, 16, 0, 28),
		"icmp error, inner ihl 0":       with(udpUnreachable, 42, 0x40),
		"icmp error, inner ihl 15":      with(udpUnreachable, 42, 0x4f),
		"icmp error, inner version 6":   with(udpUnreachable, 42, 0x65),
		"arp with long addresses":       with(arpRequest, 18, 255, 255),
		"first fragment of 8 bytes tcp": with(with(syn, 20, 0x20, 0), 16, 0, 28),
	}
}

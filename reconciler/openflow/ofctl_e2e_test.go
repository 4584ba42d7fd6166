//go:build e2e

package openflow_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// ofctl runs ovs-ofctl and returns what it printed.
func ofctl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("ovs-ofctl", append([]string{"-O", "OpenFlow13", "--timeout=10", "--no-names"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ovs-ofctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// writeLines writes a file for ovs-ofctl.
func writeLines(t *testing.T, lines []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flowTexts() (lines []string) {
	for _, c := range flowCases {
		lines = append(lines, c.mod.String())
	}
	return lines
}

func TestOfctlParsesEveryFlowWithoutNormalizing(t *testing.T) {
	for _, line := range flowTexts() {
		if strings.HasPrefix(line, "delete") {
			continue // parse-flows takes only additions; add-flows gets these too
		}
		out := ofctl(t, "parse-flows", writeLines(t, []string{line}))
		if strings.Contains(out, "normalization") || strings.Count(out, "OFPT_FLOW_MOD") != 1 {
			t.Errorf("ovs-ofctl parse-flows of\n%s\nprinted\n%s", line, out)
		}
	}
}

// record is a switch that answers just what ovs-ofctl needs, and returns the
// other messages that it got until the connection ended.
func record(conn net.Conn) (messages [][]byte, err error) {
	defer conn.Close()
	if _, err := conn.Write(of.AppendHello(nil, 1)); err != nil {
		return nil, err
	}
	for {
		m := make([]byte, of.HeaderLen)
		if _, err := io.ReadFull(conn, m); err != nil {
			return messages, nil
		}
		h, err := of.ParseHeader(m)
		if err != nil {
			return messages, err
		}
		m = append(m, make([]byte, int(h.Length)-len(m))...)
		if _, err := io.ReadFull(conn, m[of.HeaderLen:]); err != nil {
			return messages, err
		}
		switch h.Type {
		case of.TypeHello:
		case of.TypeMultipartRequest: // the tables' names: none
			m[1] = byte(of.TypeMultipartReply)
			if _, err := conn.Write(m); err != nil {
				return messages, err
			}
		case of.TypeBarrierRequest:
			m[1] = byte(of.TypeBarrierReply)
			if _, err := conn.Write(m); err != nil {
				return messages, err
			}
		default:
			messages = append(messages, m)
		}
	}
}

// sentByOfctl returns the messages that ovs-ofctl with args sends to the switch
// that stands for "SWITCH" in args.
func sentByOfctl(t *testing.T, args ...string) [][]byte {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type result struct {
		messages [][]byte
		err      error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- result{nil, err}
			return
		}
		messages, err := record(conn)
		done <- result{messages, err}
	}()
	for i := range args {
		if args[i] == "SWITCH" {
			args[i] = "tcp:" + ln.Addr().String()
		}
	}
	out := ofctl(t, args...)
	r := <-done
	if r.err != nil {
		t.Fatalf("%v; ovs-ofctl printed %q", r.err, out)
	}
	return r.messages
}

// sameMessage compares our bytes with those of ovs-ofctl but for the xid.
func sameMessage(t *testing.T, name, text string, got, want []byte) {
	t.Helper()
	if len(want) >= of.HeaderLen && len(got) >= of.HeaderLen {
		want = bytes.Clone(want)
		copy(want[4:8], got[4:8])
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %s\n got %s\nwant %s", name, text, hex.EncodeToString(got), hex.EncodeToString(want))
	}
}

func TestFlowBytesAreThoseOfOfctl(t *testing.T) {
	messages := sentByOfctl(t, "add-flows", "SWITCH", writeLines(t, flowTexts()))
	if len(messages) != len(flowCases) {
		t.Fatalf("ovs-ofctl sent %d messages for %d flows", len(messages), len(flowCases))
	}
	for i, c := range flowCases {
		sameMessage(t, c.name, c.mod.String(), of.AppendFlowMod(nil, xid, &c.mod), messages[i])
	}
}

func TestGroupBytesAreThoseOfOfctl(t *testing.T) {
	for _, c := range groupCases {
		args := []string{"--may-create", "mod-group", "SWITCH", c.mod.String()}
		if c.mod.Delete {
			args = []string{"del-groups", "SWITCH", strings.TrimPrefix(c.mod.String(), "delete ")}
		}
		messages := sentByOfctl(t, args...)
		if len(messages) != 1 {
			t.Fatalf("ovs-ofctl sent %d messages for %s", len(messages), c.mod)
		}
		sameMessage(t, c.name, c.mod.String(), of.AppendGroupMod(nil, xid, &c.mod), messages[0])
	}
}

func TestMeterBytesAreThoseOfOfctl(t *testing.T) {
	for _, c := range meterCases {
		commands := []string{"add-meter", "mod-meter"}
		if c.mod.Delete {
			commands = []string{"del-meter"}
		}
		var want []byte
		for _, command := range commands {
			for _, m := range sentByOfctl(t, command, "SWITCH", strings.TrimPrefix(c.mod.String(), "delete ")) {
				copy(m[4:8], []byte{0x11, 0x22, 0x33, 0x44})
				want = append(want, m...)
			}
		}
		sameMessage(t, c.name, c.mod.String(), of.AppendMeterMod(nil, xid, &c.mod), want)
	}
}

func TestPacketOutBytesAreThoseOfOfctl(t *testing.T) {
	for _, c := range packetCases {
		messages := sentByOfctl(t, "packet-out", "SWITCH", c.out.String())
		if len(messages) != 1 {
			t.Fatalf("ovs-ofctl sent %d messages for %s", len(messages), c.out)
		}
		sameMessage(t, c.name, c.out.String(), of.AppendPacketOut(nil, xid, &c.out), messages[0])
	}
}

package ofswitch_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// answer sends two flows and the packet for a packet that came.
func answer(sw *ofswitch.Switch, in of.PacketIn) {
	flows := [...]of.FlowMod{of.Add(aFlow), of.Add(aFlow)}
	packets := [...]of.PacketOut{{Actions: of.ActionList(of.Output(16)), Frame: in.Frame}}
	sw.Send(of.Batch{DPID: sw.DPID(), Flows: flows[:], Packets: packets[:]})
}

// BenchmarkPacketInToBatch is a null controller over loopback: a packet in, two
// flows and the packet out, by the reader itself.
func BenchmarkPacketInToBatch(b *testing.B) {
	benchmarkAnswers(b, newLifted(answer), func(*ofswitch.Switch) {})
}

// BenchmarkPacketInToBatchByInbox is BenchmarkPacketInToBatch with the answers
// given by one goroutine that takes the packets from an Inbox.
func BenchmarkPacketInToBatchByInbox(b *testing.B) {
	inbox := ofswitch.NewInbox(ofswitch.FairLimits{PerKey: b.N, PerGroup: b.N, Total: b.N})
	h := newLifted(func(sw *ofswitch.Switch, in of.PacketIn) { inbox.Add(sw.DPID(), in) })
	benchmarkAnswers(b, h, func(sw *ofswitch.Switch) {
		go func() {
			for left := b.N; left > 0; {
				l, ok := inbox.Next()
				if !ok {
					<-inbox.Ready()
					continue
				}
				answer(sw, l.In)
				left--
			}
		}()
	})
}

func benchmarkAnswers(b *testing.B, h lifted, start func(*ofswitch.Switch)) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ofswitch.NewServer(ofswitch.Config{Handler: h}).Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	p := newPeer(b, conn)
	p.handshake(7)
	start(<-h.up)
	in := packetIn(16, make([]byte, 98))
	mod, out := of.Add(aFlow), of.PacketOut{Actions: of.ActionList(of.Output(16)), Frame: make([]byte, 98)}
	answer := int64(2*len(of.AppendFlowMod(nil, 0, &mod)) + len(of.AppendPacketOut(nil, 0, &out)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		var stream []byte
		for range 64 {
			stream = append(stream, in...)
		}
		for left := b.N; left > 0; left -= 64 {
			if _, err := conn.Write(stream[:min(left, 64)*len(in)]); err != nil {
				b.Error(err)
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, p.in, answer*int64(b.N)); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

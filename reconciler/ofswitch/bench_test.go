package ofswitch_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// answering sends two flows and the packet for every packet that comes.
type answering struct{ up chan struct{} }

func (a answering) SwitchUp(*ofswitch.Switch)                 { close(a.up) }
func (a answering) SwitchDown(*ofswitch.Switch, error)        {}
func (a answering) BatchDone(*ofswitch.Switch, uint64, error) {}
func (a answering) PacketIn(sw *ofswitch.Switch, in of.PacketIn) {
	flows := [...]of.FlowMod{of.Add(aFlow), of.Add(aFlow)}
	packets := [...]of.PacketOut{{Actions: of.ActionList(of.Output(16)), Frame: in.Frame}}
	sw.Send(of.Batch{DPID: sw.DPID(), Flows: flows[:], Packets: packets[:]})
}

// BenchmarkPacketInToBatch is a null controller over loopback: a packet in, two
// flows and the packet out.
func BenchmarkPacketInToBatch(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := answering{make(chan struct{})}
	done := make(chan error)
	go func() { done <- ofswitch.NewServer(ofswitch.Config{Handler: h}).Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	p := newPeer(b, conn)
	p.handshake(7)
	<-h.up
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

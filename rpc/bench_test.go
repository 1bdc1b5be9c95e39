package rpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/rpc"
)

// crowded is an introducer with n peers of one service, of the size that real ones have.
func crowded(b *testing.B, n int) *introducer {
	b.Helper()
	in := start(b, settings{})
	var all []announce.Signed
	for i := range n {
		all = append(all, sign(b, node(i), announce.Announcement{
			Service: "storage", Seqnum: 1, Nickname: fmt.Sprintf("node %d", i),
			FURL: "pb://4z5h7elxv7grvzo2snr7coay3ia3suha@tcp:192.0.2.1:45711/3zwym5q2gzkr2co3t2przvpoujpfm5cf",
		}))
	}
	in.put(all...)
	return in
}

// What it is worth to copy a peer's bytes instead of encoding its message, for a page of 1,000: the
// same page from shared messages, which is the best that the stock way can do.
func BenchmarkPage(b *testing.B) {
	in := crowded(b, 1000)
	req := &introducerv1.GetPeersRequest{Service: "storage"}
	shared, err := in.binary().GetPeers(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bytes", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		server := connect.NewServer(rpc.Guard(slog.New(slog.DiscardHandler), nil))
		in.svc.Register(server)
		for b.Loop() {
			buf = in.page(b, server, buf[:0])
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("messages", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], shared); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
}

// page calls the service as the server does, and encodes the answer.
func (in *introducer) page(b *testing.B, server *connect.Server, buf []byte) []byte {
	stream := &encoder{buf: buf}
	info := &connect.CallInfo{Codec: connect.CodecNameProto}
	if err := server.Call(b.Context(), introducerv1connect.IntroducerServiceGetPeersProcedure, info, stream); err != nil {
		b.Fatal(err)
	}
	return stream.buf
}

// encoder is a stream without a connection.
type encoder struct {
	connect.ServerStream
	buf []byte
}

func (e *encoder) Receive(msg any) error {
	msg.(*introducerv1.GetPeersRequest).Service = "storage"
	return nil
}

func (e *encoder) Send(msg any) (err error) {
	e.buf, err = proto.MarshalOptions{}.MarshalAppend(e.buf, msg.(proto.Message))
	return err
}

// The lookups over a connection, beside GetInfo, which shows what a call costs that does nothing.
func BenchmarkLookup(b *testing.B) {
	in := crowded(b, 1000)
	indexes := make([][]byte, 1000)
	for i := range indexes {
		indexes[i] = fmt.Appendf(nil, "%016d", i)
	}
	basic := introducerv1.PeerView_PEER_VIEW_BASIC
	for _, w := range []wire{wires[2], {"connect binary h2c", true, nil}, wires[4], wires[0]} {
		c := in.dial(w)
		for _, call := range []struct {
			name string
			call func(context.Context, client) error
		}{
			{"GetInfo", func(ctx context.Context, c client) error {
				_, err := c.GetInfo(ctx, &introducerv1.GetInfoRequest{})
				return err
			}},
			{"first 10 of 1000", getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si16, Limit: 10, View: basic})},
			{"1000 x first 10 of 1000", getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "storage", StorageIndexes: indexes, Limit: 10, View: basic})},
			{"page of 1000", getPeers(&introducerv1.GetPeersRequest{Service: "storage"})},
		} {
			b.Run(call.name+"/"+w.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := call.call(b.Context(), c); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// One snapshot of 1,000 peers to one subscriber.
func BenchmarkSnapshot(b *testing.B) {
	in := crowded(b, 1000)
	for _, w := range []wire{wires[2], wires[0]} {
		c := in.dial(w)
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sub, err := c.Subscribe(b.Context(), &introducerv1.SubscribeRequest{})
				if err != nil {
					b.Fatal(err)
				}
				for {
					e, err := sub.Receive()
					if err != nil {
						b.Fatal(err)
					}
					if e.GetSynced() != nil {
						break
					}
				}
				sub.Close()
			}
		})
	}
}

// What one change costs, delivered to many subscribers who only read bytes. Changes come in groups
// of 16, whose verifying and syncing is counted too.
func BenchmarkFanOut(b *testing.B) {
	const group = 16
	for _, subscribers := range []int{1, 100, 400} {
		b.Run(fmt.Sprintf("%d subscribers", subscribers), func(b *testing.B) {
			in := start(b, settings{})
			var delivered, ended sync.WaitGroup
			for range subscribers {
				body := openStream(b, in.net, introducerv1connect.IntroducerServiceSubscribeProcedure, 2) // reset, synced
				ended.Go(func() {
					for skipMessage(body) == nil {
						delivered.Done() // a group is one message
					}
				})
			}
			seqnum := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				seqnum++
				b.StopTimer()
				var items []announce.Signed
				for i := range group {
					items = append(items, in.offer(i, "storage", seqnum))
				}
				delivered.Add(subscribers)
				b.StartTimer()
				in.put(items...)
				delivered.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*group*subscribers), "ns/delivery")
			in.hs.Close()
			ended.Wait()
		})
	}
}

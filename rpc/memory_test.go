package rpc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/rpc"
)

// An idle subscriber on a connection of its own costs what a bare stream of the same server costs and
// a little of ours, and less than 50 KB in all (I8).
func TestIdleSubscriberMemory(t *testing.T) {
	const streams, most, mostOfOurs = 300, 50 << 10, 16 << 10
	if raceDetector {
		t.Skip("the race detector has memory of its own")
	}
	in := start(t, settings{})
	in.put(in.offer(1, "storage", 1))
	bare := bareServer(t)
	for name, open := range map[string]func(t testing.TB, l dialer, procedure string, messages int){
		"HTTP/1.1": openHTTP1,
		"HTTP/2":   openHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(l dialer, procedure string, messages int) int {
				open(t, l, procedure, messages) // what is made once
				before := memory()
				for range streams {
					open(t, l, procedure, messages)
				}
				return (memory() - before) / streams
			}
			empty := cost(bare.net, bareProcedure, 1)
			ours := cost(in.net, introducerv1connect.IntroducerServiceSubscribeProcedure, 3)
			t.Logf("%d bytes for an idle subscriber, of which %d for a bare stream", ours, empty)
			if ours > most || ours-empty > mostOfOurs {
				t.Errorf("%d bytes for an idle subscriber, want at most %d; %d more than a bare stream, want at most %d", ours, most, ours-empty, mostOfOurs)
			}
		})
	}
}

// memory is what is in use, heap and stacks.
func memory() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

const bareProcedure = "/test.Service/Wait"

// bareServer serves a stream of one empty message that then waits for its end.
func bareServer(t *testing.T) *introducer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &introducer{t: t, net: tcpListener{l}}
	in.serve(rpc.NewServer(rpc.ServerOptions{}, func(s *connect.Server) {
		s.Register(connect.Method{
			Spec: connect.Spec{Procedure: bareProcedure, StreamType: connect.StreamTypeServer},
			Handler: func(ctx context.Context, _ connect.Spec, s connect.ServerStream) error {
				if err := s.Receive(new(emptypb.Empty)); err != nil {
					return err
				}
				if err := s.Send(new(emptypb.Empty)); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			},
		})
	}), l)
	return in
}

// openHTTP1 opens a stream on a connection of its own and reads so many messages. What it holds
// itself is a file descriptor.
func openHTTP1(t testing.TB, l dialer, procedure string, messages int) {
	openStream(t, l, procedure, messages)
}

// openStream returns what follows those messages.
func openStream(t testing.TB, l dialer, procedure string, messages int) io.Reader {
	t.Helper()
	conn := dialRaw(t, l)
	write(t, conn, "POST "+procedure+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		if err := skipMessage(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	return res.Body
}

// skipMessage reads one message in its envelope: flags, 4 bytes of length, the message.
func skipMessage(r io.Reader) error {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(head[1:])))
	return err
}

// openHTTP2 does so over HTTP/2, with frames laid out by hand (RFC 9113, section 6).
func openHTTP2(t testing.TB, l dialer, procedure string, messages int) {
	const (
		data, headers, settings = 0, 1, 4
		endStream, endHeaders   = 1, 4
		literalNeverIndexedByUs = 0 // RFC 7541, section 6.2.2, with a new name
	)
	frame := func(kind, flags byte, stream uint32, body []byte) []byte {
		b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind, flags)[1:]
		return append(binary.BigEndian.AppendUint32(b, stream), body...)
	}
	var block []byte
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", procedure},
		{"content-type", "application/connect+proto"},
	} {
		block = append(block, literalNeverIndexedByUs, byte(len(h[0])))
		block = append(append(block, h[0]...), byte(len(h[1])))
		block = append(block, h[1]...)
	}
	conn := dialRaw(t, l)
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = append(b, frame(settings, 0, 0, nil)...)
	b = append(b, frame(headers, endHeaders, 1, block)...)
	b = append(b, frame(data, endStream, 1, make([]byte, 5))...)
	write(t, conn, string(b))
	for received := 0; received < messages; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatal(err)
		}
		size := binary.BigEndian.Uint32(head[:4]) >> 8
		body := make([]byte, size)
		if _, err := io.ReadFull(conn, body); err != nil {
			t.Fatal(err)
		}
		if head[3] == data {
			for len(body) > 0 { // envelopes are not split here: they are small
				body = body[5+binary.BigEndian.Uint32(body[1:5]):]
				received++
			}
		}
	}
}

func dialRaw(t testing.TB, l dialer) net.Conn {
	t.Helper()
	conn, err := l.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func write(t testing.TB, conn net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(conn, s); err != nil {
		t.Fatal(err)
	}
}

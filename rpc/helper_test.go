package rpc_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/proto"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/rpc"
)

type client = introducerv1connect.IntroducerServiceClient

// introducer is a whole one: registry, service and server.
type introducer struct {
	t   testing.TB
	dir string
	reg *registry.Registry
	svc *rpc.Service
	hs  *http.Server
	net dialer

	served  sync.WaitGroup
	closing sync.Once
}

// settings are what a test wants otherwise than by default.
type settings struct {
	dir      string // "": a new one
	listener listener
	registry registry.Options
	service  rpc.Options
	server   rpc.ServerOptions
}

type listener interface {
	net.Listener
	dialer
}

type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

func start(t testing.TB, s settings) *introducer {
	t.Helper()
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	if s.listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.listener = tcpListener{l}
	}
	dir, err := datadir.Open(s.dir, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.Context(), dir, s.registry)
	if err != nil {
		t.Fatal(err)
	}
	in := &introducer{t: t, dir: s.dir, reg: reg, svc: rpc.New(reg, s.service), net: s.listener}
	in.serve(in.svc.NewServer(s.server), s.listener)
	return in
}

// serve starts a server without a registry behind it.
func serve(t testing.TB, hs *http.Server) *introducer {
	t.Helper()
	l := newPipeListener()
	in := &introducer{t: t, net: l}
	in.serve(hs, l)
	return in
}

func (in *introducer) serve(hs *http.Server, l net.Listener) {
	in.hs = hs
	in.served.Go(func() {
		if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			in.t.Error(err)
		}
	})
	in.t.Cleanup(func() {
		hs.Close()
		in.close()
	})
}

// stop ends an introducer in order, before its test ends.
func (in *introducer) stop() {
	in.t.Helper()
	if err := in.hs.Shutdown(in.t.Context()); err != nil {
		in.t.Fatal(err)
	}
	in.close()
}

// close closes the registry, once.
func (in *introducer) close() {
	in.closing.Do(func() {
		in.served.Wait()
		if in.reg == nil {
			return
		}
		if err := in.reg.Close(); err != nil {
			in.t.Error(err)
		}
	})
}

type tcpListener struct{ net.Listener }

func (l tcpListener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
}

// pipeListener is a network without buffers and without a system beneath it, so that time in a
// synctest bubble passes while its connections wait.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wire is a way to speak to the introducer.
type wire struct {
	name    string
	h2c     bool
	options []connecthttp.Option
}

var wires = []wire{
	{"connect json", false, []connecthttp.Option{connecthttp.WithProtoJSON()}},
	{"connect json get", false, []connecthttp.Option{connecthttp.WithProtoJSON(), connecthttp.WithHTTPGet(), connecthttp.WithHTTPGetMaxURLSize(32<<10, true)}},
	{"connect binary", false, nil},
	{"connect binary gzip h2c", true, []connecthttp.Option{connecthttp.WithSendGzip()}},
	{"grpc", true, []connecthttp.Option{connecthttp.WithGRPC()}},
	{"grpc json", true, []connecthttp.Option{connecthttp.WithGRPC(), connecthttp.WithProtoJSON()}},
	{"grpc-web", false, []connecthttp.Option{connecthttp.WithGRPCWeb()}},
	{"grpc-web h2c", true, []connecthttp.Option{connecthttp.WithGRPCWeb()}},
}

// mostWires is wires, or the two least alike where the race detector makes everything slow.
func mostWires() []wire {
	if raceDetector {
		return []wire{wires[0], wires[4]}
	}
	return wires
}

// dial returns a client with connections of its own.
func (in *introducer) dial(w wire) client {
	return introducerv1connect.NewIntroducerServiceClient(in.caller(w))
}

func (in *introducer) caller(w wire) *connect.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!w.h2c)
	p.SetUnencryptedHTTP2(w.h2c)
	transport := &http.Transport{DialContext: in.net.DialContext, Protocols: p}
	in.t.Cleanup(transport.CloseIdleConnections)
	return connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, "http://introducer.test", w.options...))
}

func (in *introducer) binary() client { return in.dial(wire{}) }

// node returns the key of a node, the same for the same number.
func node(i int) *announce.Key {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	return announce.NewKeyFromSeed(sha256.Sum256(b[:]))
}

func sign(t testing.TB, key *announce.Key, a announce.Announcement) announce.Signed {
	t.Helper()
	message, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(message)
}

// put publishes announcements that must all be taken, and returns the revision of the last.
func (in *introducer) put(all ...announce.Signed) uint64 {
	in.t.Helper()
	results, err := in.reg.Publish(in.t.Context(), all)
	if err != nil {
		in.t.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome.Refused() {
			in.t.Fatalf("announcement %d: %v: %s", i, r.Outcome, r.Reason)
		}
	}
	return uint64(results[len(results)-1].Revision)
}

// offer is one node's announcement of one service.
func (in *introducer) offer(i int, service announce.Service, seqnum uint64) announce.Signed {
	in.t.Helper()
	return sign(in.t, node(i), announce.Announcement{
		Service: service, Seqnum: seqnum, Nickname: "node", Endpoints: []string{"https://node.test"},
	})
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// received reads a stream to its end, which must be a clean one.
func received[M any](t testing.TB, receive func() (M, error)) []M {
	t.Helper()
	all, err := drained(receive)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// drained reads a stream to its end; nil is a clean one.
func drained[M any](receive func() (M, error)) ([]M, error) {
	var all []M
	for {
		m, err := receive()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

func sizeOf(m proto.Message) int { return proto.Size(m) }

func count(n uint64) string { return strconv.FormatUint(n, 10) }

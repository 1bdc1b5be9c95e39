package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/rpc"
	"github.com/introducer/introducer/wal"
)

// The table from sentinel to code: each keeps its text, however often it was wrapped.
func TestErrorTable(t *testing.T) {
	want := map[error]connect.Code{
		registry.ErrOverloaded:   connect.CodeResourceExhausted,
		registry.ErrClosed:       connect.CodeUnavailable,
		registry.ErrFailed:       connect.CodeUnavailable,
		registry.ErrQuarantined:  connect.CodeDataLoss,
		registry.ErrDamaged:      connect.CodeDataLoss,
		registry.ErrNoRevision:   connect.CodeOutOfRange,
		context.Canceled:         connect.CodeCanceled,
		context.DeadlineExceeded: connect.CodeDeadlineExceeded,
	}
	seen := 0
	for _, row := range rpc.Codes {
		if code, ok := want[row.Err]; ok {
			seen++
			if row.Code != code {
				t.Errorf("%v: %v, want %v", row.Err, row.Code, code)
			}
		}
		err := fmt.Errorf("reading: %w", fmt.Errorf("revision 7: %w", row.Err))
		got := rpc.PublicError(err)
		if connect.CodeOf(got) != row.Code || got.(*connect.Error).Message() != err.Error() || !errors.Is(got, row.Err) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d sentinels are in the table", seen, len(want))
	}
}

func TestErrorsBesideTheTable(t *testing.T) {
	if err := rpc.PublicError(nil); err != nil {
		t.Errorf("nil: %v", err)
	}
	coded := connect.NewError(connect.CodeInvalidArgument, "service: none")
	if err := rpc.PublicError(coded); err != error(coded) {
		t.Errorf("an error with a code: %v", err)
	}
	// The transport's code for what its reader found is not the caller's.
	coded = connect.NewError(connect.CodeInvalidArgument, "decompress: closed").WithCause(registry.ErrOverloaded)
	if err := rpc.PublicError(coded); err.Error() != "resource_exhausted: "+registry.ErrOverloaded.Error() {
		t.Errorf("an error within the transport's: %v", err)
	}
	secret := errors.New("open /var/lib/secret: permission denied")
	err := rpc.PublicError(secret)
	if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), "secret") || !errors.Is(err, secret) {
		t.Errorf("any other error: %v", err)
	}
}

// Faults of ours, panics among them, reach the log with all their text, the caller without, and no
// other caller at all.
func TestFaultsStayAtHome(t *testing.T) {
	log := new(syncBuffer)
	spec := func(name string) connect.Spec {
		return connect.Spec{Procedure: "/test.Service/" + name, StreamType: connect.StreamTypeUnary}
	}
	hs := rpc.NewServer(rpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(log, nil))}, func(s *connect.Server) {
		s.Register(
			connect.Method{Spec: spec("Panics"), Handler: func(context.Context, connect.Spec, connect.ServerStream) error {
				panic("a secret")
			}},
			connect.Method{Spec: spec("Fails"), Handler: func(context.Context, connect.Spec, connect.ServerStream) error {
				return errors.New("a secret")
			}},
			connect.Method{Spec: spec("Works"), Handler: func(_ context.Context, _ connect.Spec, s connect.ServerStream) error {
				return s.Send(new(emptypb.Empty))
			}},
		)
	})
	in := serve(t, hs)
	for _, w := range wires {
		for name, want := range map[string]string{
			"Panics": "internal: the introducer failed; its log says more",
			"Fails":  "internal: the introducer failed; its log says more",
			"Works":  "",
		} {
			err := in.caller(w).CallUnary(t.Context(), spec(name), new(emptypb.Empty), new(emptypb.Empty))
			got := ""
			if e, ok := errors.AsType[*connect.Error](err); ok {
				got = e.Error()
			}
			if got != want {
				t.Errorf("%s over %s: %q, want %q", name, w.name, got, want)
			}
		}
	}
	for _, want := range []string{"panic: a secret", "errors_test.go", "level=ERROR", "procedure=/test.Service/Panics"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// A record that the disk changed is named and nothing is made up for it (I5); what is whole is served.
func TestDamagedRecordsAreNamed(t *testing.T) {
	dir := t.TempDir()
	forge(t, dir)
	in := start(t, settings{dir: dir})
	in.put(in.offer(2, "helper", 1))
	const text = "data_loss: a record of the log is damaged: revision 1"
	for _, w := range wires {
		c := in.dial(w)
		for name, call := range map[string]func(context.Context, client) error{
			"GetPeers":              getPeers(&introducerv1.GetPeersRequest{Service: "storage"}),
			"GetPeers, basic":       getPeers(&introducerv1.GetPeersRequest{Service: "storage", View: introducerv1.PeerView_PEER_VIEW_BASIC}),
			"GetPermutedPeers":      getPermuted(&introducerv1.GetPermutedPeersRequest{Service: "storage", StorageIndex: si16}),
			"BatchGetPermutedPeers": getBatch(&introducerv1.BatchGetPermutedPeersRequest{Service: "storage", StorageIndexes: [][]byte{si16}}),
			"StreamPermutedPeers":   streaming(&introducerv1.StreamPermutedPeersRequest{Service: "storage", StorageIndex: si16}),
			"ReadLog":               reading(&introducerv1.ReadLogRequest{}),
			"Subscribe": func(ctx context.Context, c client) error {
				stream, err := c.Subscribe(ctx, &introducerv1.SubscribeRequest{})
				if err != nil {
					return err
				}
				_, err = drained(stream.Receive)
				return err
			},
		} {
			if err := call(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), text) {
				t.Errorf("%s over %s: %v, want %s", name, w.name, err, text)
			}
		}
		whole, err := c.GetPeers(t.Context(), &introducerv1.GetPeersRequest{Service: "helper"})
		if err != nil || len(whole.Peers) != 1 {
			t.Errorf("what is whole, over %s: %v, %v", w.name, whole, err)
		}
	}
}

// forge makes a data directory whose log has, rightly chained and summed, an announcement that its
// peer never signed: what the log itself cannot find.
func forge(t *testing.T, path string) {
	t.Helper()
	dir, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	message, err := (&announce.Announcement{Service: "storage", Seqnum: 1}).Message()
	if err != nil {
		t.Fatal(err)
	}
	s := node(1).Sign(message)
	s.Signature[0] ^= 1
	payload := append(make([]byte, 8), s.PeerID...)
	payload = append(append(payload, s.Signature...), s.Message...)
	const published = 1
	if _, err := dir.Log.Append(time.Now(), 0, []wal.Entry{{Kind: published, Payload: payload}}); err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
}

// syncBuffer is a log that many write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

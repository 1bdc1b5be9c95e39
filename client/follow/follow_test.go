package follow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client/follow"
)

// script is an introducer that says what a test wants; act is called for each stream, counted from 1.
type script struct {
	introducerv1connect.UnimplementedIntroducerServiceHandler
	act func(ctx context.Context, n int, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error

	mu    sync.Mutex
	began []time.Time
	asked []string // the resume tokens
}

func (s *script) Subscribe(ctx context.Context, req *introducerv1.SubscribeRequest, stream introducerv1connect.IntroducerServiceSubscribeServerStream) error {
	s.mu.Lock()
	s.began = append(s.began, time.Now())
	s.asked = append(s.asked, name(req.GetResume()))
	n := len(s.began)
	s.mu.Unlock()
	var failed error
	err := s.act(ctx, n, req, func(res *introducerv1.SubscribeResponse) {
		if failed == nil {
			failed = stream.Send(res)
		}
	})
	return errors.Join(failed, err)
}

func (s *script) client() introducerv1connect.IntroducerServiceClient {
	server := connect.NewServer()
	introducerv1connect.RegisterIntroducerServiceHandler(server, s)
	return introducerv1connect.NewIntroducerServiceClient(connect.NewClient(connectinprocess.New(server)))
}

// subscriber is a Handler that keeps the set and writes down what it is told.
type subscriber struct {
	held  map[string]announce.Signed
	log   []string
	mind  func(e follow.Event) error // nil: takes everything
	ready func(changes []*introducerv1.Change) (any, error)
	lost  []follow.Lost
	ended []time.Time // when
}

func (s *subscriber) Prepare(changes []*introducerv1.Change) (any, error) {
	if s.ready == nil {
		return len(changes), nil
	}
	return s.ready(changes)
}

func (s *subscriber) Handle(e follow.Event) error {
	if s.mind != nil {
		if err := s.mind(e); err != nil {
			return err
		}
	}
	if s.held == nil {
		s.held = make(map[string]announce.Signed)
	}
	switch e := e.(type) {
	case follow.Opened:
		s.log = append(s.log, "opened "+name(e.Resumed))
	case follow.Reset:
		clear(s.held)
		s.log = append(s.log, "reset")
	case follow.Changes:
		for _, c := range e.Changes {
			if p := c.GetAnnounced(); p != nil {
				s.held[p.GetService()+string(p.GetPeerId())] = p.GetAnnouncement().Signed()
			} else {
				delete(s.held, c.GetGone().GetService()+string(c.GetGone().GetPeerId()))
			}
		}
		s.log = append(s.log, fmt.Sprintf("%v changes %s", e.Prepared, name(e.Token)))
	case follow.Synced:
		s.log = append(s.log, "synced "+name(e.Token))
	case follow.Progress:
		s.log = append(s.log, "progress "+name(e.Token))
	case follow.Drain:
		s.log = append(s.log, fmt.Sprintf("drain %s %v", name(e.Token), e.Wait))
	case follow.Mismatch:
		clear(s.held)
		s.log = append(s.log, "mismatch")
	case follow.Lost:
		s.lost, s.ended = append(s.lost, e), append(s.ended, time.Now())
		s.log = append(s.log, fmt.Sprintf("lost: %v", e.Err))
	}
	return nil
}

func (s *subscriber) Digest() (sum [32]byte) {
	for _, a := range s.held {
		xor(&sum, a.Digest())
	}
	return sum
}

func xor(sum *[32]byte, d [32]byte) {
	for i := range sum {
		sum[i] ^= d[i]
	}
}

// run follows until the stream after the last of n has begun, or Run ends.
func run(t *testing.T, s *script, h *subscriber, n int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	act := s.act
	s.act = func(sctx context.Context, i int, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
		if i > n {
			cancel()
			return nil
		}
		return act(sctx, i, req, send)
	}
	return follow.Run(ctx, follow.Options{Client: s.client(), Handler: h, Services: []announce.Service{"storage"}})
}

func name(t *introducerv1.ResumeToken) string {
	if t == nil {
		return "nowhere"
	}
	return fmt.Sprintf("%c%d", t.LogId[0], t.Revision)
}

func at(log byte, revision uint64) *introducerv1.ResumeToken {
	return &introducerv1.ResumeToken{LogId: []byte(strings.Repeat(string(log), 16)), Revision: revision}
}

func said(peer byte, words string) *introducerv1.SignedAnnouncement {
	return &introducerv1.SignedAnnouncement{Message: []byte(words), PeerId: []byte{peer}}
}

func reset() *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Reset_{Reset_: &introducerv1.Reset{}}}
}

func changes(token *introducerv1.ResumeToken, all ...*introducerv1.SignedAnnouncement) *introducerv1.SubscribeResponse {
	c := &introducerv1.Changes{Token: token}
	for _, a := range all {
		p := &introducerv1.Peer{Service: "storage", PeerId: a.PeerId, Announcement: a}
		c.Changes = append(c.Changes, &introducerv1.Change{Change: &introducerv1.Change_Announced{Announced: p}})
	}
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Changes{Changes: c}}
}

func standing(token *introducerv1.ResumeToken, held ...*introducerv1.SignedAnnouncement) *introducerv1.Progress {
	var sum [32]byte
	for _, a := range held {
		xor(&sum, a.Signed().Digest())
	}
	return &introducerv1.Progress{Token: token, SetDigest: sum[:]}
}

func synced(token *introducerv1.ResumeToken, held ...*introducerv1.SignedAnnouncement) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Synced{Synced: standing(token, held...)}}
}

func progress(token *introducerv1.ResumeToken, held ...*introducerv1.SignedAnnouncement) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Progress{Progress: standing(token, held...)}}
}

func drain(token *introducerv1.ResumeToken, after time.Duration) *introducerv1.SubscribeResponse {
	return &introducerv1.SubscribeResponse{Event: &introducerv1.SubscribeResponse_Drain{
		Drain: &introducerv1.Drain{Token: token, ReconnectAfter: durationpb.New(after)},
	}}
}

var a, b = said(1, "one"), said(2, "two")

// Every kind of end, and from where the stream after it goes on.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.act = func(_ context.Context, n int, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			switch n {
			case 1: // cut off before the first token
				send(reset())
			case 2: // in the midst of the snapshot, with a token that cannot be used behind one that can
				send(reset())
				send(changes(at('x', 1), a))
				send(changes(&introducerv1.ResumeToken{LogId: []byte("short"), Revision: 2}, b))
				return connect.NewError(connect.CodeUnavailable, "later")
			case 3: // on to the end, something of a newer contract, and on
				send(changes(at('x', 2), b))
				send(synced(at('x', 2), a, b))
				send(&introducerv1.SubscribeResponse{})
				send(progress(at('x', 5), a, b))
				send(drain(at('x', 6), time.Hour))
			case 4: // another log
				send(reset())
				send(changes(at('y', 1), b))
				send(synced(at('y', 1), b))
			case 5: // the token is refused
				return connect.NewError(connect.CodeInvalidArgument, "resume: no")
			case 6:
				send(reset())
				send(changes(at('y', 1), b))
			}
			return nil
		}
		h := &subscriber{}
		if err := run(t, s, h, 6); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"opened nowhere", "reset", "lost: <nil>",
			"opened nowhere", "reset", "1 changes x1", "1 changes nowhere", "lost: unavailable: later",
			"opened x1", "1 changes x2", "synced x2", "progress x5", "drain x6 5m0s", "lost: <nil>",
			"opened nowhere", "reset", "1 changes y1", "synced y1", "lost: <nil>",
			"lost: invalid_argument: resume: no",
			"opened nowhere", "reset", "1 changes y1", "lost: <nil>",
		}
		if diff := cmp.Diff(want, h.log); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"nowhere", "nowhere", "x1", "x6", "y1", "nowhere", "y1"}, s.asked); diff != "" {
			t.Errorf("resumed from (-want +got):\n%s", diff)
		}
	})
}

// What the Handler does not take is asked for again; what it says to Lost ends Run.
func TestRefusedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, enough := errors.New("full"), errors.New("enough")
		s := &script{act: func(_ context.Context, n int, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			if n == 1 {
				send(reset())
				send(changes(at('x', 1), a))
			}
			send(changes(at('x', 2), b))
			return nil
		}}
		tries := 0
		h := &subscriber{}
		h.mind = func(e follow.Event) error {
			switch e := e.(type) {
			case follow.Changes:
				if e.Token.GetRevision() == 2 {
					return full
				}
			case follow.Lost:
				if !errors.Is(e.Err, full) || !follow.Permanent(e.Err) || e.Wait < 15*time.Second {
					t.Errorf("lost because %v, permanent %v, wait %v", e.Err, follow.Permanent(e.Err), e.Wait)
				}
				if tries++; tries == 3 {
					return enough
				}
			}
			return nil
		}
		if err := run(t, s, h, 10); err != enough {
			t.Errorf("got %v, want %v", err, enough)
		}
		if diff := cmp.Diff([]string{"nowhere", "x1", "x1"}, s.asked); diff != "" {
			t.Errorf("resumed from (-want +got):\n%s", diff)
		}
	})
}

// The pauses: doubling, short again after synced, of full length where trying is of little use, and as
// the introducer asked.
func TestPauses(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	unavailable := connect.NewError(connect.CodeUnavailable, "down")
	for _, test := range []struct {
		name string
		act  func(n int, send func(*introducerv1.SubscribeResponse)) error
		most []time.Duration // each pause is of this length, less up to a half
	}{
		{"down", func(int, func(*introducerv1.SubscribeResponse)) error { return unavailable },
			[]time.Duration{250 * ms, 500 * ms, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s}},
		{"up now and then", func(n int, send func(*introducerv1.SubscribeResponse)) error {
			if n%3 == 0 {
				send(synced(at('x', 1)))
			}
			return unavailable
		}, []time.Duration{250 * ms, 500 * ms, 250 * ms, 500 * ms, s, 250 * ms}},
		{"not for us", func(int, func(*introducerv1.SubscribeResponse)) error {
			return connect.NewError(connect.CodePermissionDenied, "no")
		}, []time.Duration{30 * s, 30 * s}},
		{"mismatch", func(n int, send func(*introducerv1.SubscribeResponse)) error {
			send(synced(at('x', 1)))
			send(progress(at('x', 1), a)) // which was never told
			return nil
		}, []time.Duration{0, 250 * ms, 500 * ms, s}},
		{"drained", func(n int, send func(*introducerv1.SubscribeResponse)) error {
			send(synced(at('x', 1)))
			send(drain(at('x', 1), []time.Duration{time.Hour, 7 * s, -time.Hour, 0}[n-1]))
			return nil
		}, []time.Duration{-5 * time.Minute, -7 * s, 250 * ms, 250 * ms}}, // below zero: to the moment
		{"drained at once, again and again", func(_ int, send func(*introducerv1.SubscribeResponse)) error {
			send(drain(at('x', 1), time.Nanosecond))
			return nil
		}, []time.Duration{-1, 250 * ms, 500 * ms, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, h := &script{}, &subscriber{}
				s.act = func(_ context.Context, n int, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
					return test.act(n, send)
				}
				if err := run(t, s, h, len(test.most)); err != nil {
					t.Fatal(err)
				}
				for i, most := range test.most {
					got, least := s.began[i+1].Sub(s.began[i]), most/2
					if most < 0 {
						most, least = -most, -most
					}
					if got < least || got > most || h.lost[i].Wait != got {
						t.Errorf("pause %d is of %v and said to be of %v, want from %v to %v", i, got, h.lost[i].Wait, least, most)
					}
				}
			})
		})
	}
}

// A set that is not the introducer's is dropped, and with it the token.
func TestMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := &script{}, &subscriber{}
		s.act = func(_ context.Context, n int, req *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			if req.Resume == nil {
				send(reset())
				send(changes(at('x', 2), a, b))
			}
			switch n {
			case 1:
				send(synced(at('x', 2), a))
			case 2:
				send(synced(at('x', 2), a, b))
				time.Sleep(100 * time.Second)
				send(progress(at('x', 3), b))
			case 3:
				send(synced(at('x', 2), a, b))
			}
			return nil
		}
		if err := run(t, s, h, 3); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"nowhere", "nowhere", "nowhere", "x2"}, s.asked); diff != "" {
			t.Errorf("resumed from (-want +got):\n%s", diff)
		}
		if !errors.Is(h.lost[0].Err, follow.ErrMismatch) || follow.Permanent(h.lost[0].Err) {
			t.Errorf("lost because %v", h.lost[0].Err)
		}
		if got := strings.Count(strings.Join(h.log, "\n"), "mismatch"); got != 2 {
			t.Errorf("%d mismatches in %q", got, h.log)
		}
	})
}

// A stream is dead when nothing has been heard for two minutes, and only then.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := &script{}, &subscriber{}
		s.act = func(ctx context.Context, n int, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			if n == 1 {
				for range 10 {
					send(synced(at('x', 1)))
					time.Sleep(119 * time.Second)
				}
				send(synced(at('x', 1)))
			}
			<-ctx.Done()
			return ctx.Err()
		}
		if err := run(t, s, h, 2); err != nil {
			t.Fatal(err)
		}
		for i, l := range h.lost {
			if !errors.Is(l.Err, follow.ErrSilent) {
				t.Errorf("stream %d was lost because %v", i, l.Err)
			}
		}
		if got, want := h.ended[0].Sub(s.began[0]), 10*119*time.Second+2*time.Minute; got != want {
			t.Errorf("the first was lost after %v, want %v", got, want)
		}
		if got, want := h.ended[1].Sub(s.began[1]), 2*time.Minute; got != want {
			t.Errorf("the second was lost after %v, want %v", got, want)
		}
	})
}

// While the Handler is busy some messages are received and prepared, and no more; that it is busy is not
// taken for silence, and what was received is handled in order, also when the stream has ended.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 20
		s, h := &script{}, &subscriber{}
		s.act = func(_ context.Context, _ int, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			for i := range messages {
				send(changes(at('x', uint64(i+1)), a))
			}
			return nil
		}
		var prepared atomic.Int64
		h.ready = func([]*introducerv1.Change) (any, error) { return int(prepared.Add(1)), nil }
		handled := 0
		h.mind = func(e follow.Event) error {
			if c, ok := e.(follow.Changes); ok {
				time.Sleep(time.Hour)
				synctest.Wait()
				handled++
				if c.Prepared != handled {
					t.Errorf("message %d comes as the %dth", c.Prepared, handled)
				}
				if got, want := int(prepared.Load()), min(handled+follow.Ahead+1, messages); got != want {
					t.Errorf("%d prepared while message %d is handled, want %d", got, handled, want)
				}
			}
			return nil
		}
		if err := run(t, s, h, 1); err != nil {
			t.Fatal(err)
		}
		if handled != messages || h.lost[0].Err != nil {
			t.Errorf("%d messages handled, then lost because %v", handled, h.lost[0].Err)
		}
	})
}

// What cannot be prepared ends the stream after what came before it.
func TestUnprepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := &script{}, &subscriber{}
		s.act = func(_ context.Context, _ int, _ *introducerv1.SubscribeRequest, send func(*introducerv1.SubscribeResponse)) error {
			send(reset())
			send(changes(at('x', 1), a))
			send(changes(at('x', 2), a, b))
			return nil
		}
		broken := errors.New("two at once")
		h.ready = func(changes []*introducerv1.Change) (any, error) {
			if len(changes) == 2 {
				return nil, broken
			}
			return len(changes), nil
		}
		if err := run(t, s, h, 1); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"opened nowhere", "reset", "1 changes x1", "lost: two at once"}, h.log); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if !slices.Equal(s.asked, []string{"nowhere", "x1"}) || !follow.Permanent(h.lost[0].Err) {
			t.Errorf("resumed from %v after %v", s.asked, h.lost[0].Err)
		}
	})
}

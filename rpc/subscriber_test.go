package rpc_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
)

// subscriber is a client that holds what it was told, as the contract says it must, and checks at
// each event what can be checked there.
type subscriber struct {
	t      testing.TB
	stream introducerv1connect.IntroducerServiceSubscribeClientStream
	held   map[string]*introducerv1.Peer // :: service, peer id → announced
	token  *introducerv1.ResumeToken
	events []string // kinds, in order
	told   int      // changes
	basic  bool
	drain  *introducerv1.Drain
	reset  introducerv1.ResetReason
}

// The kinds of events.
const (
	reset    = "reset"
	changes  = "changes"
	synced   = "synced"
	progress = "progress"
	drain    = "drain"
)

func subscribe(t testing.TB, c client, req *introducerv1.SubscribeRequest) *subscriber {
	t.Helper()
	s := &subscriber{t: t, held: make(map[string]*introducerv1.Peer), basic: req.View == introducerv1.PeerView_PEER_VIEW_BASIC}
	s.connect(c, req)
	return s
}

// connect begins a stream, after what is held already.
func (s *subscriber) connect(c client, req *introducerv1.SubscribeRequest) {
	s.t.Helper()
	stream, err := c.Subscribe(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stream = stream
	s.events = nil
	s.t.Cleanup(func() { stream.Close() })
}

// until takes events up to and with the next of a kind.
func (s *subscriber) until(kind string) {
	s.t.Helper()
	for {
		if got := s.next(); got == kind {
			return
		} else if got == "" {
			s.t.Fatalf("the stream ended after %v, before %s", s.events, kind)
		}
	}
}

// next takes an event and returns its kind, "" for a clean end.
func (s *subscriber) next() string {
	s.t.Helper()
	e, err := s.stream.Receive()
	if errors.Is(err, io.EOF) {
		return ""
	}
	if err != nil {
		s.t.Fatalf("after %v: %v", s.events, err)
	}
	kind := s.take(e)
	s.events = append(s.events, kind)
	return kind
}

func (s *subscriber) take(e *introducerv1.SubscribeResponse) string {
	switch e := e.Event.(type) {
	case *introducerv1.SubscribeResponse_Reset_:
		clear(s.held)
		s.token = nil
		s.reset = e.Reset_.Reason
		return reset
	case *introducerv1.SubscribeResponse_Changes:
		s.apply(e.Changes)
		return changes
	case *introducerv1.SubscribeResponse_Synced:
		s.check(e.Synced)
		return synced
	case *introducerv1.SubscribeResponse_Progress:
		s.check(e.Progress)
		return progress
	case *introducerv1.SubscribeResponse_Drain:
		s.drain = e.Drain
		return drain
	}
	s.t.Fatalf("an event without a kind: %v", e)
	return ""
}

func (s *subscriber) apply(c *introducerv1.Changes) {
	last := s.token.GetRevision()
	for _, one := range c.Changes {
		s.told++
		var revision uint64
		switch one := one.Change.(type) {
		case *introducerv1.Change_Announced:
			p := one.Announced
			revision = p.Revision
			s.held[p.Service+string(p.PeerId)] = p
		case *introducerv1.Change_Gone:
			revision = one.Gone.Revision
			delete(s.held, one.Gone.Service+string(one.Gone.PeerId))
		default:
			s.t.Errorf("a change without a kind")
		}
		if revision <= last {
			s.t.Errorf("revision %d after %d", revision, last)
		}
		last = revision
	}
	if len(c.Changes) == 0 || c.Token.Revision < last {
		s.t.Errorf("%d changes up to revision %d with a token of revision %d", len(c.Changes), last, c.Token.Revision)
	}
	s.token = c.Token
}

// check compares what is held with what the introducer says it holds (I4).
func (s *subscriber) check(p *introducerv1.Progress) {
	s.token = p.Token
	if s.basic {
		return
	}
	if got := s.digest(); !bytes.Equal(p.SetDigest, got) {
		s.t.Errorf("at revision %d: the set digest is %x, what is held makes %x", p.Token.Revision, p.SetDigest, got)
	}
}

// digest is made by the words of the contract, not by our own code.
func (s *subscriber) digest() []byte {
	sum := make([]byte, 32)
	for _, p := range s.held {
		one := sha256.Sum256(append(slices.Clone(p.PeerId), p.Announcement.Message...))
		for i := range sum {
			sum[i] ^= one[i]
		}
	}
	return sum
}

// peers is what is held, by service and peer id.
func (s *subscriber) peers() []*introducerv1.Peer {
	var keys []string
	for k := range s.held {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var peers []*introducerv1.Peer
	for _, k := range keys {
		peers = append(peers, s.held[k])
	}
	return peers
}

// seqnums names what is held in short.
func (s *subscriber) seqnums() []string {
	var short []string
	for _, p := range s.peers() {
		short = append(short, fmt.Sprintf("%s %x %d", p.Service, p.PeerId[:2], p.Seqnum))
	}
	return short
}

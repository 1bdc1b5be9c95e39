package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client/follow"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/mirror"
	"github.com/introducer/introducer/web/visible"
)

// saveEvery spares the disk while much changes: the whole file is written each time.
const saveEvery = time.Second

// subscriber shows what happens to some services: the Handler of a subscription.
type subscriber struct {
	out      *printer
	checker  *checked.Checker
	server   *connection
	services []announce.Service // none: every one
	once     bool
	path     string // of the resume file; "" for none
	held     *mirror.Mirror

	stop   context.CancelFunc // ends run
	saved  time.Time          // when the file was written last
	forged int
	began  bool  // some connection has been good
	failed error // what went wrong here and not on the way
}

// run follows until ctx ends, or forever.
func (s *subscriber) run(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	err := follow.Run(ctx, follow.Options{
		Client:     s.server,
		Services:   s.services,
		Subscriber: &introducerv1.SubscriberInfo{Nickname: "introducer subscribe", Version: newBuild().Version},
		Token:      s.held.Token(),
		Handler:    s,
	})
	if err != nil {
		return err
	}
	return s.save()
}

// Prepare does nothing: what is shown is checked as it is shown.
func (s *subscriber) Prepare([]*introducerv1.Change) (any, error) { return nil, nil }

// Digest is the digest of what is held.
func (s *subscriber) Digest() [32]byte { return s.held.Digest() }

// Handle takes in one event and shows it.
func (s *subscriber) Handle(e follow.Event) error {
	if lost, ok := e.(follow.Lost); ok {
		return s.lost(lost)
	}
	s.failed = s.take(e)
	return s.failed
}

func (s *subscriber) take(e follow.Event) error {
	var err error
	switch e := e.(type) {
	case follow.Opened:
		s.began = true
		if e.Resumed == nil {
			return nil
		}
		return s.showStand(standing{Event: "resumed", Token: e.Resumed})
	case follow.Reset:
		s.held.Forget()
		err = s.showStand(standing{Event: "reset", Reason: resetReason(e.Reason)})
	case follow.Changes:
		for _, c := range e.Changes {
			s.held.Change(c)
			if err := s.showChange(c); err != nil {
				return err
			}
		}
		s.held.Stand(e.Token)
		if time.Since(s.saved) < saveEvery {
			return nil // the next event, or the end, saves it
		}
	case follow.Synced:
		s.held.Stand(e.Token)
		err = s.showStand(standing{Event: "synced", Token: e.Token, Held: true})
		if s.once {
			s.stop()
		}
	case follow.Progress:
		s.held.Stand(e.Token)
		if s.out.json { // it would be all there is to see in a quiet grid
			err = s.showStand(standing{Event: "progress", Token: e.Token, Held: true})
		}
	case follow.Drain:
		s.held.Stand(e.Token)
		err = s.showStand(standing{Event: "drain", Token: e.Token, Wait: e.Wait})
	case follow.Mismatch:
		s.held.Forget()
		err = s.showStand(standing{Event: "mismatch"})
	}
	if err != nil {
		return err
	}
	return s.save()
}

// lost ends the subscription where trying again is of no use, or nothing was ever heard.
func (s *subscriber) lost(e follow.Lost) error {
	if err := s.save(); err != nil {
		return err
	}
	if s.failed != nil {
		return s.failed
	}
	if e.Err != nil && (!s.began || follow.Permanent(e.Err)) {
		return s.server.explain(e.Err)
	}
	reason := "the introducer ended the stream"
	if e.Err != nil {
		reason = visible.Clip(e.Err.Error(), 200)
	}
	return s.showStand(standing{Event: "disconnected", Reason: reason, Wait: e.Wait})
}

func (s *subscriber) save() error {
	if s.path == "" {
		return nil
	}
	s.saved = time.Now()
	return s.held.Save(s.path)
}

// announcedEvent is an announcement, for programs.
type announcedEvent struct {
	Event string `json:"event"`
	checked.Peer
}

// goneEvent is a peer that left, for programs.
type goneEvent struct {
	Event    string `json:"event"`
	Service  string `json:"service"`
	PeerID   string `json:"peer_id"`
	Revision uint64 `json:"revision"`
	Reason   string `json:"reason"`             // withdrawn, expired, evicted
	Verified *bool  `json:"verified,omitempty"` // nil: nothing is signed
	Problem  string `json:"problem,omitempty"`
}

func (s *subscriber) showChange(c *introducerv1.Change) error {
	if c.GetAnnounced() != nil {
		p := s.checker.Check(c.GetAnnounced())
		if !p.Verified {
			s.forged++
		}
		if s.out.json {
			return s.out.object(announcedEvent{"announced", p})
		}
		mark := ""
		if !p.Verified {
			mark = "  " + verdict(p)
		}
		return s.out.line("+ %s  %s  %s  seqnum %d, revision %d  %s%s", visible.Clip(p.Service, 64), visible.Clip(p.PeerID, 60),
			name(p.Nickname), p.Seqnum, p.Revision, list(places(p.Endpoints, 3)), mark)
	}
	g := c.GetGone()
	_, _, id := announce.Signed{PeerID: g.GetPeerId()}.Tahoe()
	e := goneEvent{Event: "gone", Service: g.GetService(), PeerID: id, Revision: g.GetRevision(), Reason: checked.Reason(g.GetReason())}
	if err := s.checker.CheckGone(g); err != nil {
		s.forged++
		e.Problem = err.Error()
	}
	if g.GetReason() == introducerv1.GoneReason_GONE_REASON_WITHDRAWN {
		verified := e.Problem == ""
		e.Verified = &verified
	}
	if s.out.json {
		return s.out.object(e)
	}
	mark := ""
	if e.Problem != "" {
		mark = "  NOT VERIFIED: " + visible.Clip(e.Problem, 200)
	}
	return s.out.line("- %s  %s  %s, revision %d%s", visible.Clip(e.Service, 64), visible.Clip(e.PeerID, 60), e.Reason, e.Revision, mark)
}

// standing is an event about the subscription itself.
type standing struct {
	Event  string
	Token  *introducerv1.ResumeToken
	Held   bool // how many peers are held belongs to it
	Reason string
	Wait   time.Duration
}

// standingEvent is the same for programs.
type standingEvent struct {
	Event        string   `json:"event"`
	LogID        string   `json:"log_id,omitempty"`
	Revision     *uint64  `json:"revision,omitempty"`
	Peers        *int     `json:"peers,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	RetrySeconds *float64 `json:"retry_seconds,omitempty"`
}

func (s *subscriber) showStand(e standing) error {
	if s.out.json {
		return s.out.object(s.forPrograms(e))
	}
	at := ""
	if e.Token != nil {
		at = " at revision " + visible.Count(e.Token.GetRevision())
	}
	switch e.Event {
	case "resumed":
		return s.out.line("= resumed%s, %s held", at, counted(s.held.Len(), "peer"))
	case "reset":
		return s.out.line("= reset (%s): all peers follow", e.Reason)
	case "synced":
		return s.out.line("= synced%s, %s", at, counted(s.held.Len(), "peer"))
	case "drain":
		return s.out.line("= the introducer is about to stop; back in %s", visible.Duration(e.Wait))
	case "mismatch":
		return s.out.line("! %v: beginning anew", follow.ErrMismatch)
	}
	return s.out.line("! disconnected: %s; next try in %s", e.Reason, visible.Duration(e.Wait))
}

func (s *subscriber) forPrograms(e standing) standingEvent {
	out := standingEvent{Event: e.Event, Reason: e.Reason}
	if e.Token != nil {
		revision := e.Token.GetRevision()
		out.LogID, out.Revision = hex.EncodeToString(e.Token.GetLogId()), &revision
	}
	if e.Held {
		n := s.held.Len()
		out.Peers = &n
	}
	if e.Event == "drain" || e.Event == "disconnected" {
		seconds := e.Wait.Seconds()
		out.RetrySeconds = &seconds
	}
	return out
}

func resetReason(r introducerv1.ResetReason) string {
	switch r {
	case introducerv1.ResetReason_RESET_REASON_NEW:
		return "new"
	case introducerv1.ResetReason_RESET_REASON_COMPACTED:
		return "compacted"
	case introducerv1.ResetReason_RESET_REASON_OTHER_LOG:
		return "other_log"
	}
	return fmt.Sprintf("reason %d", r)
}

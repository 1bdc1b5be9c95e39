package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/mirror"
	"github.com/introducer/introducer/web/visible"
)

const (
	// silence is how long nothing may be heard before the connection counts as dead. An introducer
	// says every half minute or so that nothing is new.
	silence = 2 * time.Minute
	// saveEvery spares the disk while much changes: the whole file is written each time.
	saveEvery = time.Second
	// longestDrain bounds how long an introducer may ask us to stay away.
	longestDrain = 5 * time.Minute
)

// subscriber follows some services over as many connections as it takes.
type subscriber struct {
	out      *printer
	checker  *checked.Checker
	server   *connection
	services []announce.Service // none: every one
	once     bool
	path     string // of the resume file; "" for none
	held     *mirror.Mirror

	saved  time.Time // when the file was written last
	forged int
	began  bool // some connection has been good
	synced bool // this one has
	waits  backoff
}

// run follows until ctx ends, or forever.
func (s *subscriber) run(ctx context.Context) error {
	for {
		wait, err := s.connected(ctx)
		if saveErr := s.save(); saveErr != nil {
			return saveErr
		}
		if ctx.Err() != nil || s.once && s.synced {
			return nil
		}
		if !s.began || final(err) {
			return s.server.explain(err)
		}
		if s.synced {
			s.waits.reset()
		}
		if wait == 0 {
			wait = s.waits.next()
		}
		if err := s.showLost(err, wait); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// final tells whether trying again is of no use.
func final(err error) bool {
	if _, ok := errors.AsType[*stopError](err); ok {
		return true
	}
	if remote, ok := errors.AsType[*connect.Error](err); !ok || !remote.IsRemote() {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodePermissionDenied, connect.CodeUnauthenticated,
		connect.CodeUnimplemented, connect.CodeDataLoss:
		return true
	}
	return false
}

// stopError is what went wrong here and not on the way.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

var (
	errSilent   = fmt.Errorf("nothing was heard for %v", silence)
	errMismatch = errors.New("what is held is not what the introducer holds")
)

// connected is one connection, from Subscribe to its end. It returns why it ended and, if the
// introducer asked for it, how long to stay away.
func (s *subscriber) connected(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.synced = false
	token := s.held.Token()
	stream, err := s.server.Subscribe(ctx, s.request(token))
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	alive := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alive.Stop()
	for first := true; ; first = false {
		res, err := stream.Receive()
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
				err = cause
			}
			return wait, err
		}
		alive.Reset(silence)
		s.began = true
		if first && token != nil && res.GetReset_() == nil {
			if err := s.showStand(standing{Event: "resumed", Token: token}); err != nil {
				return 0, err
			}
		}
		if err := s.take(res); err != nil {
			return 0, err
		}
		if d := res.GetDrain(); d != nil {
			wait = min(d.GetReconnectAfter().AsDuration(), longestDrain)
		}
		if s.once && s.synced {
			return 0, nil
		}
	}
}

func (s *subscriber) request(token *introducerv1.ResumeToken) *introducerv1.SubscribeRequest {
	req := &introducerv1.SubscribeRequest{
		Resume:     token,
		View:       introducerv1.PeerView_PEER_VIEW_FULL,
		Subscriber: &introducerv1.SubscriberInfo{Nickname: "introducer subscribe", Version: newBuild().Version},
	}
	for _, name := range s.services {
		req.Services = append(req.Services, string(name))
	}
	return req
}

// take takes in one event and shows it.
func (s *subscriber) take(res *introducerv1.SubscribeResponse) error {
	if !s.held.Apply(res) {
		s.held.Forget()
		if err := s.showStand(standing{Event: "mismatch"}); err != nil {
			return &stopError{err}
		}
		return errMismatch
	}
	if err := s.show(res); err != nil {
		return &stopError{err}
	}
	if res.GetSynced() != nil {
		s.synced = true
	}
	if res.GetChanges() != nil && time.Since(s.saved) < saveEvery {
		return nil // the next event, or the end, saves it
	}
	return s.save()
}

func (s *subscriber) save() error {
	if s.path == "" {
		return nil
	}
	s.saved = time.Now()
	if err := s.held.Save(s.path); err != nil {
		return &stopError{err}
	}
	return nil
}

// show writes what an event says.
func (s *subscriber) show(res *introducerv1.SubscribeResponse) error {
	switch event := res.GetEvent().(type) {
	case *introducerv1.SubscribeResponse_Reset_:
		return s.showStand(standing{Event: "reset", Reason: resetReason(event.Reset_.GetReason())})
	case *introducerv1.SubscribeResponse_Changes:
		for _, c := range event.Changes.GetChanges() {
			if err := s.showChange(c); err != nil {
				return err
			}
		}
	case *introducerv1.SubscribeResponse_Synced:
		return s.showStand(standing{Event: "synced", Token: event.Synced.GetToken(), Held: true})
	case *introducerv1.SubscribeResponse_Progress:
		if s.out.json {
			return s.showStand(standing{Event: "progress", Token: event.Progress.GetToken(), Held: true})
		}
	case *introducerv1.SubscribeResponse_Drain:
		return s.showStand(standing{Event: "drain", Token: event.Drain.GetToken(), Wait: event.Drain.GetReconnectAfter().AsDuration()})
	}
	return nil
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
	case "progress":
		return nil // it would be all there is to see in a quiet grid
	case "drain":
		return s.out.line("= the introducer is about to stop; back in %s", visible.Duration(e.Wait))
	case "mismatch":
		return s.out.line("! %v: beginning anew", errMismatch)
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

// showLost tells that the connection ended and when the next begins.
func (s *subscriber) showLost(err error, wait time.Duration) error {
	reason := "the introducer ended the stream"
	if err != nil && !errors.Is(err, io.EOF) {
		reason = visible.Clip(err.Error(), 200)
	}
	return s.showStand(standing{Event: "disconnected", Reason: reason, Wait: wait})
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

package follow

import (
	"time"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// Event is what a [Handler] is told: one of the types below. The slices and messages in it are the
// Handler's.
type Event interface{ event() }

type (
	// Opened begins a stream: the introducer has said something.
	Opened struct {
		// Resumed is where the stream goes on. Nil: it begins from nothing, and a [Reset] follows.
		Resumed *introducerv1.ResumeToken
	}

	// Reset means that all that was announced is to be forgotten; what counts follows.
	Reset struct{ Reason introducerv1.ResetReason }

	// Changes are peers that came, changed or went.
	Changes struct {
		Changes  []*introducerv1.Change
		Token    *introducerv1.ResumeToken // where to resume after them; nil if none that could be was given
		Prepared any                       // what Handler.Prepare returned for them
	}

	// Synced is said once in a stream: all that was known when it began has been told, and what is held
	// is exactly what the introducer holds.
	Synced struct{ Token *introducerv1.ResumeToken }

	// Progress is said while nothing changes. What is held is exactly what the introducer holds.
	Progress struct{ Token *introducerv1.ResumeToken }

	// Drain means that the introducer is about to stop. The stream ends after it.
	Drain struct {
		Token *introducerv1.ResumeToken
		Wait  time.Duration // how long to stay away; 0: as after any other end
	}

	// Mismatch means that what is held is not what the introducer holds. The stream ends, and the next
	// begins from nothing: all that was announced is to be forgotten, as after Reset.
	Mismatch struct{}

	// Lost ends a stream, or an attempt at one.
	Lost struct {
		Err  error         // why; nil: the introducer ended it in order
		Wait time.Duration // until the next attempt
	}
)

func (Opened) event()   {}
func (Reset) event()    {}
func (Changes) event()  {}
func (Synced) event()   {}
func (Progress) event() {}
func (Drain) event()    {}
func (Mismatch) event() {}
func (Lost) event()     {}

// take hands one message to the Handler, and moves the token when it was taken.
func (f *follower) take(m received) error {
	if !f.began {
		f.began = true
		opened := Opened{Resumed: f.resumed}
		if m.res.GetReset_() != nil {
			opened.Resumed = nil
		}
		if err := f.handle(opened); err != nil {
			return err
		}
	}
	switch e := m.res.GetEvent().(type) {
	case *introducerv1.SubscribeResponse_Reset_:
		f.Token = nil // also if it is not taken: there is no way back
		return f.handle(Reset{e.Reset_.GetReason()})
	case *introducerv1.SubscribeResponse_Changes:
		token := usable(e.Changes.GetToken())
		return f.told(Changes{e.Changes.GetChanges(), token, m.prepared}, token)
	case *introducerv1.SubscribeResponse_Synced:
		return f.compared(e.Synced, func(t *introducerv1.ResumeToken) Event {
			f.synced = true
			return Synced{t}
		})
	case *introducerv1.SubscribeResponse_Progress:
		return f.compared(e.Progress, func(t *introducerv1.ResumeToken) Event { return Progress{t} })
	case *introducerv1.SubscribeResponse_Drain:
		f.drain = min(max(e.Drain.GetReconnectAfter().AsDuration(), 0), longestDrain)
		token := usable(e.Drain.GetToken())
		return f.told(Drain{token, f.drain}, token)
	}
	return nil // of a newer contract
}

func (f *follower) handle(e Event) error { return refused(f.Handler.Handle(e)) }

// told hands e over and then stands at token, if it is one.
func (f *follower) told(e Event, token *introducerv1.ResumeToken) error {
	if err := f.handle(e); err != nil {
		return err
	}
	if token != nil {
		f.Token = token
	}
	return nil
}

// compared is told for an event with a set digest.
func (f *follower) compared(p *introducerv1.Progress, event func(*introducerv1.ResumeToken) Event) error {
	if digest := f.Handler.Digest(); string(p.GetSetDigest()) != string(digest[:]) {
		f.Token = nil
		if err := f.handle(Mismatch{}); err != nil {
			return err
		}
		return ErrMismatch
	}
	token := usable(p.GetToken())
	return f.told(event(token), token)
}

// usable is a token that may be given as resume, or nil: one of another form would be refused for ever.
func usable(t *introducerv1.ResumeToken) *introducerv1.ResumeToken {
	if len(t.GetLogId()) != logIDSize {
		return nil
	}
	return t
}

package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/wal"
)

// Subscription is a cursor in the changes of some services: there is no queue behind it, so
// that a slow subscriber costs its own lateness and nothing else. What changes while it is
// behind is conflated: it is told each peer's latest state once. One goroutine at a time may
// call Next; Close may be called from anywhere, and must be.
type Subscription struct {
	r        *Registry
	services []announce.Service // sorted, each once; nil for every service
	reset    ResetReason

	cursor wal.Revision
	// While the first snapshot of a reset stream is read, tombstones up to here are news to
	// nobody and left out; see skip.
	snapshotHead wal.Revision
	told         bool // an AtHead batch was returned for the current cursor
	limit        int  // of the next page; see changesLocked

	wake chan struct{} // holds one token after a change
}

// Token is where a subscriber stands in one log.
type Token struct {
	LogID    wal.LogID
	Revision wal.Revision
}

// ResetReason says why a subscriber has to forget what it holds; NoReset that it need not.
type ResetReason uint8

// The reasons.
const (
	NoReset        ResetReason = iota
	ResetNew                   // it gave no token
	ResetCompacted             // tombstones that it has not seen were dropped
	ResetOtherLog              // its token is of another log, or of a future this log never had
)

// Batch is what Next returns.
type Batch struct {
	Changes []*Peer // latest states, in revision order; none when idle
	Token   Token   // where the subscriber stands after them
	// AtHead: the subscriber's set now equals the registry's at Token, and Digest is that
	// set's: XOR over its peers of SHA-256(peer id ‖ message).
	AtHead bool
	Digest [32]byte
}

// minBatch is how many states one Next copies out at first while it holds the lock.
const minBatch = 512

// Subscribe begins a subscription to services (none: every one, also those to come) after
// resume (nil: from nothing). It never blocks.
func (r *Registry) Subscribe(services []announce.Service, resume *Token) *Subscription {
	s := &Subscription{r: r, services: unique(services), limit: minBatch, wake: make(chan struct{}, 1)}
	r.hub.add(s)
	head := r.headRevision()
	switch {
	case resume == nil:
		s.reset = ResetNew
	case resume.LogID != r.log.ID() || resume.Revision > head || r.otherHistory():
		s.reset = ResetOtherLog
	case resume.Revision < r.log.Forgotten():
		s.reset = ResetCompacted
	default:
		s.cursor = resume.Revision
	}
	if s.reset != NoReset {
		s.snapshotHead = head
	}
	return s
}

// otherHistory reports whether the log is known to hold other records than were once served
// under its id: no token can be trusted to mean what it meant.
func (r *Registry) otherHistory() bool {
	return r.lost != nil && (r.lost.Reason == wal.ReasonOtherLog || r.lost.Reason == wal.ReasonOtherChain)
}

// Reset is why the subscriber has to start from nothing, if it does.
func (s *Subscription) Reset() ResetReason { return s.reset }

// Next waits for the next batch: at once while the subscriber is behind, when it has just
// caught up, and otherwise at the next change of its services or after idle, whichever
// comes first. Errors are ctx's, ErrClosed, and ErrNoRevision for a subscriber so far behind that
// tombstones were dropped which it has not seen: a new subscription resets it.
func (s *Subscription) Next(ctx context.Context, idle time.Duration) (Batch, error) {
	if s.r.closing.Err() != nil {
		return Batch{}, ErrClosed
	}
	if b, err := s.read(); err != nil || len(b.Changes) > 0 || b.AtHead && !s.told {
		s.told = b.AtHead
		return b, err
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
			// The token may be older than what read saw last: look again, and wait on if
			// there is nothing.
			if b, err := s.read(); err != nil || len(b.Changes) > 0 {
				s.told = b.AtHead
				return b, err
			}
		case <-timer.C:
			b, err := s.read()
			s.told = b.AtHead
			return b, err
		case <-ctx.Done():
			return Batch{}, context.Cause(ctx)
		case <-s.r.closing.Done():
			return Batch{}, ErrClosed
		}
	}
}

// read copies out what is newer than the cursor and moves it. States, head and digest are
// taken under one lock, so that they are of one revision (I4).
func (s *Subscription) read() (Batch, error) {
	r := s.r
	r.mu.RLock()
	defer r.mu.RUnlock()
	head := r.headRevision()
	// Tombstones go from the journals only after Forgotten has passed them, and under the lock. Those up
	// to snapshotHead are not missed; see skip.
	if gone := r.log.Forgotten(); s.cursor < gone && s.snapshotHead < gone {
		return Batch{}, fmt.Errorf("%w: who left between %d and %d is forgotten; subscribe again", ErrNoRevision, s.cursor, gone)
	}
	b := Batch{Token: Token{LogID: r.log.ID()}}
	all := true
	if s.cursor < head {
		b.Changes, all = s.changesLocked()
	}
	if !all {
		// However fast peers change, a subscriber that keeps reading must reach the head: pages
		// grow until one does.
		s.limit *= 2
		s.cursor = b.Changes[len(b.Changes)-1].Revision
		b.Token.Revision = s.cursor
		return b, nil
	}
	s.limit = minBatch
	s.cursor = head
	b.Token.Revision = head
	b.AtHead = true
	b.Digest = s.digestLocked()
	return b, nil
}

// changesLocked returns the oldest states after the cursor and whether those are all.
func (s *Subscription) changesLocked() ([]*Peer, bool) {
	if s.services == nil {
		return s.r.changes.after(s.cursor, s.limit, s.skip, nil)
	}
	var page []*Peer
	all := true
	for _, name := range s.services {
		if svc := s.r.service(name); svc != nil {
			var complete bool
			page, complete = svc.changes.after(s.cursor, s.limit, s.skip, page)
			all = all && complete
		}
	}
	if len(s.services) > 1 {
		// Each service gave its oldest, so the oldest of all are among them.
		sortByRevision(page)
		if len(page) > s.limit {
			page, all = page[:s.limit], false
		}
	}
	return page, all
}

// skip leaves tombstones out of a first snapshot. Of what this stream sent no peer can have
// gone at or before the head it began with, so only later tombstones matter to it. A stream
// that resumes in the middle of somebody's snapshot has no snapshotHead and skips nothing.
func (s *Subscription) skip(p *Peer) bool { return p.Revision <= s.snapshotHead && !p.live() }

func (s *Subscription) digestLocked() [32]byte {
	if s.services == nil {
		return s.r.digest
	}
	var sum [32]byte
	for _, name := range s.services {
		if svc := s.r.service(name); svc != nil {
			xor(&sum, svc.digest)
		}
	}
	return sum
}

// Close ends the subscription.
func (s *Subscription) Close() { s.r.hub.remove(s) }

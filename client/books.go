package client

import (
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client/internal/cache"
)

// books are what one introducer announced. Its methods take the ledger in which they stand; all is for
// whoever holds Client.mu.
type books struct {
	url     string
	entries map[cache.Key]entry
	bytes   int64 // of the messages of all entries' peers
	// answers: the stream is up, and has been synced.
	answers bool

	// What was announced since the last reset is of the present generation. What is of an earlier one
	// is left over: it stays until the introducer has said all that it knows, and until then if later.
	generation uint32
	digest     cache.Digest // XOR over the present generation
	left       int          // entries left over
	until      time.Time

	resetting bool // since the last reset, synced has not come
	otherLog  bool // that reset was of another log

	log      logID                     // of the whole set; while resetting, of the one before; zero: none
	token    *introducerv1.ResumeToken // where the present generation stands; nil: nowhere
	services []announce.Service        // that it is of, sorted

	// saved: the cache has this set, and is to be told its changes. It is not told before the introducer
	// has said all, so that a crash leaves the former set; nor of a token while something is left over.
	saved bool

	// dormant are entries that the cache had, of services that are not subscribed to yet.
	dormant map[cache.Key]entry
}

// logID names an introducer's log.
type logID = [16]byte

// entry is what an introducer announced under one key.
type entry struct {
	digest     cache.Digest // of the last, good or bad
	generation uint32
	peer       *Peer // the last that was good; nil: none was
}

// newBooks are the books of one introducer, with what the cache held of it.
func newBooks(url string, state *cache.State) *books {
	b := &books{url: url, entries: make(map[cache.Key]entry), resetting: true}
	held := state.Introducers[url]
	if held == nil {
		return b
	}
	b.dormant = make(map[cache.Key]entry, len(held.Announced))
	for k, digest := range held.Announced {
		e := entry{digest: digest}
		if a, ok := state.Announcements[digest]; ok && a.Key() == k && !a.Said.Withdrawn {
			e.peer = newPeer(a.Said, k.ID, a.Signed, digest)
		}
		b.dormant[k] = e
	}
	if b.log = held.LogID; b.log != (logID{}) {
		b.token = &introducerv1.ResumeToken{LogId: held.LogID[:], Revision: held.Revision}
		b.services = slices.Sorted(slices.Values(held.Services))
		b.resetting, b.saved = false, true
	} else {
		b.otherLog = true // as far as anyone knows
	}
	return b
}

// put takes in that something of this digest was announced under k. It returns ErrTooMany, and does
// nothing, where that is one too many.
func (b *books) put(l *ledger, k cache.Key, digest cache.Digest) error {
	e, ok := b.entries[k]
	switch {
	case !ok && len(b.entries) >= l.maxPeers, b.bytes > l.maxBytes:
		return ErrTooMany
	case ok && e.generation == b.generation:
		xor(&b.digest, e.digest)
	case ok:
		b.left--
	}
	xor(&b.digest, digest)
	e.digest, e.generation = digest, b.generation
	b.entries[k] = e
	return nil
}

// vouch notes that what was put under k last is p.
func (b *books) vouch(k cache.Key, p *Peer) {
	e := b.entries[k]
	b.bytes -= e.size()
	e.peer = p
	b.bytes += e.size()
	b.entries[k] = e
}

func (e entry) size() int64 {
	if e.peer == nil {
		return 0
	}
	return int64(len(e.peer.Signed.Message))
}

// announced takes in an announcement under k: p if it was good, else nil. It reports whether it was
// good and not older than what is known; the error is ErrTooMany.
func (b *books) announced(l *ledger, k cache.Key, digest cache.Digest, p *Peer) (taken bool, err error) {
	before := b.entries[k].peer
	if err := b.put(l, k, digest); err != nil {
		return false, err
	}
	taken = p != nil && l.announced(b, k, p)
	if !taken && before != nil {
		// The good one stays, but in the cache this one takes its place.
		if rec := l.records[k]; l.vouched(k, before) {
			l.raise(k, rec)
		}
	}
	if b.saved {
		l.note(b.announcement(k, b.entries[k]))
	}
	return taken, nil
}

// announcement is an entry as the cache has it.
func (b *books) announcement(k cache.Key, e entry) cache.Announced {
	op := cache.Announced{Introducer: b.url, Key: k, Digest: e.digest}
	if e.peer != nil && e.peer.digest == e.digest {
		op.Signed = e.peer.Signed
	}
	return op
}

// gone takes in the introducer's word that there is nothing under k any more.
func (b *books) gone(l *ledger, k cache.Key) {
	e, ok := b.entries[k]
	if !ok {
		return
	}
	if e.generation == b.generation {
		xor(&b.digest, e.digest)
	} else {
		b.left--
	}
	b.bytes -= e.size()
	delete(b.entries, k)
	if b.saved {
		l.note(cache.Gone{Introducer: b.url, Key: k})
	}
	l.lose(k, e.peer, true)
}

// reset begins a new generation.
func (b *books) reset(otherLog bool) {
	b.generation++
	b.digest, b.left = cache.Digest{}, len(b.entries)
	b.resetting, b.saved = true, false
	log := logOf(b.token)
	b.otherLog = b.otherLog || otherLog || b.token != nil && b.log != (logID{}) && b.log != log
	if b.token != nil {
		b.log, b.token = log, nil
	}
}

// stand notes where the set stands now, and has the cache know.
func (b *books) stand(l *ledger, token *introducerv1.ResumeToken) {
	if token != nil {
		b.token = token
	}
	b.save(l)
}

// synced takes in that the introducer has said all that it knows: from now on it answers.
func (b *books) synced(l *ledger, token *introducerv1.ResumeToken) {
	if token != nil {
		b.token = token
	}
	b.answers = true
	for k, e := range b.entries {
		// What is left over it does not have any more.
		if rec := l.records[k]; e.generation == b.generation && l.vouched(k, e.peer) && !rec.floor.Time.IsZero() {
			l.stay(k, rec)
			l.settle(k)
		}
	}
	if b.resetting {
		now, log := time.Now(), logOf(b.token)
		// A former log that is not this one says nothing of who left, only of who has not come again.
		if b.otherLog || b.log != log {
			now = now.Add(l.grace)
		}
		if now.After(b.until) {
			b.until = now
		}
		b.resetting, b.otherLog, b.log = false, false, log
	}
	b.sweep(l)
	b.save(l)
}

// sweep drops what is left over, if its time has come, and before that what makes no difference.
func (b *books) sweep(l *ledger) {
	if !b.due() {
		return
	}
	over := !time.Now().Before(b.until)
	for k, e := range b.entries {
		if e.generation != b.generation && (over || !l.vouched(k, e.peer)) {
			b.gone(l, k)
		}
	}
}

// due reports whether what is left over goes at b.until: not while the introducer has not said all.
func (b *books) due() bool { return b.left > 0 && b.answers && !b.resetting }

// save has the cache know of the set, once the introducer has said all, and of where it stands if
// nothing is left over.
func (b *books) save(l *ledger) {
	if b.resetting || b.token == nil || !l.cached {
		return
	}
	if !b.saved {
		b.saved = true
		l.note(cache.Reset{Introducer: b.url})
		for k, e := range b.entries {
			l.note(b.announcement(k, e))
		}
	}
	if b.left == 0 {
		l.note(cache.Stand{Introducer: b.url, LogID: logOf(b.token), Revision: b.token.Revision, Services: b.services})
	}
}

// resume returns where a stream of the services is to begin, nil for anew.
func (b *books) resume(services []announce.Service) *introducerv1.ResumeToken {
	if b.token == nil || b.resetting || !slices.Equal(services, b.services) {
		b.reset(false)
		b.services = services
	}
	return b.token
}

// subscribe drops the entries of services that are not shown any more, and takes those that the cache
// had of services that are shown now.
func (b *books) subscribe(l *ledger) {
	for k, e := range b.entries {
		if l.views[k.Service] != nil {
			continue
		}
		if e.generation == b.generation {
			xor(&b.digest, e.digest)
		} else {
			b.left--
		}
		b.bytes -= e.size()
		delete(b.entries, k)
		b.services = nil // it is not the set of those any more, if they should be wanted again before resume
	}
	for k, e := range b.dormant {
		if l.views[k.Service] != nil {
			delete(b.dormant, k)
			b.load(l, k, e)
		}
	}
}

// load takes in an entry that the cache had.
func (b *books) load(l *ledger, k cache.Key, e entry) {
	p := e.peer
	e.peer = nil
	if b.resetting { // it is of a set that is gone meanwhile
		e.generation = b.generation - 1
		b.left++
	} else {
		e.generation = b.generation
		xor(&b.digest, e.digest)
	}
	b.entries[k] = e
	if p != nil {
		l.place(b, k, p)
	}
}

// logOf is the log that a token is of; zero for no token.
func logOf(t *introducerv1.ResumeToken) logID {
	var id logID
	copy(id[:], t.GetLogId())
	return id
}

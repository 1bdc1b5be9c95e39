package registry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// History is what the records of a log make of a grid, without a Registry: for whoever looks at a log, or
// builds an index from it. It keeps the newest state of each (service, peer id), some 300 bytes each. For
// one goroutine; signatures are verified on idle cores.
type History struct {
	verifier  *announce.Verifier
	compacted wal.Compacted
	each      func(Step)
	waiting   []wal.Record              // for each other's signatures
	entries   map[store.Key]store.Entry // :: the newest state of each peer
	live      int
	digest    [32]byte
}

// Step is one record, read.
type Step struct {
	Revision wal.Revision
	// Entry is what the record makes of its peer, nil: it can't be read.
	Entry *store.Entry
	// Signed is the announcement or withdrawal, nil: an expiry or an eviction.
	Signed *announce.Signed
	// Err says what is wrong with it: it can't be read, nobody signed it, or no introducer would have
	// accepted it where it stands.
	Err error
}

// NewHistory begins before the first record of a log of which compaction left c. each, which may be nil, is
// called for every record, in order; what it gets is its own.
func NewHistory(c wal.Compacted, each func(Step)) *History {
	if each == nil {
		each = func(Step) {}
	}
	return &History{
		verifier:  announce.NewVerifier(verifierKeys),
		compacted: c,
		each:      each,
		entries:   make(map[store.Key]store.Entry),
	}
}

// historyBatch is how many records wait for each other's signatures.
const historyBatch = 1024

// Add takes the next record; what it made of the state is known after End.
func (h *History) Add(rec wal.Record) {
	rec.Payload = bytes.Clone(rec.Payload)
	if h.waiting = append(h.waiting, rec); len(h.waiting) == historyBatch {
		h.flush()
	}
}

// End comes after the last record, and before what follows is asked.
func (h *History) End() {
	h.flush()
	// A restart forgets them too, and only now: till here they superseded what was older.
	maps.DeleteFunc(h.entries, func(_ store.Key, e store.Entry) bool { return h.forgotten(e) })
}

// forgotten says whether compaction has forgotten a tombstone, wherever it still lies.
func (h *History) forgotten(e store.Entry) bool {
	return e.State != Live && e.Revision <= h.compacted.Forgotten
}

func (h *History) flush() {
	steps := make([]Step, len(h.waiting))
	parallel(len(steps), func(i int) { steps[i] = h.read(h.waiting[i]) })
	for _, s := range steps {
		if s.Entry != nil {
			s.Err = errors.Join(s.Err, h.apply(*s.Entry))
		}
		h.each(s)
	}
	clear(h.waiting)
	h.waiting = h.waiting[:0]
}

// read reads a record without what was before it.
func (h *History) read(rec wal.Record) Step {
	s := Step{Revision: rec.Revision}
	var c clock
	d, err := c.replay(rec)
	if err != nil {
		s.Err = err
		return s
	}
	e := indexEntry(d.peer, d.seed)
	s.Entry = &e
	if rec.Kind != kindPublished {
		return s
	}
	p, err := decodePublished(rec.Payload)
	if err == nil {
		s.Signed = &p.signed
		err = h.verifier.Verify(p.signed)
	}
	s.Err = err
	return s
}

// apply puts e in the place of what was known, and says why that should not have happened. As in a
// restart, the record has the word all the same.
func (h *History) apply(e store.Entry) error {
	key := store.Key{Service: e.Service, PeerID: e.PeerID}
	old, known := h.entries[key]
	var err error
	switch {
	case known && !h.forgotten(old):
		err = follows(old, e)
	case !known && removal(e) && h.compacted.Floor.Revision == 0:
		err = errors.New("it removes what was never announced")
	}
	if known && old.State == Live {
		h.live--
		xor(&h.digest, old.Digest)
	}
	if e.State == Live {
		h.live++
		xor(&h.digest, e.Digest)
	}
	h.entries[key] = e
	return err
}

// follows says why e cannot come after old, if so.
func follows(old, e store.Entry) error {
	if removal(e) {
		if old.State != Live || old.Digest != e.Digest || old.Seqnum != e.Seqnum {
			return fmt.Errorf("it removes another announcement than that of revision %d", old.Revision)
		}
		return nil
	}
	known := &Peer{Seqnum: old.Seqnum, Digest: old.Digest, State: old.State}
	said := &announce.Announcement{Seqnum: e.Seqnum, Withdrawn: e.State == Withdrawn}
	if outcome := judge(known, said, e.Digest); outcome != Accepted && outcome != TakenBack {
		return fmt.Errorf("it is %v, after revision %d with seqnum %d", outcome, old.Revision, old.Seqnum)
	}
	return nil
}

func removal(e store.Entry) bool { return e.State != Live && e.State != Withdrawn }

// Entry is the newest state of a peer.
func (h *History) Entry(k store.Key) (store.Entry, bool) {
	e, ok := h.entries[k]
	return e, ok
}

// Entries is the newest state of every peer, tombstones included, by service and peer id.
func (h *History) Entries() iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		keys := make([]store.Key, 0, len(h.entries))
		for k := range h.entries {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b store.Key) int {
			return cmp.Or(strings.Compare(a.Service, b.Service), bytes.Compare(a.PeerID[:], b.PeerID[:]))
		})
		for _, k := range keys {
			if !yield(h.entries[k]) {
				return
			}
		}
	}
}

// Live is how many peers are live; a node counts once for each service.
func (h *History) Live() int { return h.live }

// Digest is the set digest of the live ones, over all services; see Batch.
func (h *History) Digest() [32]byte { return h.digest }

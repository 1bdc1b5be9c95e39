package registry

import (
	"sync/atomic"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// Peer is the newest that is known of one (service, peer id): its live announcement, or the
// tombstone of one that left. What was said, nickname and endpoints among it, is read from
// the log by Registry.Announcement; memory holds only what judging and looking up need.
//
// Peers are immutable for readers and shared between them.
type Peer struct {
	Service  announce.Service
	ID       announce.PeerID
	Revision wal.Revision // where the record that made this state stands in the log
	Seqnum   uint64       // of the announcement; of a tombstone, what a newer one must beat
	Digest   [32]byte     // SHA-256(peer id ‖ message) of that announcement
	State    State

	// Unix ns; expires is 0 for never.
	announced, firstSeen, expires int64
	// On the introducer's clock; 0 for never.
	deadline time.Duration
	// The place in expiryHeap plus one; owned by the sequencer.
	expiry int

	// A later record has taken this one's place. Guarded by Registry.mu.
	superseded bool
	// The signature on disk was verified by this process, at publish or at the first read.
	verified atomic.Bool
}

// State says whether a peer is live, or how it left.
type State = store.State

// The states of a peer; all but Live are tombstones.
const (
	Live      = store.Live
	Withdrawn = store.Withdrawn // by the peer's own signed word
	Expired   = store.Expired   // its time to live ran out
	Evicted   = store.Evicted   // by the operator
)

// Announced is when this state was accepted into the log.
func (p *Peer) Announced() time.Time { return time.Unix(0, p.announced).UTC() }

// FirstSeen is when the first announcement of this service was accepted from this peer, as
// far back as its tombstones were kept.
func (p *Peer) FirstSeen() time.Time { return time.Unix(0, p.firstSeen).UTC() }

// Expires is when the announcement will end if it is not renewed and the introducer keeps
// running, or the zero time for never. Downtime of the introducer moves it.
func (p *Peer) Expires() time.Time {
	if p.expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, p.expires).UTC()
}

func (p *Peer) live() bool { return p.State == Live }

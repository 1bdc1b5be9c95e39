package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/wal"
)

// The kinds of records, as the log keeps them; numbers are never reused.
const (
	kindPublished wal.Kind = 1
	kindRemoved   wal.Kind = 2
)

// published is the payload of an announcement or a withdrawal. It alone restores all that is
// known of its peer, so that compaction may drop everything that it supersedes.
type published struct {
	firstSeen int64
	signed    announce.Signed
}

const publishedHead = 8 + 32 + 64

func (p published) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.firstSeen))
	b = append(b, p.signed.PeerID...)
	b = append(b, p.signed.Signature...)
	return append(b, p.signed.Message...)
}

var errShortPayload = errors.New("payload is cut short")

// decodePublished's result aliases b.
func decodePublished(b []byte) (published, error) {
	if len(b) < publishedHead {
		return published{}, errShortPayload
	}
	return published{
		firstSeen: int64(binary.BigEndian.Uint64(b)),
		signed:    announce.Signed{PeerID: b[8:40:40], Signature: b[40:104:104], Message: b[104:]},
	}, nil
}

// removed is the payload of an expiry or an eviction. Like published it stands for itself.
type removed struct {
	state     State // Expired or Evicted
	seqnum    uint64
	firstSeen int64
	id        announce.PeerID
	digest    [32]byte
	service   announce.Service
}

const removedHead = 1 + 8 + 8 + 32 + 32

func (r removed) append(b []byte) []byte {
	b = append(b, byte(r.state))
	b = binary.BigEndian.AppendUint64(b, r.seqnum)
	b = binary.BigEndian.AppendUint64(b, uint64(r.firstSeen))
	b = append(b, r.id[:]...)
	b = append(b, r.digest[:]...)
	return append(b, r.service...)
}

func decodeRemoved(b []byte) (removed, error) {
	if len(b) < removedHead {
		return removed{}, errShortPayload
	}
	r := removed{
		state:     State(b[0]),
		seqnum:    binary.BigEndian.Uint64(b[1:]),
		firstSeen: int64(binary.BigEndian.Uint64(b[9:])),
		id:        announce.PeerID(b[17:49]),
		digest:    [32]byte(b[49:81]),
	}
	if r.state != Expired && r.state != Evicted {
		return removed{}, fmt.Errorf("removal for reason %d, which is none", b[0])
	}
	var err error
	r.service, err = announce.ParseService(string(b[81:]))
	return r, err
}

// replayed is what one record does to the state: the peer it makes, and its seed and whether
// one was announced, which the view and the index want.
type replayed struct {
	peer *Peer
	seed []byte // nil: none announced, or a tombstone
}

// replay reads a record as the sequencer once wrote it. Judging is not repeated: the log
// holds only what was accepted.
func (c *clock) replay(rec wal.Record) (replayed, error) {
	switch rec.Kind {
	case kindPublished:
		p, err := decodePublished(rec.Payload)
		if err != nil {
			return replayed{}, err
		}
		a, err := announce.Parse(p.signed.Message)
		if err != nil {
			return replayed{}, err
		}
		peer := newPeer(a, announce.PeerID(p.signed.PeerID), p.signed.Digest())
		peer.Revision = rec.Revision
		peer.firstSeen = p.firstSeen
		peer.announced = rec.Time.UnixNano()
		c.setDeadline(peer, rec.Clock, a.TTL)
		return replayed{peer, seedOf(a, peer.ID)}, nil
	case kindRemoved:
		r, err := decodeRemoved(rec.Payload)
		if err != nil {
			return replayed{}, err
		}
		return replayed{peer: &Peer{
			Service: r.service, ID: r.id, Revision: rec.Revision, Seqnum: r.seqnum, Digest: r.digest,
			State: r.state, announced: rec.Time.UnixNano(), firstSeen: r.firstSeen,
		}}, nil
	default:
		return replayed{}, fmt.Errorf("record kind %d is unknown to this version", rec.Kind)
	}
}

func newPeer(a *announce.Announcement, id announce.PeerID, digest [32]byte) *Peer {
	p := &Peer{Service: a.Service, ID: id, Seqnum: a.Seqnum, Digest: digest, State: Live}
	if a.Withdrawn {
		p.State = Withdrawn
	}
	return p
}

// seedOf is the seed that a live peer announced, nil for none: a tombstone's, and one that
// says what would be derived anyway.
func seedOf(a *announce.Announcement, id announce.PeerID) []byte {
	if a.Withdrawn || bytes.Equal(a.PermutationSeed, id[:]) {
		return nil
	}
	return a.PermutationSeed
}

// clock is the introducer's running time: it stands still while the introducer is down, so
// that an outage never erases the grid.
type clock struct {
	now     func() time.Time
	started time.Time     // on the wall, with the monotonic reading
	base    time.Duration // the clock's value then
}

func (c *clock) read(now time.Time) time.Duration { return c.base + now.Sub(c.started) }

// setDeadline gives a live peer the end of its time to live, counted from when it was
// accepted on the introducer's clock.
func (c *clock) setDeadline(p *Peer, accepted time.Duration, ttl time.Duration) {
	if ttl == 0 || !p.live() {
		return
	}
	c.endAt(p, accepted+ttl)
}

// endAt sets the deadline itself, and what it is on the wall if the introducer keeps running.
func (c *clock) endAt(p *Peer, deadline time.Duration) {
	p.deadline = deadline
	p.expires = c.started.Add(deadline - c.base).UnixNano()
}

package registry

import (
	"errors"
	"fmt"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/wal"
)

// View is one service as it was at one revision: immutable, and kept alive by its holder.
type View struct {
	Revision wal.Revision
	Peers    *permute.Table[*Peer] // live ones, by peer id, with their permutation seeds
}

// View shows the live peers of a service, none for one that nobody announced. It takes no
// lock and never waits.
//
// The head is read before the snapshot. A snapshot whose last change is not above that head
// was the service's state at the head, since a later change would carry a greater revision;
// one above it names its own. So the revision is exact either way (I9).
func (r *Registry) View(name announce.Service) View {
	head := r.headRevision()
	s := r.service(name)
	if s == nil {
		return View{Revision: head, Peers: new(permute.Table[*Peer])}
	}
	snap := s.snapshot.Load()
	return View{Revision: max(head, snap.revision), Peers: snap.peers}
}

// Announcement reads back what p's node signed: p's live announcement or its withdrawal.
// Of expired and evicted peers there is none: ErrNoAnnouncement.
//
// The record's checksum, its digest and, the first time in this process, its signature are
// checked: ErrDamaged is all that a damaged disk can make of it (I5). ErrNoRevision: p has been
// replaced, and longer ago than superseded records are retained. The caller owns what is returned.
func (r *Registry) Announcement(p *Peer) (*announce.Announcement, announce.Signed, error) {
	if p.State != Live && p.State != Withdrawn {
		return nil, announce.Signed{}, ErrNoAnnouncement
	}
	rec, err := r.log.Get(p.Revision)
	if errors.Is(err, wal.ErrNotFound) && r.superseded(p) {
		return nil, announce.Signed{}, fmt.Errorf("%w: %d was replaced and compacted away since; ask again", ErrNoRevision, p.Revision)
	}
	if err != nil {
		return nil, announce.Signed{}, damaged(p.Revision, err)
	}
	if rec.Kind != kindPublished {
		return nil, announce.Signed{}, damaged(p.Revision, fmt.Errorf("an announcement is expected, kind %d is there", rec.Kind))
	}
	d, err := decodePublished(rec.Payload)
	if err != nil {
		return nil, announce.Signed{}, damaged(p.Revision, err)
	}
	if sha := d.signed.Digest(); sha != p.Digest {
		return nil, announce.Signed{}, damaged(p.Revision, errors.New("it holds another announcement than the index says"))
	}
	if !p.verified.Load() {
		if err := r.verifier.Verify(d.signed); err != nil {
			return nil, announce.Signed{}, damaged(p.Revision, err)
		}
		p.verified.Store(true)
	}
	a, err := announce.Parse(d.signed.Message)
	if err != nil {
		return nil, announce.Signed{}, damaged(p.Revision, err)
	}
	return a, d.signed, nil
}

func (r *Registry) superseded(p *Peer) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.superseded
}

// ErrNoAnnouncement is returned for a peer that is gone without a word of its own.
var ErrNoAnnouncement = errors.New("the peer was removed; there is no announcement of it")

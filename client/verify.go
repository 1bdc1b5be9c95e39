package client

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client/internal/cache"
)

// batch is the changes of one message, while they are verified and until they are applied.
type batch struct {
	items  []item
	checks []*check // of items; one that another batch asked for first is in both
}

// item is one change.
type item struct {
	key    cache.Key
	digest cache.Digest // of what is announced
	gone   bool
	peer   *Peer  // announced, and known already
	check  *check // of the announcement or withdrawal; nil: there is none to verify
	err    error  // why it is to be rejected unseen
	place  bool   // it has a key that is subscribed to, whatever is wrong with the rest
}

// check is one verification. The same bytes are verified once, however many introducers send them at
// the same time.
type check struct {
	id     checkID
	signed announce.Signed
	users  int           // batches that are not applied yet; guarded by Client.mu
	done   chan struct{} // closed when what follows is set
	said   *announce.Announcement
	peer   *Peer // nil for a withdrawal
	err    error
}

// checkID has the signature too: the digest is without, and good bytes must not share the fate of the
// same bytes with a bad signature.
type checkID struct {
	digest    cache.Digest
	signature string
}

// maxChanges is more changes than fit into any message that an introducer should send. A change takes
// two bytes on the wire and a hundred in memory.
const maxChanges = 100_000

// begin looks at the changes of a message and begins to verify what needs it.
func (x *introducer) begin(changes []*introducerv1.Change) (*batch, error) {
	c := x.c
	if len(changes) > maxChanges {
		return nil, fmt.Errorf("%d changes in one message, at most %d are taken", len(changes), maxChanges)
	}
	b := &batch{items: make([]item, len(changes))}
	wanted := make([]*check, len(changes))
	for i, change := range changes {
		wanted[i] = b.items[i].read(change)
	}
	var run []*check
	done := make(chan struct{})
	c.mu.Lock()
	for i, w := range wanted {
		it := &b.items[i]
		if it.err == nil && c.ledger.views[it.key.Service] == nil {
			it.err, w = errors.New("of a service that is not subscribed to"), nil
		}
		it.place = it.err == nil
		if w == nil {
			continue
		}
		// Checks before records: a check is dropped only when its result is in the records.
		if known := c.checks[w.id]; known != nil {
			known.users++
			it.check = known
		} else if rec := c.ledger.records[it.key]; !it.gone && rec != nil && rec.peer != nil && rec.peer.digest == it.digest {
			it.peer = rec.peer
			continue
		} else {
			w.users, w.done = 1, done
			c.checks[w.id], it.check = w, w
			run = append(run, w)
		}
		b.checks = append(b.checks, it.check)
	}
	x.pending = append(x.pending, b)
	c.mu.Unlock()
	c.verify(run, done)
	return b, nil
}

// read fills in what a change says, and returns what is to be verified of it, if anything is.
func (it *item) read(change *introducerv1.Change) *check {
	var service string
	var id []byte
	var signed *introducerv1.SignedAnnouncement
	switch change := change.GetChange().(type) {
	case *introducerv1.Change_Announced:
		p := change.Announced
		service, id, signed = p.GetService(), p.GetPeerId(), p.GetAnnouncement()
		it.digest = signed.Signed().Digest()
	case *introducerv1.Change_Gone:
		g := change.Gone
		it.gone = true
		service, id, signed = g.GetService(), g.GetPeerId(), g.GetWithdrawal()
	default:
		it.err = errors.New("of an unknown kind")
		return nil
	}
	if it.key.Service, it.err = announce.ParseService(service); it.err != nil {
		return nil
	}
	if it.key.ID, it.err = announce.PeerIDFromBytes(id); it.err != nil || signed == nil && it.gone {
		return nil
	}
	s := signed.Signed()
	if len(s.Message) > announce.MaxMessage {
		s.Message = s.Message[:announce.MaxMessage+1] // as bad, and no more to keep
	}
	digest := it.digest
	if it.gone {
		digest = s.Digest()
	}
	return &check{id: checkID{digest, string(s.Signature)}, signed: s}
}

// verify runs checks on all cores and closes done after the last.
func (c *Client) verify(checks []*check, done chan struct{}) {
	workers := int64(min(runtime.GOMAXPROCS(0), len(checks)))
	if workers == 0 {
		close(done)
		return
	}
	var next, left atomic.Int64
	left.Store(workers)
	for range workers {
		c.running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(checks)); i = next.Add(1) - 1 {
				checks[i].run(c.verifier)
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
}

func (ck *check) run(v *announce.Verifier) {
	said, id, err := v.Open(ck.signed)
	if ck.said, ck.err = said, err; err == nil && !said.Withdrawn {
		ck.peer = newPeer(said, id, ck.signed, ck.id.digest)
	}
}

// wait waits until all of the batch is verified.
func (b *batch) wait() {
	for _, ck := range b.checks {
		<-ck.done
	}
}

// announced is the peer that an item announces, or why it is to be rejected. The batch has been waited
// for.
func (it *item) announced() (*Peer, error) {
	switch {
	case it.peer != nil || it.err != nil:
		return it.peer, it.err
	case it.check.err != nil:
		return nil, it.check.err
	}
	return it.check.peer, it.check.matches(it.key, false)
}

// withdrawal is what was signed of an item that is gone; nil: nothing was.
func (it *item) withdrawal() (*announce.Announcement, error) {
	switch {
	case it.check == nil:
		return nil, nil
	case it.check.err != nil:
		return nil, it.check.err
	}
	return it.check.said, it.check.matches(it.key, true)
}

// matches tells whether what the peer signed is what the introducer says that it signed.
func (ck *check) matches(k cache.Key, withdrawal bool) error {
	switch {
	case ck.said.Withdrawn && !withdrawal:
		return errors.New("what the peer signed is a withdrawal")
	case !ck.said.Withdrawn && withdrawal:
		return errors.New("what the peer signed is no withdrawal")
	case ck.said.Service != k.Service:
		return fmt.Errorf("the peer signed it for the service %s", ck.said.Service)
	case announce.PeerID(ck.signed.PeerID) != k.ID:
		return fmt.Errorf("it is signed by another peer, %v", announce.PeerID(ck.signed.PeerID))
	}
	return nil
}

// endLocked gives up a batch that was begun.
func (x *introducer) endLocked(b *batch) {
	for _, ck := range b.checks {
		if ck.users--; ck.users == 0 {
			delete(x.c.checks, ck.id)
		}
	}
	x.pending = slices.DeleteFunc(x.pending, func(p *batch) bool { return p == b })
}

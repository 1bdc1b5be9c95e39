package registry

import (
	"time"

	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// Replay reads a record for the fuzzer, which has none of the types that it makes.
func Replay(kind uint8, payload []byte) error {
	c := new(clock)
	d, err := c.replay(wal.Record{Kind: wal.Kind(kind), Payload: payload, Revision: 1})
	if err != nil {
		return err
	}
	if kind == uint8(kindPublished) {
		p, err := decodePublished(payload)
		if err != nil || string(p.append(nil)) != string(payload) {
			panic("a published payload does not encode to itself")
		}
		return nil
	}
	r := removed{d.peer.State, d.peer.Seqnum, d.peer.firstSeen, d.peer.ID, d.peer.Digest, d.peer.Service}
	if string(r.append(nil)) != string(payload) {
		panic("a removed payload does not encode to itself")
	}
	return nil
}

// Deadline is when a peer's time to live ends on the introducer's clock; 0 for never.
func Deadline(p *Peer) time.Duration { return p.deadline }

// States is the newest state of everything known, tombstones too, in revision order.
func States(r *Registry) []*Peer {
	return r.pages(r.headRevision(), func(*Peer) bool { return false })
}

// Tend does what is done in the background every CompactEvery.
func Tend(r *Registry) error { return r.compact(r.closing, r.worth, nil) }

// MaxGroup is how many changes one group holds.
const MaxGroup = maxGroupItems

// LoaderSize replays records, and says how much of them a restart holds on to: states in the
// order of the log, and entries for the index.
func LoaderSize(records []wal.Record) (placed, tail int, err error) {
	l := newLoader(new(clock))
	l.tail = make(map[store.Key]store.Entry)
	for _, rec := range records {
		if err := l.record(rec); err != nil {
			return 0, 0, err
		}
	}
	return len(l.placed), len(l.tail), nil
}

// HoldHub keeps the hub as it is while it wakes subscribers, until release is called.
func HoldHub(r *Registry) (release func()) {
	r.hub.mu.Lock()
	return r.hub.mu.Unlock
}

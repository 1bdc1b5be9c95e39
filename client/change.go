package client

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/permute"
)

// Change is a peer that came, changed or went.
type Change struct {
	Old *Peer // as it was shown before; nil: it came
	New *Peer // as it is shown now; nil: it went
}

// Peer is the one that is not nil, New before Old.
func (c Change) Peer() *Peer {
	if c.New != nil {
		return c.New
	}
	return c.Old
}

// Changes returns what changes in the services given (none: in all that are subscribed to), beginning
// with the peers that are there, until ctx ends or the Client is closed. What changes while the reader
// is busy is told as one change from the last state that it was told to the newest, so that it always
// catches up, delays nobody, and costs no memory but the last state it was told.
func (c *Client) Changes(ctx context.Context, services ...announce.Service) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		told := make(map[announce.Service]*view)
		for range c.moments(ctx) {
			now := *c.views.Load()
			names := slices.Clone(services)
			if len(names) == 0 {
				names = slices.AppendSeq(slices.Collect(maps.Keys(now)), maps.Keys(told))
			}
			slices.Sort(names)
			for _, s := range slices.Compact(names) {
				if !diff(told[s], now[s], yield) {
					return
				}
				told[s] = now[s]
			}
		}
	}
}

// diff yields the differences between two views, by peer id. A nil view has no peers.
func diff(old, now *view, yield func(Change) bool) bool {
	if old == now {
		return true
	}
	empty := &view{peers: new(permute.Table[*Peer])}
	was, stop := iter.Pull2(cmp.Or(old, empty).peers.All())
	defer stop()
	k, p, ok := was()
	for key, peer := range cmp.Or(now, empty).peers.All() {
		for ; ok && bytes.Compare(k[:], key[:]) < 0; k, p, ok = was() {
			if !yield(Change{Old: p}) {
				return false
			}
		}
		change := Change{New: peer}
		if ok && k == key {
			change.Old = p
			k, p, ok = was()
		}
		if change.Old != peer && !yield(change) {
			return false
		}
	}
	for ; ok; _, p, ok = was() {
		if !yield(Change{Old: p}) {
			return false
		}
	}
	return true
}

// Statuses returns the status now, and again whenever it or the peers have changed, until ctx ends or
// the Client is closed. A reader that is busy misses what was between and gets the newest.
func (c *Client) Statuses(ctx context.Context) iter.Seq[Status] {
	return func(yield func(Status) bool) {
		for range c.moments(ctx) {
			if !yield(c.Status()) {
				return
			}
		}
	}
}

// moments yields now, and again when something has changed since it yielded last, until ctx ends or the
// Client is closed.
func (c *Client) moments(ctx context.Context) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		for ctx.Err() == nil && c.closing.Err() == nil {
			c.mu.Lock()
			changed := c.changed // before the state is read, so that no change falls between the two
			c.mu.Unlock()
			if !yield(struct{}{}) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			case <-c.closing.Done():
			}
		}
	}
}

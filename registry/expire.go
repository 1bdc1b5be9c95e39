package registry

import (
	"container/heap"
	"time"
)

// expiries is the live peers that have a time to live, soonest end first. It holds no state
// that was superseded, so that its size is bounded by the peers kept.
type expiries struct{ heap expiryHeap }

// next is the soonest deadline on the introducer's clock; 0 for none.
func (e *expiries) next() time.Duration {
	if len(e.heap) == 0 {
		return 0
	}
	return e.heap[0].deadline
}

// due takes out what has ended by now, no more than fits one group.
func (e *expiries) due(now time.Duration) []*Peer {
	var ended []*Peer
	for len(e.heap) > 0 && e.heap[0].deadline <= now && len(ended) < maxGroupItems {
		ended = append(ended, heap.Pop(&e.heap).(*Peer))
	}
	return ended
}

func (e *expiries) add(p *Peer) {
	if p.deadline != 0 {
		heap.Push(&e.heap, p)
	}
}

func (e *expiries) remove(p *Peer) {
	if p.expiry > 0 {
		heap.Remove(&e.heap, p.expiry-1)
	}
}

// expiryHeap keeps in Peer.expiry each peer's position plus one, 0 for not in the heap.
type expiryHeap []*Peer

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].deadline < h[j].deadline }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].expiry, h[j].expiry = i+1, j+1
}

func (h *expiryHeap) Push(p any) {
	p.(*Peer).expiry = len(*h) + 1
	*h = append(*h, p.(*Peer))
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	p.expiry = 0
	return p
}

// expiryTimer fires when the soonest deadline has come. The zero value never fires.
type expiryTimer struct{ timer *time.Timer }

func (t *expiryTimer) reset(deadline, now time.Duration) {
	switch {
	case deadline == 0:
		t.stop()
	case t.timer == nil:
		t.timer = time.NewTimer(deadline - now)
	default:
		t.timer.Reset(deadline - now)
	}
}

func (t *expiryTimer) due() <-chan time.Time {
	if t.timer == nil {
		return nil
	}
	return t.timer.C
}

func (t *expiryTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

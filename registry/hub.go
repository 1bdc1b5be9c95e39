package registry

import (
	"cmp"
	"slices"
	"sync"

	"github.com/introducer/introducer/announce"
)

// hub wakes subscribers. It tells them only that something changed: what changed they read
// for themselves, so a wake-up can be late or for nothing, but never lost.
type hub struct {
	mu     sync.Mutex
	byName map[announce.Service]map[*Subscription]struct{} // those of named services
	every  map[*Subscription]struct{}                      // those of every service
	heads  map[*Subscription]struct{}                      // who waits for the head, no subscribers

	// What changed since run last looked, under a mutex of its own: waking thousands takes a
	// while, and the sequencer must not wait for it.
	dirtyMu sync.Mutex
	dirty   map[announce.Service]struct{}

	ready  chan struct{}
	closed chan struct{}
}

func (h *hub) init() {
	h.byName = make(map[announce.Service]map[*Subscription]struct{})
	h.every = make(map[*Subscription]struct{})
	h.heads = make(map[*Subscription]struct{})
	h.dirty = make(map[announce.Service]struct{})
	h.ready = make(chan struct{}, 1)
	h.closed = make(chan struct{})
}

func (h *hub) close() { close(h.closed) }

func (h *hub) add(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.services == nil {
		h.every[s] = struct{}{}
		return
	}
	for _, name := range s.services {
		if h.byName[name] == nil {
			h.byName[name] = make(map[*Subscription]struct{})
		}
		h.byName[name][s] = struct{}{}
	}
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.every, s)
	delete(h.heads, s)
	for _, name := range s.services {
		delete(h.byName[name], s)
		if len(h.byName[name]) == 0 {
			delete(h.byName, name)
		}
	}
}

// watch has s woken at every change without counting it.
func (h *hub) watch(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heads[s] = struct{}{}
}

// count is how many subscribers hear of a service.
func (h *hub) count(name announce.Service) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byName[name]) + len(h.every)
}

// changed is called by the sequencer after each group.
func (h *hub) changed(services []*service) {
	h.dirtyMu.Lock()
	for _, s := range services {
		h.dirty[s.name] = struct{}{}
	}
	h.dirtyMu.Unlock()
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

func (h *hub) run() {
	for {
		select {
		case <-h.closed:
			return
		case <-h.ready:
			h.wake()
		}
	}
}

func (h *hub) wake() {
	h.dirtyMu.Lock()
	dirty := h.dirty
	h.dirty = make(map[announce.Service]struct{})
	h.dirtyMu.Unlock()

	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range dirty {
		for s := range h.byName[name] {
			s.signal()
		}
	}
	for s := range h.every {
		s.signal()
	}
	for s := range h.heads {
		s.signal()
	}
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// unique sorts services and drops repeats; nil for none.
func unique(services []announce.Service) []announce.Service {
	if len(services) == 0 {
		return nil
	}
	sorted := slices.Clone(services)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func sortByRevision(peers []*Peer) {
	slices.SortFunc(peers, func(a, b *Peer) int { return cmp.Compare(a.Revision, b.Revision) })
}

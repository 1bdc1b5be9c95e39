package rpc

import (
	"container/list"
	"sync"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
)

// Visitors are those who talk to an introducer, for its status page.
type Visitors struct {
	Connected   int          // Subscribe streams that are open
	Subscribers []Subscriber // of those the newest, newest first
	Publishers  []Publisher  // who published last, latest first; at most 100
}

// Subscriber is one open Subscribe stream. What it says of itself is anybody's text.
type Subscriber struct {
	Nickname, Version string
	Services          []announce.Service // none: every one. Not to be changed
	Since             time.Time
}

// Publisher is one whose announcements were taken, those that were already known included.
type Publisher struct {
	ID            announce.PeerID
	Published     time.Time // the last time
	Announcements uint64    // since the introducer started, if it was among the last 100 all the time
}

// Visitors copies out at most limit of each kind.
func (s *Service) Visitors(limit int) Visitors { return s.visitors.list(limit) }

// visitors is the book of those who come and go. Its memory is a constant for each open stream, and
// another for the publishers.
type visitors struct {
	mu          sync.Mutex
	subscribers list.List                         // of Subscriber, newest first
	publishers  list.List                         // of *Publisher, latest first; at most keptPublishers
	byID        map[announce.PeerID]*list.Element // in publishers
}

const keptPublishers = 100

// enter notes a subscriber until leave is called.
func (v *visitors) enter(services []announce.Service, info *introducerv1.SubscriberInfo) (leave func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.subscribers.PushFront(Subscriber{
		Nickname: info.GetNickname(), Version: info.GetVersion(), Services: services, Since: time.Now(),
	})
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.subscribers.Remove(e)
	}
}

// published notes whose announcements were taken.
func (v *visitors) published(items []announce.Signed, results []registry.Result) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, r := range results {
		switch r.Outcome {
		case registry.Accepted, registry.TakenBack, registry.Duplicate:
			v.publishedLocked(announce.PeerID(items[i].PeerID), now)
		}
	}
}

func (v *visitors) publishedLocked(id announce.PeerID, now time.Time) {
	e := v.byID[id]
	if e == nil {
		if v.byID == nil {
			v.byID = make(map[announce.PeerID]*list.Element)
		}
		if v.publishers.Len() == keptPublishers {
			oldest := v.publishers.Remove(v.publishers.Back()).(*Publisher)
			delete(v.byID, oldest.ID)
		}
		e = v.publishers.PushFront(&Publisher{ID: id})
		v.byID[id] = e
	}
	v.publishers.MoveToFront(e)
	p := e.Value.(*Publisher)
	p.Published = now
	p.Announcements++
}

func (v *visitors) list(limit int) Visitors {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := Visitors{Connected: v.subscribers.Len()}
	for e := v.subscribers.Front(); e != nil && len(out.Subscribers) < limit; e = e.Next() {
		out.Subscribers = append(out.Subscribers, e.Value.(Subscriber))
	}
	for e := v.publishers.Front(); e != nil && len(out.Publishers) < limit; e = e.Next() {
		out.Publishers = append(out.Publishers, *e.Value.(*Publisher))
	}
	return out
}

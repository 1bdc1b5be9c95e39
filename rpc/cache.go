package rpc

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/wal"
)

// cache keeps the wire forms of peers, so that a change is read from the log and encoded about once,
// however many readers it has. It is bounded by bytes; what was not asked for longest goes first.
// A form is found by its revision: within one log that is one state of one peer, for good.
type cache struct {
	reg    *registry.Registry
	shards [16]shard
}

type shard struct {
	mu    sync.Mutex
	forms *simplelru.LRU[wal.Revision, *wireForm]
	bytes int
	max   int
}

// formOverhead is what a form takes in memory besides its bytes.
const formOverhead = 200

func newCache(reg *registry.Registry, max int) *cache {
	c := &cache{reg: reg}
	for i := range c.shards {
		c.shards[i].init(max / len(c.shards))
	}
	return c
}

// of returns p's wire form, which is shared and must not be changed. Errors are those of
// Registry.Announcement.
func (c *cache) of(p *registry.Peer) (*wireForm, error) {
	s := &c.shards[p.Revision%wal.Revision(len(c.shards))]
	if f, ok := s.get(p.Revision); ok {
		return f, nil
	}
	// Two that miss at once both encode: for a small waste nobody waits while the other reads the disk.
	f, err := encode(c.reg, p)
	if err != nil {
		return nil, err
	}
	s.put(p.Revision, f)
	return f, nil
}

func (s *shard) init(max int) {
	const noLimit = 1 << 40 // the limit is in bytes
	forms, err := simplelru.NewLRU(noLimit, func(_ wal.Revision, f *wireForm) { s.bytes -= f.cost() })
	if err != nil {
		panic(err) // it refuses no size but those below 1
	}
	s.forms, s.max = forms, max
}

func (s *shard) get(r wal.Revision) (*wireForm, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms.Get(r)
}

func (s *shard) put(r wal.Revision, f *wireForm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forms.Contains(r) {
		return
	}
	s.bytes += f.cost()
	s.forms.Add(r, f)
	for s.bytes > s.max && s.forms.Len() > 0 {
		s.forms.RemoveOldest()
	}
}

// wireForm is one state of a peer as it goes over the wire: a Peer where it is live, a Gone where it
// left. The signed bytes are the last field, so that PEER_VIEW_BASIC is a prefix.
type wireForm struct {
	bytes []byte
	basic int
	live  bool
}

// in returns the part that a view shows. The caller must not change it.
func (f *wireForm) in(v introducerv1.PeerView) []byte {
	if v == introducerv1.PeerView_PEER_VIEW_BASIC {
		return f.bytes[:f.basic]
	}
	return f.bytes
}

func (f *wireForm) cost() int { return len(f.bytes) + formOverhead }

func (f *wireForm) changeField() protowire.Number {
	if f.live {
		return announcedField
	}
	return goneField
}

func encode(reg *registry.Registry, p *registry.Peer) (*wireForm, error) {
	switch p.State {
	case registry.Live:
		return encodePeer(reg, p)
	case registry.Withdrawn:
		_, signed, err := reg.Announcement(p)
		if err != nil {
			return nil, err
		}
		return newForm(gone(p), withdrawalField, introducerv1.NewSignedAnnouncement(signed))
	default:
		return newForm(gone(p), withdrawalField, nil)
	}
}

func encodePeer(reg *registry.Registry, p *registry.Peer) (*wireForm, error) {
	said, signed, err := reg.Announcement(p)
	if err != nil {
		return nil, err
	}
	msg := &introducerv1.Peer{
		Revision:  uint64(p.Revision),
		FirstSeen: timestamppb.New(p.FirstSeen()),
		Announced: timestamppb.New(p.Announced()),
	}
	msg.SetAnnouncement(said, p.ID)
	if expires := p.Expires(); !expires.IsZero() {
		msg.Expires = timestamppb.New(expires)
	}
	return newForm(msg, announcementField, introducerv1.NewSignedAnnouncement(signed))
}

// newForm encodes head and, unless it is nil, signed as its field num.
func newForm(head proto.Message, num protowire.Number, signed *introducerv1.SignedAnnouncement) (*wireForm, error) {
	_, live := head.(*introducerv1.Peer)
	b, err := proto.Marshal(head)
	if err != nil {
		return nil, err
	}
	f := &wireForm{basic: len(b), live: live}
	if signed != nil {
		body, err := proto.Marshal(signed)
		if err != nil {
			return nil, err
		}
		b = appendField(append(make([]byte, 0, len(b)+fieldSize(num, len(body))), b...), num, body)
	}
	f.bytes = b
	return f, nil
}

func gone(p *registry.Peer) *introducerv1.Gone {
	return &introducerv1.Gone{
		Service:  string(p.Service),
		PeerId:   p.ID[:],
		Revision: uint64(p.Revision),
		Reason:   goneReason(p.State),
	}
}

func goneReason(s registry.State) introducerv1.GoneReason {
	switch s {
	case registry.Withdrawn:
		return introducerv1.GoneReason_GONE_REASON_WITHDRAWN
	case registry.Expired:
		return introducerv1.GoneReason_GONE_REASON_EXPIRED
	case registry.Evicted:
		return introducerv1.GoneReason_GONE_REASON_EVICTED
	}
	return introducerv1.GoneReason_GONE_REASON_UNSPECIFIED
}

package cache

import (
	"bytes"
	"cmp"
	"time"

	"github.com/introducer/introducer/announce"
)

// State is what a cache held when it was opened. It is the caller's.
type State struct {
	Introducers   map[string]*Held        // :: URL → what it announced
	Announcements map[Digest]Announcement // all that verify and are in a set of Introducers
	Floors        map[Key]Floor

	// Notes say for people what was damaged, and what of it is lost. Empty: nothing was.
	Notes []string
}

// Key says what an announcement is of.
type Key struct {
	Service announce.Service
	ID      announce.PeerID
}

// Compare orders keys by service, then by peer id.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Service, other.Service), k.ID.Compare(other.ID))
}

// Digest is an announcement's, as [announce.Signed.Digest] has it.
type Digest = [32]byte

// Announcement is one that was verified: its bytes, and what they say.
type Announcement struct {
	Signed announce.Signed
	Said   *announce.Announcement
}

// Key returns what it is of, by its own word.
func (a Announcement) Key() Key {
	return Key{Service: a.Said.Service, ID: announce.PeerID(a.Signed.PeerID)}
}

// Held is what is known of one introducer.
type Held struct {
	// Announced is the introducer's set. A digest that is not in State.Announcements is of an
	// announcement that was refused, or lost to damage. One that is may still be of another key by its
	// own word ([Announcement.Key]): an introducer can say what it likes.
	Announced map[Key]Digest

	// Where to resume. The zero LogID: nowhere, begin anew.
	LogID    [16]byte
	Revision uint64
	Services []announce.Service // that the token is for, in the order they were given
}

// Floor is the newest that is known of a key. Nothing below it is to be shown.
type Floor struct {
	Seqnum    uint64
	Digest    Digest // of the announcement or withdrawal
	Withdrawn bool
	Time      time.Time // when it was raised, kept to the second, UTC
}

// Compare orders by seqnum; of the same seqnum, a withdrawal is above an announcement, and then the
// greater digest above the lesser: whoever has heard the same has the same floor. The time does not
// count.
func (f Floor) Compare(other Floor) int {
	rank := func(withdrawn bool) int {
		if withdrawn {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(f.Seqnum, other.Seqnum), cmp.Compare(rank(f.Withdrawn), rank(other.Withdrawn)),
		bytes.Compare(f.Digest[:], other.Digest[:]))
}

package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"slices"

	"github.com/introducer/introducer/announce"
)

// contents is what a file says, before anything in it is verified.
type contents struct {
	introducers map[string]*Held           // :: URL → what it announced
	signed      map[Digest]announce.Signed // every announcement in the file; the slices are the file's
	floors      map[Key]Floor
	notes       []string // what is wrong with the file; nil: nothing

	marker marker // the file's
	size   int64  // of the file
	live   int64  // of the file when it was written anew
	end    int64  // in the file, of the group that is applied
}

func newContents() *contents {
	return &contents{
		introducers: make(map[string]*Held),
		signed:      make(map[Digest]announce.Signed),
		floors:      make(map[Key]Floor),
	}
}

// held returns what is known of the introducer, which is an empty set if nothing was.
func (c *contents) held(introducer string) *Held {
	h := c.introducers[introducer]
	if h == nil {
		h = &Held{Announced: make(map[Key]Digest)}
		c.introducers[introducer] = h
	}
	return h
}

func (h *Held) dropToken() { h.LogID, h.Revision, h.Services = [16]byte{}, 0, nil }

func (c *contents) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// replay reads a file. It keeps parts of it. The errors are ErrNotOurs and ErrNewer.
func replay(file []byte) (*contents, error) {
	c := newContents()
	c.size = int64(len(file))
	if len(file) < headerSize && magic[:min(len(file), len(magic))] == string(file[:min(len(file), len(magic))]) {
		c.note("it was cut off in its header, at byte %d: all that it held is lost", len(file))
		return c, nil
	}
	if len(file) < headerSize {
		return nil, ErrNotOurs
	}
	m := marker(file[len(magic)+1:])
	ours := string(file[:len(magic)]) == magic
	if crc32.Checksum(file[:headerSize-4], castagnoli) == binary.BigEndian.Uint32(file[headerSize-4:]) {
		switch v := file[len(magic)]; {
		case !ours || v == 0:
			return nil, ErrNotOurs
		case v > version:
			return nil, fmt.Errorf("%w: its version is %d, this release knows %d", ErrNewer, v, version)
		}
	} else {
		c.note("its header is damaged")
		m = findMarker(file[headerSize:], m)
	}
	c.marker = m
	if found := c.groups(file); !found && !ours {
		return nil, ErrNotOurs
	}
	return c, nil
}

// findMarker returns the marker of the first whole group in b, or m where there is none. Strangers cannot
// make one: a group's length has zeros in it, and the messages that they write, which are JSON, have none.
func findMarker(b []byte, m marker) marker {
	for ; len(b) >= frameSize; b = b[1:] {
		if _, ok := groupAt(b, marker(b)); ok {
			return marker(b)
		}
	}
	return m
}

// groups applies all groups of the file that are whole, and says whether there is one. If one was lost
// that others come behind, no token is left: the sets may lack what it said.
func (c *contents) groups(file []byte) (found bool) {
	d := decoder{services: make(map[string]announce.Service)}
	whole := true
	bad := -1 // where what is no group begins; -1: nowhere
	for at := headerSize; at < len(file); {
		b, ok := groupAt(file[at:], c.marker)
		if !ok {
			if bad < 0 {
				bad = at
			}
			next := bytes.Index(file[at+1:], c.marker[:])
			if next < 0 {
				break
			}
			at += 1 + next
			continue
		}
		found = true
		if bad >= 0 {
			c.note("bytes %d to %d are damaged: what they said is lost, and every introducer is to be asked for all again", bad, at)
			bad, whole = -1, false
		}
		ops, err := d.group(b)
		if err != nil {
			c.note("bytes %d to %d hold %v: every introducer is to be asked for all again", at, at+frameSize+len(b), err)
			whole = false
		}
		at += frameSize + len(b)
		c.end = int64(at)
		for _, op := range ops {
			op.apply(c)
		}
	}
	if bad >= 0 {
		c.note("it ends in the middle of a change, at byte %d: the newest changes, %d bytes of them, are lost", bad, len(file)-bad)
	}
	if !whole {
		for _, h := range c.introducers {
			h.dropToken()
		}
	}
	return found
}

// ops are the operations that give these contents, always in the same order. Announcements that are in
// nobody's set are left out. Floors come first and a token behind its set, so that a file that is cut
// off within them has no token for half a set, and no set without the floors.
func (c *contents) ops() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for _, key := range slices.SortedFunc(maps.Keys(c.floors), Key.Compare) {
			if !yield(Raise{Key: key, Floor: c.floors[key]}) {
				return
			}
		}
		for _, url := range slices.Sorted(maps.Keys(c.introducers)) {
			h := c.introducers[url]
			if !yield(Reset{Introducer: url}) { // for the introducer that announced nothing
				return
			}
			for _, key := range slices.SortedFunc(maps.Keys(h.Announced), Key.Compare) {
				d := h.Announced[key]
				if !yield(Announced{Introducer: url, Key: key, Digest: d, Signed: c.signed[d]}) {
					return
				}
			}
			if h.LogID != ([16]byte{}) && !yield(Stand{Introducer: url, LogID: h.LogID, Revision: h.Revision, Services: h.Services}) {
				return
			}
		}
		yield(anew{})
	}
}

package cache

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
)

// state verifies what is in a set, on all cores, and returns the contents as a caller may have them. The
// announcements that do not verify are taken out of c too, with the tokens of those who announced them.
func (c *contents) state(v *announce.Verifier) *State {
	s := &State{Introducers: c.introducers, Floors: c.floors, Announcements: make(map[Digest]Announcement)}
	var digests []Digest
	for _, h := range c.introducers {
		for _, d := range h.Announced {
			if _, ok := s.Announcements[d]; ok || c.signed[d].Message == nil {
				continue
			}
			s.Announcements[d] = Announcement{}
			digests = append(digests, d)
		}
	}
	if v == nil {
		v = announce.NewVerifier(len(digests))
	}
	opened, errs := make([]Announcement, len(digests)), make([]error, len(digests))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(digests) {
					return
				}
				opened[i].Signed = clone(c.signed[digests[i]])
				opened[i].Said, _, errs[i] = v.Open(opened[i].Signed)
			}
		})
	}
	workers.Wait()
	bad, last := make(map[Digest]bool), error(nil)
	for i, d := range digests {
		s.Announcements[d] = opened[i]
		if errs[i] != nil {
			bad[d], last = true, errs[i]
			delete(s.Announcements, d)
		}
	}
	if len(bad) > 0 {
		c.note("announcements that do not verify are dropped, %d of them; of one: %v", len(bad), last)
		c.drop(bad)
	}
	s.Notes = c.notes
	return s
}

// drop takes announcements out, and the tokens of the sets that they were in.
func (c *contents) drop(bad map[Digest]bool) {
	for _, h := range c.introducers {
		for key, d := range h.Announced {
			if bad[d] {
				delete(h.Announced, key)
				h.dropToken()
			}
		}
	}
}

// clone copies s into one piece of memory, so that the file's can be given up.
func clone(s announce.Signed) announce.Signed {
	b := make([]byte, 0, len(s.Message)+len(s.Signature)+len(s.PeerID))
	part := func(p []byte) []byte {
		from := len(b)
		b = append(b, p...)
		return b[from:len(b):len(b)]
	}
	return announce.Signed{Message: part(s.Message), Signature: part(s.Signature), PeerID: part(s.PeerID)}
}

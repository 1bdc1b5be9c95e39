package cache

import (
	"encoding/binary"

	"github.com/introducer/introducer/announce"
)

// Op is one change of what is kept: one of the types below.
type Op interface {
	encode(*encoder)
	apply(*contents)
}

type (
	// Announced: the introducer's set has the announcement of this digest under Key now, in place of
	// an older one. Signed is the announcement if it verified, and is of Digest; its zero value if it
	// was refused. Bytes that are in the file already are not written again, so give them always.
	Announced struct {
		Introducer string
		Key        Key
		Digest     Digest
		Signed     announce.Signed
	}

	// Gone: the introducer's set has nothing under Key any more.
	Gone struct {
		Introducer string
		Key        Key
	}

	// Reset: the introducer's set is empty, and there is no token.
	Reset struct{ Introducer string }

	// Stand: what was appended before is the introducer's whole set of these services at this
	// revision. The zero LogID takes the token back and leaves the set.
	Stand struct {
		Introducer string
		LogID      [16]byte
		Revision   uint64
		Services   []announce.Service
	}

	// Forget: nothing is to be known of the introducer.
	Forget struct{ Introducer string }

	// Raise: the floor of Key is this one at least. A lower one changes nothing, an equal one its time.
	Raise struct {
		Key   Key
		Floor Floor
	}

	// ForgetFloor: there is none for Key.
	ForgetFloor struct{ Key Key }
)

// kept is what the file says instead of Announced.Signed: the bytes, in nobody's set yet.
type kept announce.Signed

// anew stands at the end of what is written when the file is.
type anew struct{}

// What an operation begins with in the file; the package comment has what follows.
const (
	tagIntroducer = 1 + iota
	tagKept
	tagAnnounced
	tagGone
	tagReset
	tagStand
	tagForget
	tagRaise
	tagForgetFloor
	tagAnew
)

func (op Announced) encode(e *encoder) {
	if _, ok := e.written[op.Digest]; !ok && op.Signed.Message != nil {
		e.written[op.Digest] = struct{}{}
		kept(op.Signed).encode(e)
	}
	e.about(op.Introducer, tagAnnounced)
	e.key(op.Key)
	e.buf = append(e.buf, op.Digest[:]...)
}

func (op kept) encode(e *encoder) {
	e.buf = append(e.buf, tagKept)
	e.text(string(op.Signature))
	e.text(string(op.PeerID))
	e.text(string(op.Message))
}

func (op Gone) encode(e *encoder) {
	e.about(op.Introducer, tagGone)
	e.key(op.Key)
}

func (op Reset) encode(e *encoder) { e.about(op.Introducer, tagReset) }

func (op Stand) encode(e *encoder) {
	e.about(op.Introducer, tagStand)
	e.buf = append(e.buf, op.LogID[:]...)
	e.buf = binary.AppendUvarint(e.buf, op.Revision)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(op.Services)))
	for _, s := range op.Services {
		e.text(string(s))
	}
}

func (op Forget) encode(e *encoder) { e.about(op.Introducer, tagForget) }

func (op Raise) encode(e *encoder) {
	e.buf = append(e.buf, tagRaise)
	e.key(op.Key)
	e.buf = binary.AppendUvarint(e.buf, op.Floor.Seqnum)
	e.buf = append(e.buf, op.Floor.Digest[:]...)
	withdrawn := byte(0)
	if op.Floor.Withdrawn {
		withdrawn = 1
	}
	e.buf = append(e.buf, withdrawn)
	e.buf = binary.AppendVarint(e.buf, op.Floor.Time.Unix())
}

func (op ForgetFloor) encode(e *encoder) {
	e.buf = append(e.buf, tagForgetFloor)
	e.key(op.Key)
}

func (anew) encode(e *encoder) { e.buf = append(e.buf, tagAnew) }

func (op Announced) apply(c *contents) { c.held(op.Introducer).Announced[op.Key] = op.Digest }

func (op kept) apply(c *contents) {
	s := announce.Signed(op)
	c.signed[s.Digest()] = s
}

func (op Gone) apply(c *contents) {
	if h := c.introducers[op.Introducer]; h != nil {
		delete(h.Announced, op.Key)
	}
}

func (op Reset) apply(c *contents) {
	h := c.held(op.Introducer)
	clear(h.Announced)
	h.dropToken()
}

func (op Stand) apply(c *contents) {
	h := c.held(op.Introducer)
	if h.LogID, h.Revision, h.Services = op.LogID, op.Revision, op.Services; op.LogID == ([16]byte{}) {
		h.dropToken()
	}
}

func (op Forget) apply(c *contents) { delete(c.introducers, op.Introducer) }

func (op Raise) apply(c *contents) {
	if known, ok := c.floors[op.Key]; !ok || op.Floor.Compare(known) >= 0 {
		c.floors[op.Key] = op.Floor
	}
}

func (op ForgetFloor) apply(c *contents) { delete(c.floors, op.Key) }

func (anew) apply(c *contents) { c.live = c.end }

package registry

import (
	"fmt"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/wal"
)

// Result says what became of one published announcement.
type Result struct {
	Outcome       Outcome
	Revision      wal.Revision // of what is current for this (service, peer id) now; 0 where nothing is known of it
	CurrentSeqnum uint64       // and its seqnum: what a refused publisher must beat
	Reason        string       // for a person, where refused
}

// Outcome is the verdict on one announcement.
type Outcome uint8

// The outcomes. The first three are not refusals.
const (
	_            Outcome = iota
	Accepted             // new, or replaces the peer's earlier one
	Duplicate            // the very same bytes are current already; nothing was written
	TakenBack            // a withdrawal was accepted
	Stale                // refused: the seqnum does not beat the current one
	Invalid              // refused: malformed
	BadSignature         // refused: not signed by that peer id
	Forbidden            // refused by the operator's rules
)

func (o Outcome) String() string {
	names := [...]string{"", "accepted", "duplicate", "withdrawn", "stale", "invalid", "bad signature", "forbidden"}
	if int(o) < len(names) && o != 0 {
		return names[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Refused reports whether the announcement was not taken.
func (o Outcome) Refused() bool { return o >= Stale }

// judge is the table of design rules: what a well-formed, rightly signed announcement is
// against what is known of its (service, peer id); known is nil for nothing.
//
// The same bytes said again are never a failure: a publisher that did not hear the answer
// must be able to retry. After expiry and eviction they are news again, since a node that
// reconnects says what it said before; the seqnum still never goes down (I6).
func judge(known *Peer, a *announce.Announcement, digest [32]byte) Outcome {
	accepted := Accepted
	if a.Withdrawn {
		accepted = TakenBack
	}
	if known == nil || a.Seqnum > known.Seqnum {
		return accepted
	}
	if digest != known.Digest {
		return Stale
	}
	if known.State == Live || known.State == Withdrawn {
		return Duplicate
	}
	return accepted
}

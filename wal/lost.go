package wal

import "fmt"

// Lost says that the log does not hold what it once held: what the witness saw of it, what there is,
// and how the two disagree.
type Lost struct {
	Witness Mark
	Head    Head
	Reason  Reason
	Damage  *CorruptError // for ReasonDamaged: what was come upon first; else nil
}

// String is one sentence for the operator.
func (l *Lost) String() string {
	if l.Damage != nil {
		return fmt.Sprintf("%s: %v", l.Reason, l.Damage)
	}
	return fmt.Sprintf("%s: the witness saw revision %d of log %s, the log ends at revision %d",
		l.Reason, l.Witness.Revision, l.Witness.LogID, l.Head.Revision)
}

// Reason says how a log and what is known of it disagree.
type Reason uint8

const (
	// ReasonBehind: the log ends before the revision that the witness saw synced.
	ReasonBehind Reason = 1 + iota
	// ReasonOtherLog: the witness is of a log with another id, so one of the two was swapped.
	ReasonOtherLog
	// ReasonOtherChain: the log has another record at the witness's revision, or before it.
	ReasonOtherChain
	// ReasonTail: the log itself knows of a newer head than its last record. Witness then holds that
	// head, without time and clock.
	ReasonTail
	// ReasonDamaged: records are missing among others, or cannot be read back.
	ReasonDamaged
)

// String is a few words, for logs and errors.
func (r Reason) String() string {
	switch r {
	case ReasonBehind:
		return "records are missing from the log's end"
	case ReasonOtherLog:
		return "the witness is of another log"
	case ReasonOtherChain:
		return "the log is not the one that the witness saw"
	case ReasonTail:
		return "the log ends before its own head"
	case ReasonDamaged:
		return "records cannot be read back"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Quarantine makes the log refuse Append as if its own witness had called it short, for a caller who
// knows by another witness (see Check). It holds until Renew or Close; a log already lost stays as it
// is.
func (l *Log) Quarantine(m Mark, reason Reason) {
	l.lost.CompareAndSwap(nil, &Lost{Witness: m, Head: l.Head(), Reason: reason})
}

// QuarantineDamage is Quarantine for who came upon damage while reading, and cannot do without what was
// there. Renew then drops what is damaged.
func (l *Log) QuarantineDamage(damage *CorruptError) {
	h := l.Head()
	l.lost.CompareAndSwap(nil, &Lost{
		Witness: Mark{LogID: l.ID(), Revision: h.Revision, Chain: h.Chain, Clock: h.Clock, Time: h.Time},
		Head:    h, Reason: ReasonDamaged, Damage: damage,
	})
}

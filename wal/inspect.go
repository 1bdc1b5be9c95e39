package wal

import (
	"errors"
	"fmt"
)

// Inspection is a log that is open for a thorough look, whatever state it is in. Only its lock file is
// written to. For one goroutine; close it.
type Inspection struct {
	// Snapshot is what the log holds, up to the last record that is there, whatever its head says; of Head
	// only the revision is set. ID and Floor are zero where they can't be read.
	Snapshot
	// Said is the head as the log itself has it.
	Said Position
	// Witness is the newest mark; nil: there is none that is good.
	Witness *Mark
	// Problems are what is wrong with the log as a whole: a *CorruptError, ErrNoWitness, or a *LostError.
	Problems []error
}

// LostError is Lost as an error.
type LostError struct{ Lost Lost }

func (e *LostError) Error() string { return e.Lost.String() }

// Inspect opens the log in dir as Open does with Options.ReadOnly, but goes on where Open refuses: what it
// comes upon it says in Problems, and records are not looked at yet. An error is what keeps it from
// looking at all; beside those of Open that is a *CorruptError where Pebble does not open.
func Inspect(dir string, opts Options) (*Inspection, error) {
	opts.ReadOnly = true
	opts = opts.withDefaults(dir)
	l := &Log{opts: opts, monitor: newMonitor(opts)}
	x, err := l.inspect(dir)
	if err != nil {
		l.readers.shut()
		return nil, fmt.Errorf("opening the log %s: %w", dir, errors.Join(err, l.release()))
	}
	return x, nil
}

func (l *Log) inspect(dir string) (*Inspection, error) {
	_, err := findPebble(l.opts.FS, dir)
	if err != nil {
		return nil, err
	}
	if l.lock, err = lockDir(l.opts.FS, dir); err != nil {
		return nil, err
	}
	if err := l.openPebble(dir, false); err != nil {
		return nil, readError(0, err)
	}
	x := &Inspection{Snapshot: Snapshot{reader: l.db, open: func() bool { return true }, close: l.release}}
	if x.ID, err = readID(l.db); err != nil {
		x.Problems = append(x.Problems, damage(err))
	}
	if x.Floor, err = inspectPosition(l, keyFloor); err != nil {
		x.Problems = append(x.Problems, err)
	}
	rest, err := readCompacted(l.db)
	if err != nil {
		x.Problems = append(x.Problems, err)
	}
	x.Kept, x.Sum = rest.kept, rest.sum
	if x.Said, err = inspectPosition(l, keyHead); err != nil {
		x.Problems = append(x.Problems, err)
	}
	last, err := l.lastRevision()
	if err != nil {
		// As far as is known, then.
		x.Problems = append(x.Problems, err)
		last = x.Said.Revision
	}
	// Where nothing is left above the floor, the log ends on it.
	x.Head.Revision = max(last, x.Floor.Revision)
	x.Forgotten = min(rest.forgotten, x.Head.Revision) // as in Log.open
	if x.Head.Revision < x.Said.Revision {
		x.Problems = append(x.Problems, &LostError{Lost{
			Witness: Mark{LogID: x.ID, Revision: x.Said.Revision, Chain: x.Said.Chain}, Head: x.Head, Reason: ReasonTail,
		}})
	}
	return x, x.readWitness(l)
}

func inspectPosition(l *Log, key string) (Position, error) {
	p, err := readPosition(l.db, key)
	return Position{p.revision, p.chain}, err
}

// damage makes an id that is missing a damage: everything else is there.
func damage(err error) error {
	if errors.Is(err, ErrNotLog) {
		return &CorruptError{Err: err}
	}
	return err
}

func (x *Inspection) readWitness(l *Log) error {
	m, _, err := readWitness(l.opts.FS, l.opts.WitnessPath)
	switch {
	case errors.Is(err, ErrNoWitness):
		x.Problems = append(x.Problems, err)
		return nil
	case err != nil:
		return err
	}
	x.Witness = &m
	lost := &LostError{Lost{Witness: m, Head: x.Head}}
	switch {
	case m.LogID != x.ID:
		lost.Lost.Reason = ReasonOtherLog
	case m.Revision > x.Head.Revision:
		lost.Lost.Reason = ReasonBehind
	default:
		return nil // its chain value is compared by who reads the records
	}
	x.Problems = append(x.Problems, lost)
	return nil
}

package wal

import (
	"errors"
	"fmt"

	"github.com/introducer/introducer/migrations"
)

// What a caller can act on. Every error of this package is one of these, a *CorruptError, or the
// file system's.
var (
	ErrNotFound    = errors.New("no such record")                 // above the head, dropped by compaction, or revision 0
	ErrNotLog      = errors.New("not a log")                      // nothing there, or something that is not ours
	ErrLocked      = errors.New("the log is in use")              // by another process, or twice in this one
	ErrNewerSchema = migrations.ErrNewer                          // it has not been touched
	ErrOldSchema   = errors.New("the log is of an older release") // opening it read-only cannot bring it up to date
	ErrReadOnly    = errors.New("the log is open for reading only")
	ErrClosed      = errors.New("the log is closed")
	ErrQuarantined = errors.New("the log lost records and takes no new ones") // see Log.Lost and Log.Renew
	ErrFailed      = errors.New("the log can no longer be written")           // for good: the process should end
	ErrBadEntry    = errors.New("entry refused")                              // kind 0, or over a limit; nothing was written
	ErrAhead       = errors.New("ahead of the log")                           // from Check
	ErrDiffers     = errors.New("of another history")                         // from Check
	ErrNoWitness   = errors.New("the witness is missing or damaged")          // from Warnings: nothing tells whether the log is whole
)

// CorruptError says that what was read is not what was written, and where. Nothing is guessed or
// repaired.
type CorruptError struct {
	// Revision is the first record concerned; 0: none in particular.
	Revision Revision
	// Err says what is wrong. It is never nil.
	Err error
}

func (e *CorruptError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("the log is damaged: %v", e.Err)
	}
	return fmt.Sprintf("the log is damaged at revision %d: %v", e.Revision, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

func corrupt(r Revision, format string, args ...any) error {
	return &CorruptError{Revision: r, Err: fmt.Errorf(format, args...)}
}

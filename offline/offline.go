// Package offline is what is done to a data directory while no introducer runs on it: looking whether all
// of it is what was written (Verify), building the index anew (RebuildIndex), and making a directory of a
// backup (Restore). Each of them holds the directory, so that nobody else has it meanwhile, and each may
// take long: about as long as verifying the signatures of all records.
//
// Memory: some 300 bytes for each peer that is known, however long the log.
package offline

import (
	"time"

	"github.com/introducer/introducer/wal"
)

// Options are the settings; the zero value works.
type Options struct {
	// Witness is the path of the witness; "" is within the data directory.
	Witness string
	// Progress, if not nil, is told now and then how far it has come.
	Progress func(Progress)
}

// Progress says how far something has come.
type Progress struct {
	Doing string       // in a few words
	At    wal.Revision // of the log's head; 0: that can't be told
	Head  wal.Revision
}

// Reporter tells of progress, at most every two seconds.
type Reporter struct {
	to   func(Progress)
	last time.Time
}

// NewReporter returns a Reporter that calls to; nil: it tells nobody.
func NewReporter(to func(Progress)) *Reporter { return &Reporter{to, time.Now()} }

// At says how far it is now. It may be called for every record.
func (r *Reporter) At(doing string, at, head wal.Revision) {
	if r.to == nil || time.Since(r.last) < 2*time.Second {
		return
	}
	r.last = time.Now()
	r.to(Progress{doing, at, head})
}

package wal

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Log is an open log. What writes is for one caller at a time (it queues behind a mutex), and Compact for
// one caller at all; everything else may be called at any time from any goroutine.
type Log struct {
	opts    Options
	lock    io.Closer
	db      *pebble.DB
	monitor *monitor
	readers gate
	witness *witness // nil: read-only

	id    atomic.Pointer[LogID]
	head  atomic.Pointer[Head]     // the newest synced record: the bound of every read
	floor atomic.Pointer[position] // moves up only before records at or below it are dropped
	// What m/compacted says; changed under write.
	compacted atomic.Pointer[compacted]
	counting  sync.Mutex // held while floor and count change together; never while waiting for the disk
	lost      atomic.Pointer[Lost]
	clock     atomic.Int64 // the greatest running time seen, a time.Duration

	warnings []error // fixed at open
	counters counters

	write    sync.Mutex // held by Append, Renew, Forget, each step of Compact, and Close
	buf      []byte     // under write: where records are laid out
	closing  sync.Once
	closeErr error
}

// Options are the knobs of a log. The zero value is good.
type Options struct {
	// FS holds log and witness; nil: the operating system's.
	FS vfs.FS
	// Logger hears of what an operator should know; nil: nobody does. Pebble's own chatter goes to it
	// at level Debug, its complaints at level Warn.
	Logger *slog.Logger
	// Fatal is called once, when the log can no longer be written: a commit or sync failed, of the log
	// or the witness, or Pebble gave up. A failed sync must not be tried again, so the only way on is a
	// new process: Fatal should not return but end this one, with an exit code of its own. It may run
	// on any goroutine and with Pebble's locks held, so it must not wait for anything that reads or
	// writes the log. If it does return, Append gives ErrFailed from then on, the goroutine that
	// brought the news never wakes again, and where Pebble gave up Close leaves it as it is, the log's
	// lock held.
	//
	// Some failures Pebble answers with a panic on a goroutine of its own. Nobody can catch that; the
	// process ends without Fatal, and nothing acknowledged is lost by it.
	//
	// nil: a panic on a goroutine of its own, where nobody can recover it.
	Fatal func(error)
	// StrictWitness makes Append return only when the witness knows, too. It costs a second sync per
	// Append. Without it the witness is one Append behind while the log is busy: a disk that then loses
	// that one Append's records goes unnoticed.
	StrictWitness bool
	// WitnessPath is where the witness lies, best on another disk; "": the file "witness" beside the
	// log's directory.
	WitnessPath string
	// CacheBytes is the size of the cache of decompressed blocks; 0: 16 MiB. That holds the newest
	// 30,000 announcements or so, which is what subscribers ask for; a whole replay passes through.
	CacheBytes int64
	// MemTableBytes is how much is gathered before a sorted table is written; 0: 4 MiB. A start
	// replays up to that much of the write-ahead log, twice over if a table was just being written, so a
	// larger one makes starts slower and the process bigger; a smaller one makes more files.
	MemTableBytes uint64
	// ReadOnly opens the log without changing anything but its lock file: no Append, no Renew, no
	// marks. It needs no room on the disk.
	ReadOnly bool
}

func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { go panic(err) }
	}
	if o.WitnessPath == "" {
		o.WitnessPath = o.FS.PathJoin(o.FS.PathDir(dir), "witness")
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 4 << 20
	}
	return o
}

// ID is the log's id. It changes only in Renew.
func (l *Log) ID() LogID { return *l.id.Load() }

// Head is the newest synced record. Nothing above it is ever read, though Pebble shows a batch to
// readers while its sync is still under way.
func (l *Log) Head() Head { return *l.head.Load() }

// First is the revision from which on history is complete: 1 for a log never compacted. Of what lies
// below it only some records are there.
func (l *Log) First() Revision { return l.floor.Load().revision + 1 }

// Forgotten is the revision last given to Forget; 0: none.
func (l *Log) Forgotten() Revision { return l.compacted.Load().forgotten }

// Lost is nil, or says what the log once held and does not any more. Such a log serves reads and
// refuses Append with ErrQuarantined until Renew, and its witness is left as it was.
func (l *Log) Lost() *Lost { return l.lost.Load() }

// Clock is the greatest running time that a record, a mark or a beat has told, so at open it is where
// the introducer's clock goes on.
func (l *Log) Clock() time.Duration { return time.Duration(l.clock.Load()) }

// Warnings are what Open noticed and could live with: ErrNoWitness. Nil: nothing.
func (l *Log) Warnings() []error { return l.warnings }

// Beat has the witness record the running time, without a record. It never blocks; a beat that comes
// while a mark is being written is folded into the next. A clock behind Clock is ignored. Of a log
// that is read-only, lost or closed nothing is written, nor after the witness has failed.
func (l *Log) Beat(clock time.Duration) {
	if l.raise(clock) != clock || !l.readers.enter() {
		return
	}
	defer l.readers.leave()
	l.mark()
}

// Close ends the log: it waits for an Append under way and for readers (an iteration under way gets
// ErrClosed at its next step), has the witness mark the head a last time, and closes Pebble. A second
// call does nothing and returns what the first did. A Pebble that gave up (see Options.Fatal) is left
// open, since closing it may never return.
func (l *Log) Close() error {
	l.closing.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Log) close() error {
	l.readers.shut()
	l.write.Lock()
	defer l.write.Unlock()
	l.mark()
	return l.release()
}

// raise moves the clock up to at least c and returns it.
func (l *Log) raise(c time.Duration) time.Duration {
	for {
		old := l.clock.Load()
		if old >= int64(c) {
			return time.Duration(old)
		}
		if l.clock.CompareAndSwap(old, int64(c)) {
			return c
		}
	}
}

// mark asks the witness to record where the log is now; see witness.mark. It does so after a failure,
// too: the head is synced all the same, and who waits for the ticket must hear of a witness that failed.
// Ticket 0 needs no waiting: there is nothing to mark.
func (l *Log) mark() (ticket uint64) {
	if l.witness == nil || l.Lost() != nil {
		return 0 // of a lost log what the witness saw is the evidence
	}
	return l.witness.mark()
}

// level is what the witness is to hold.
func (l *Log) level() Mark {
	h := l.Head()
	return Mark{LogID: l.ID(), Revision: h.Revision, Chain: h.Chain, Clock: l.Clock(), Time: h.Time}
}

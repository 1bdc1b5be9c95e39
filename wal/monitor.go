package wal

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// monitor hears what Pebble says, and stands between it and us when it gives up.
//
// Pebble answers a failed write by Logger.Fatalf, which must not return, or by a panic, on the
// caller's goroutine or on one of its own, often with its main lock held. So every call that writes
// runs on a goroutine of its own (guard), and a goroutine that comes to Fatalf never leaves: nothing
// of Pebble's goes on in a state that it thinks impossible, no lock is given up half way, and the
// caller is told all the same. The price is that Pebble can't be closed after that.
type monitor struct {
	logger *slog.Logger
	fatal  func(error)
	gone   chan struct{} // closed when Pebble can't be closed any more: calls into it may never return

	failing sync.Once // the first failure; later ones wait until it has been dealt with

	mu          sync.Mutex
	serving     bool  // false while the log is being made or opened: then a failure is that call's error
	cause       error // the first failure, once fatal has been told; nil: none
	state       pebbleState
	corruption  *CorruptError // the first; nil: none
	background  error         // the newest of those that Pebble tries again by itself
	backgrounds uint64
}

// pebbleState says what Pebble is still good for.
type pebbleState uint8

const (
	pebbleSound  pebbleState = iota // it can be closed
	pebbleStill                     // it stands still for ever, and can't be closed
	pebbleGaveUp                    // it can't be closed, and some of its goroutines may go on
)

func newMonitor(opts Options) *monitor {
	return &monitor{logger: opts.Logger, fatal: opts.Fatal, gone: make(chan struct{})}
}

// serve ends the opening: from now on a failure is fatal. It returns the failure so far, if any.
func (m *monitor) serve() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serving = m.cause == nil
	return m.cause
}

// fail notes the failure that ends all writing. Only the first counts.
func (m *monitor) fail(err error) {
	m.failing.Do(func() {
		if m.isServing() {
			m.logger.Error("the log can no longer be written", "error", err)
			m.fatal(err)
		}
		// Not before: nobody is to hear of the failure from elsewhere and go on while Fatal ends the
		// process.
		m.mu.Lock()
		defer m.mu.Unlock()
		m.cause = fmt.Errorf("%w: %w", ErrFailed, err)
	})
}

// giveUp is fail for a failure in the midst of which Pebble is left, in state s.
func (m *monitor) giveUp(s pebbleState, err error) {
	m.fail(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == pebbleSound {
		close(m.gone)
	}
	m.state = max(m.state, s)
}

func (m *monitor) isServing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serving
}

// failed returns the failure; nil: none yet.
func (m *monitor) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

func (m *monitor) pebbleState() pebbleState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// health is what is wrong apart from failures; nil: nothing.
func (m *monitor) health() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.corruption != nil {
		return m.corruption
	}
	return m.background
}

func (m *monitor) backgroundErrors() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backgrounds
}

// guard runs a deed that writes. It returns the deed's error, or the failure in the midst of which
// Pebble was left; then the deed's goroutine may never end.
func (m *monitor) guard(deed func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				m.logger.Error("Pebble panicked", "panic", p, "stack", string(debug.Stack()))
				cause, _ := p.(error)
				m.giveUp(pebbleGaveUp, &pebbleError{text: fmt.Sprintf("panic: %v", p), cause: cause})
			}
		}()
		done <- deed()
	}()
	select {
	case err := <-done:
		return err
	case <-m.gone:
		return m.failed()
	}
}

// Infof is part of Pebble's Logger.
func (m *monitor) Infof(format string, args ...any) {
	m.log(slog.LevelDebug, format, args)
}

// Errorf is part of Pebble's Logger.
func (m *monitor) Errorf(format string, args ...any) {
	m.log(slog.LevelWarn, format, args)
}

// Fatalf is part of Pebble's Logger. It never returns.
func (m *monitor) Fatalf(format string, args ...any) {
	err := &pebbleError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err.cause = cause
		}
	}
	m.giveUp(pebbleGaveUp, err)
	select {}
}

// pebbleError is what Pebble gave up with. Its format strings drop the cause, which callers may want
// to look for.
type pebbleError struct {
	text  string
	cause error // nil: not known
}

func (e *pebbleError) Error() string { return "Pebble gave up: " + e.text }

func (e *pebbleError) Unwrap() error { return e.cause }

func (m *monitor) log(level slog.Level, format string, args []any) {
	if ctx := context.Background(); m.logger.Enabled(ctx, level) {
		m.logger.Log(ctx, level, fmt.Sprintf(format, args...), "from", "pebble")
	}
}

// backgroundError hears of a flush or compaction that went wrong and will be tried again, at once and
// for ever. While the log is being opened that would be a start that never ends: the opening waits for
// the flush of what it replayed. So then it is the opening's failure, and the goroutine that would try
// again stays here.
func (m *monitor) backgroundError(err error) {
	m.logger.Warn("writing in the background failed", "error", err)
	m.mu.Lock()
	m.background = err
	m.backgrounds++
	m.mu.Unlock()
	if !m.isServing() {
		// The lock that it holds here stops all else that an opening Pebble does.
		m.giveUp(pebbleStill, err)
		select {}
	}
}

// backgroundEnd hears of a flush or compaction that has ended; nil: well, so what went wrong before has
// passed.
func (m *monitor) backgroundEnd(err error) {
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.background = nil
}

// dataCorruption hears of a damaged file. Without a handler Pebble would end the process, though all
// that lies elsewhere can still be served.
func (m *monitor) dataCorruption(info pebble.DataCorruptionInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.corruption == nil {
		m.corruption = &CorruptError{Err: fmt.Errorf("file %s: %w", info.Path, info.Details)}
		m.logger.Error("a file of the log is damaged", "file", info.Path, "error", info.Details)
	}
}

// options are Pebble's, for this log.
func (m *monitor) options(opts Options) *pebble.Options {
	return &pebble.Options{
		FS:           storeFS{opts.FS},
		CacheSize:    opts.CacheBytes,
		MemTableSize: opts.MemTableBytes,
		// The newest format checks the write-ahead log far better than the one Pebble defaults to.
		FormatMajorVersion: pebble.FormatNewest,
		ErrorIfNotExists:   true,
		Logger:             m,
		EventListener: &pebble.EventListener{
			BackgroundError: m.backgroundError,
			DataCorruption:  m.dataCorruption,
			FlushEnd:        func(i pebble.FlushInfo) { m.backgroundEnd(i.Err) },
			CompactionEnd:   func(i pebble.CompactionInfo) { m.backgroundEnd(i.Err) },
		},
	}
}

package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness writes marks into the witness file, on a goroutine of its own. What it marks is a level and
// not a queue: it asks what to write when it comes to write it. So to ask for a mark never blocks, a
// mark is never older than the asking, and a slow disk makes marks fewer and not late.
type witness struct {
	file  vfs.File
	level func() Mark // what to mark now; Counter is ignored
	fail  func(error) // told of the first failed write; nothing is written after it

	written atomic.Uint64 // marks synced

	mu      sync.Mutex
	changed sync.Cond // on mu: any field below
	asked   uint64    // how often a mark was asked for
	done    uint64    // … and the newest of those that is synced
	closing bool
	err     error
	joined  chan struct{} // closed when the goroutine has ended
}

// readWitness returns the newest mark in the file at path and the slot (0 or 1) it lies in. ErrNoWitness:
// there is no file, or no good mark in it. Any other error is the disk's.
func readWitness(fs vfs.FS, path string) (Mark, int, error) {
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Mark{}, 0, fmt.Errorf("no file %s: %w", path, ErrNoWitness)
	}
	if err != nil {
		return Mark{}, 0, fmt.Errorf("reading the witness: %w", err)
	}
	defer f.Close()
	buf := make([]byte, witnessSize)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Mark{}, 0, fmt.Errorf("reading the witness: %w", err)
	}
	newest, slot, found := Mark{}, 0, false
	var bad error
	for i := range 2 {
		from, to := min(i*slotSize, n), min((i+1)*slotSize, n)
		m, err := decodeMark(buf[from:to])
		switch {
		case err != nil:
			bad = err
		case !found || m.Counter > newest.Counter:
			newest, slot, found = m, i, true
		}
	}
	if !found {
		return Mark{}, 0, fmt.Errorf("no good mark in %s: %w (%w)", path, ErrNoWitness, bad)
	}
	return newest, slot, nil
}

// startWitness opens the file at path, makes it if there is none, and starts the goroutine. last is
// the newest mark in it and slot where that lies; the zero Mark and 1 if there is none.
func startWitness(fs vfs.FS, path string, last Mark, slot int, level func() Mark, fail func(error)) (*witness, error) {
	f, err := openWitness(fs, path)
	if err != nil {
		return nil, fmt.Errorf("opening the witness: %w", err)
	}
	w := &witness{file: f, level: level, fail: fail, joined: make(chan struct{})}
	w.changed.L = &w.mu
	go w.run(last.Counter, slot)
	return w, nil
}

// openWitness opens the file for writing. A file that is new or too short is filled up first, so that
// a mark never changes its size and SyncData is all that a mark needs.
func openWitness(fs vfs.FS, path string) (_ vfs.File, err error) {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if have := info.Size(); have < witnessSize {
		if _, err := f.WriteAt(make([]byte, witnessSize-have), have); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		// A file whose directory entry is lost in a power cut would be no witness.
		if err := syncDir(fs, fs.PathDir(path)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// mark asks for a mark of the level that holds now, or a later one, and returns the ticket to wait for.
func (w *witness) mark() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	w.changed.Broadcast()
	return w.asked
}

// wait blocks until the mark of that ticket, or a newer one, is synced.
func (w *witness) wait(ticket uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.done < ticket && w.err == nil {
		w.changed.Wait()
	}
	if w.done >= ticket {
		return nil
	}
	return w.err
}

// close writes what was last asked for, ends the goroutine and closes the file.
func (w *witness) close() error {
	w.mu.Lock()
	w.closing = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.joined
	return errors.Join(w.err, w.file.Close())
}

// run owns the file.
func (w *witness) run(counter uint64, slot int) {
	defer close(w.joined)
	for {
		ticket, ok := w.next()
		if !ok {
			return
		}
		m := w.level()
		counter++
		m.Counter = counter
		// Always the slot of the older mark: whatever becomes of this write, the newer one stays.
		slot = 1 - slot
		_, err := w.file.WriteAt(encodeMark(m), int64(slot)*slotSize)
		if err == nil {
			err = w.file.SyncData()
		}
		if err != nil {
			// Not tried again: after a failed sync the kernel may call pages clean that never reached
			// the disk, and the next sync would lie.
			err = fmt.Errorf("writing the witness: %w", err)
			w.fail(err)
		}
		w.finish(ticket, err)
		if err != nil {
			return
		}
	}
}

// finish tells those who wait for ticket how it went.
func (w *witness) finish(ticket uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err = err; err == nil {
		w.done = ticket
		w.written.Add(1)
	}
	w.changed.Broadcast()
}

// next waits until a mark is asked for; false: none is and none will be.
func (w *witness) next() (ticket uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.asked == w.done && !w.closing {
		w.changed.Wait()
	}
	return w.asked, w.asked != w.done
}

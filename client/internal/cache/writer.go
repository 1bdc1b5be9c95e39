package cache

import (
	"fmt"
	"time"
)

const (
	// maxPending is how many bytes may wait for the writer before Append does.
	maxPending = 4 << 20
	// syncEvery is how long what is written may be unsynced.
	syncEvery = time.Second
)

// flush is shared by all who wait for the same sync.
type flush struct {
	done chan struct{} // closed when it is over
	err  error         // how it went, once it is
}

// run owns the file.
func (c *Cache) run() {
	defer close(c.joined)
	if c.file == nil {
		return
	}
	var due <-chan time.Time // when to sync what was written; nil: all of it is synced
	for {
		sync := false
		select {
		case <-c.wake:
		case <-due:
			sync = true
		}
		buf, f, closing := c.take()
		err := c.write(buf)
		switch {
		case err != nil:
		case sync || f != nil || closing:
			due, err = nil, c.file.Sync()
		case due == nil && len(buf) > 0:
			due = time.After(syncEvery)
		}
		if err == nil && c.size > c.limit && !closing {
			due, err = nil, c.compact()
		}
		if err != nil {
			err = c.fail(err)
		}
		if f != nil {
			f.err = err
			close(f.done)
		}
		if err != nil || closing {
			return
		}
	}
}

// take hands what is pending to the writer. Behind the last, nothing comes.
func (c *Cache) take() (buf []byte, f *flush, closing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf, f = c.pending.buf, c.flush
	c.pending.buf, c.flush = nil, nil
	if c.closing {
		c.stopped = ErrClosed
	}
	c.room.Broadcast()
	return buf, f, c.closing
}

func (c *Cache) write(buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	n, err := c.file.Write(buf)
	c.size += int64(n)
	return err
}

// fail stops the cache for good. After a failed sync the kernel may call clean what never reached the
// disk, and behind a write that was cut off nothing would be found.
func (c *Cache) fail(err error) error {
	err = fmt.Errorf("%w: %s: %w", ErrStopped, c.path, err)
	c.opts.Logger.Error("the peer cache is no longer written; what is heard from now on is forgotten when this node stops", "error", err)
	if c.file != nil {
		c.file.Close() // its error says nothing new
		c.file = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = err
	c.pending = encoder{}
	if c.flush != nil {
		c.flush.err = err
		close(c.flush.done)
		c.flush = nil
	}
	c.room.Broadcast()
	return err
}

// poke wakes the writer, now or when it comes back.
func (c *Cache) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

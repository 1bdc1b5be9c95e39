package cache

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// file is what a cache needs of an open file.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// groupSize is about how long a group is in a file that is written anew, in bytes. It is how much of
// the file a damaged byte takes along.
const groupSize = 16 << 10

// slack is how much longer than twice what it holds a file may be, in bytes.
const slack = 1 << 20

// writeAll writes a whole file of these operations. It returns the file's length and the announcements
// whose bytes are in it.
func writeAll(w io.Writer, m marker, ops iter.Seq[Op]) (size int64, written map[Digest]struct{}, err error) {
	e := encoder{buf: m.header(), marker: m, written: make(map[Digest]struct{})}
	flush := func() {
		if err == nil {
			_, err = w.Write(e.buf)
		}
		size += int64(len(e.buf))
		e.buf = e.buf[:0]
	}
	e.begin()
	for op := range ops {
		op.encode(&e)
		if len(e.buf) >= groupSize {
			e.end()
			flush()
			e.begin()
		}
	}
	e.end()
	flush()
	return size, e.written, err
}

// compact writes the file anew, without what no longer counts. What it holds is read from the file
// itself: to keep the sets in memory for the sake of this would cost more, for as long as the node runs.
func (c *Cache) compact() error {
	m, err := c.newMarker()
	if err != nil {
		return err
	}
	// From here on groups are of the new file. They must not rely on announcements that may be in the
	// old one only because nobody has cleared them away.
	c.mu.Lock()
	buf := c.pending.buf
	c.pending = encoder{marker: m, written: make(map[Digest]struct{})}
	c.room.Broadcast()
	c.mu.Unlock()
	if err := c.write(buf); err != nil {
		return err
	}
	old, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	all, err := replay(old)
	if err == nil && all.notes != nil {
		err = errors.New(strings.Join(all.notes, "; "))
	}
	if err != nil {
		// The tokens that are appended from now on would be for more than the file holds. The next
		// Open finds the same, and drops them.
		return fmt.Errorf("it was damaged since it was opened: %w", err)
	}
	written, err := c.rewrite(m, all.ops())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range written {
		c.pending.written[d] = struct{}{}
	}
	return nil
}

// rewrite puts a new file in the place of the old one, and opens it to append to it. A crash leaves the
// one or the other, whole. It returns the announcements in it.
func (c *Cache) rewrite(m marker, ops iter.Seq[Op]) (map[Digest]struct{}, error) {
	path := c.path + newSuffix
	size, written, err := c.writeFile(path, m, ops)
	if err != nil {
		os.Remove(path) // or else the next Open does
		return nil, err
	}
	// Windows renames nothing that is open, and over nothing that is.
	if c.file != nil {
		err = c.file.Close()
		c.file = nil
	}
	if err == nil {
		err = os.Rename(path, c.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(c.path))
	}
	if err != nil {
		return nil, err
	}
	return written, c.reopen(size, size)
}

func (c *Cache) writeFile(path string, m marker, ops iter.Seq[Op]) (int64, map[Digest]struct{}, error) {
	f, err := c.openFile(path, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return 0, nil, err
	}
	size, written, err := writeAll(f, m, ops)
	if err == nil {
		err = f.Sync()
	}
	return size, written, errors.Join(err, f.Close())
}

// reopen opens the file to append to it. It is size bytes long, of which live would remain.
func (c *Cache) reopen(size, live int64) (err error) {
	c.file, err = c.openFile(c.path, os.O_APPEND)
	c.size, c.limit = size, 2*live+c.opts.slack
	return err
}

func (c *Cache) openFile(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|flag, 0o600)
	if err != nil {
		return nil, err
	}
	return c.opts.wrap(f), nil
}

func (c *Cache) newMarker() (m marker, err error) {
	_, err = io.ReadFull(c.opts.Rand, m[:])
	return m, err
}

// syncDir makes a rename last. Windows has no such thing, and needs none.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

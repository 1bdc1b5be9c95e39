package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/introducer/introducer/wal"
)

// Reader reads a backup from front to back. For one goroutine.
type Reader struct {
	from  *bufio.Reader
	sum   hash.Hash
	buf   []byte
	said  Summary // complete when done
	begun bool
	done  bool
}

// NewReader reads the header. Errors: ErrNotBackup, ErrNewer, ErrDamaged, and what reading gave.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: bufio.NewReaderSize(from, 64<<10), sum: sha256.New(), buf: make([]byte, headerSize, 1024)}
	n, err := io.ReadFull(r.from, r.buf)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if n < len(magic) || string(r.buf[:len(magic)]) != magic {
			return nil, fmt.Errorf("reading a backup: %w", ErrNotBackup)
		}
		err = cut()
	case err == nil:
		r.said.Header, err = parseHeader(r.buf)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a backup: %w", err)
	}
	r.count(r.buf)
	return r, nil
}

// Header says what it is a backup of.
func (r *Reader) Header() Header { return r.said.Header }

// Records yields all records, each as it lies in the log and read; both are good until the next step. If
// it ends without an error, all of the backup was read and is whole. An error ends it; records that came
// before are good, as far as they go. It can be gone through once.
func (r *Reader) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := r.records(yield); err != nil {
			yield(Record{}, fmt.Errorf("reading a backup, after %d records: %w", r.said.Records, err))
		}
	}
}

// Record is one record of a backup.
type Record struct {
	wal.Raw
	Read wal.Record
}

// Summary is what the backup was, when Records has come to its end; false: it has not.
func (r *Reader) Summary() (Summary, bool) { return r.said, r.done }

func (r *Reader) records(yield func(Record, error) bool) error {
	if r.begun {
		return errors.New("it can be read once only")
	}
	r.begun = true
	seq := wal.NewSequence(r.said.Compacted.Floor)
	for {
		raw, err := r.frame()
		if err != nil {
			return err
		}
		if raw.Value == nil {
			break
		}
		rec, err := seq.Next(raw)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		r.said.Records++
		if !yield(Record{raw, rec}, nil) {
			return nil
		}
	}
	if err := errors.Join(seq.End(r.said.Head), seq.Kept(r.said.Compacted)); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r.trailer()
}

// frame reads the next frame; a nil value is the trailer's zeros.
func (r *Reader) frame() (wal.Raw, error) {
	size, err := r.read(4)
	if err != nil {
		return wal.Raw{}, err
	}
	n := binary.BigEndian.Uint32(size)
	switch {
	case n == 0:
		return wal.Raw{}, nil
	case n > maxValue:
		return wal.Raw{}, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, n)
	}
	b, err := r.read(8 + int(n))
	if err != nil {
		return wal.Raw{}, err
	}
	return wal.Raw{Revision: wal.Revision(binary.BigEndian.Uint64(b)), Value: b[8:]}, nil
}

func (r *Reader) trailer() error {
	b, err := r.read(8)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(b); n != r.said.Records {
		return fmt.Errorf("%w: %d records, its end says %d", ErrDamaged, r.said.Records, n)
	}
	r.sum.Sum(r.said.Sum[:0])
	// Not summed itself.
	if b, err = r.take(len(r.said.Sum)); err != nil {
		return err
	}
	r.said.Bytes += int64(len(b))
	if [32]byte(b) != r.said.Sum {
		return fmt.Errorf("%w: SHA-256 %x, its end says %x", ErrDamaged, r.said.Sum, b)
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%w: something follows its end", ErrDamaged)
		}
		return err
	}
	r.done = true
	return nil
}

// read takes the next n bytes into account.
func (r *Reader) read(n int) ([]byte, error) {
	b, err := r.take(n)
	if err == nil {
		r.count(b)
	}
	return b, err
}

func (r *Reader) count(b []byte) {
	r.sum.Write(b)
	r.said.Bytes += int64(len(b))
}

// take reads n bytes, which are good until it is called again.
func (r *Reader) take(n int) ([]byte, error) {
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	_, err := io.ReadFull(r.from, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = cut()
	}
	return b, err
}

func cut() error { return fmt.Errorf("%w: it is cut short", ErrDamaged) }

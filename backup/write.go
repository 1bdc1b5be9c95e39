package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/introducer/introducer/wal"
)

// Write writes a backup of what s shows to w, begun now. Every record is checked as it goes; the error
// for one that is not what was written is a *wal.CorruptError, and what w got by then is no backup. So it
// is after any other error: w's, ctx's, or wal.ErrClosed. It writes in pieces of some ten kilobytes.
func Write(ctx context.Context, w io.Writer, s *wal.Snapshot, now time.Time) (Summary, error) {
	o := &writer{w: w, buf: make([]byte, 0, pieceSize+headerSize)}
	o.Header = Header{
		LogID:     s.ID,
		Compacted: s.Compacted,
		Head:      wal.Position{Revision: s.Head.Revision, Chain: s.Head.Chain},
		HeadTime:  s.Head.Time,
		Clock:     s.Clock,
		Taken:     now.UTC(),
	}
	if err := o.write(ctx, s); err != nil {
		return Summary{}, fmt.Errorf("writing a backup: %w", err)
	}
	return o.Summary, nil
}

// pieceSize is what is gathered, in bytes, before it is written.
const pieceSize = 32 << 10

type writer struct {
	w   io.Writer
	buf []byte // not written yet
	Summary
}

func (o *writer) write(ctx context.Context, s *wal.Snapshot) error {
	sum := sha256.New()
	flush := func() error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		sum.Write(o.buf)
		o.Bytes += int64(len(o.buf))
		_, err := o.w.Write(o.buf)
		o.buf = o.buf[:0]
		return err
	}
	o.buf = o.Header.append(o.buf)
	seq := wal.NewSequence(s.Floor)
	for raw, err := range s.Raw() {
		if err == nil {
			_, err = seq.Next(raw)
		}
		if err != nil {
			return err
		}
		o.buf = binary.BigEndian.AppendUint32(o.buf, uint32(len(raw.Value)))
		o.buf = binary.BigEndian.AppendUint64(o.buf, uint64(raw.Revision))
		o.buf = append(o.buf, raw.Value...)
		o.Records++
		if len(o.buf) >= pieceSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(seq.End(o.Head), seq.Kept(s.Compacted)); err != nil {
		return err
	}
	o.buf = binary.BigEndian.AppendUint32(o.buf, 0)
	o.buf = binary.BigEndian.AppendUint64(o.buf, o.Records)
	if err := flush(); err != nil {
		return err
	}
	sum.Sum(o.Sum[:0])
	_, err := o.w.Write(o.Sum[:])
	o.Bytes += int64(len(o.Sum))
	return err
}

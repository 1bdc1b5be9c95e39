package rpc

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
)

// backups counts the Backup streams that are open. Each keeps on the disk what compaction would give
// back, for as long as its caller takes, so there are few, and who takes nothing for long loses its place.
type backups struct {
	open  atomic.Int32
	stall time.Duration // how long a caller may take for one chunk; 0: maxStall
}

const (
	maxBackups = 2
	maxStall   = time.Minute
	maxChunk   = 64 << 10
)

var (
	errBackups = errors.New("backups are being taken already; come back later")
	errStalled = errors.New("the backup was not read for too long; take another")
)

func (b *backups) enter() error {
	if b.open.Add(1) > maxBackups {
		b.leave()
		return errBackups
	}
	return nil
}

func (b *backups) leave() { b.open.Add(-1) }

// Backup streams a backup of the log, as fast as the caller reads.
func (s *Service) Backup(ctx context.Context, _ *introducerv1.BackupRequest, stream introducerv1connect.IntroducerServiceBackupServerStream) error {
	if s.draining.Err() != nil {
		return errDraining
	}
	if err := s.backups.enter(); err != nil {
		return err
	}
	ctx, stop := s.untilDrained(ctx)
	defer stop()
	// The backup is written by a goroutine of its own: Send waits for the caller, and can't be called off.
	from, to := io.Pipe()
	defer from.Close()
	go func() {
		defer s.backups.leave()
		_, err := s.reg.Backup(ctx, to)
		to.CloseWithError(err)
	}()
	stall := cmp.Or(s.backups.stall, maxStall)
	for buf := make([]byte, maxChunk); ; {
		n, err := from.Read(buf)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrClosedPipe):
			return errStalled
		case err != nil:
			return err
		}
		alarm := time.AfterFunc(stall, func() { from.Close() })
		err = stream.Send(&introducerv1.BackupResponse{Chunk: buf[:n]})
		alarm.Stop()
		if err != nil {
			return err
		}
	}
}

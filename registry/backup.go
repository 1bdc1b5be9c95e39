package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/wal"
)

// Backup writes a backup (package backup) of the log as it is now to w, which may be slow: nobody waits
// for it but what the log would otherwise have given back of the disk. ErrDamaged names the record that
// keeps it from being whole; ErrClosed ends it; other errors are w's and ctx's. What w got is then no
// backup, and says so itself.
func (r *Registry) Backup(ctx context.Context, w io.Writer) (backup.Summary, error) {
	s, err := r.log.Snapshot()
	if err != nil {
		return backup.Summary{}, backupError(err)
	}
	defer s.Close()
	sum, err := backup.Write(ctx, w, s, r.opts.Now())
	return sum, backupError(err)
}

func backupError(err error) error {
	switch {
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	case errors.As(err, new(*wal.CorruptError)):
		return fmt.Errorf("%w: %w", ErrDamaged, err) // the log names the revision
	}
	return err
}

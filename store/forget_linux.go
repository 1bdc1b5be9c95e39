package store

import (
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// forget tells the system that the pages of the file that were read through its mapping need not
// count as this process's memory any longer. They stay in the page cache, and are mapped again where
// they are touched. After a Load it makes a difference of the size of the file.
func forget(db *bbolt.DB) {
	var size int64
	err := db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	if err != nil {
		return
	}
	// It cannot harm a shared mapping, nor does it matter if it is refused.
	unix.Syscall(unix.SYS_MADVISE, db.Info().Data, uintptr(size), unix.MADV_DONTNEED)
}

package cache_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/introducer/introducer/client/internal/cache"
)

// A file that is another user's is refused with what to do about it.
func TestPermission(t *testing.T) {
	for name, lockToo := range map[string]bool{"the file": false, "the lock": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers")
			c, _ := open(t, path, cache.Options{})
			ok(t, c.Close())
			ok(t, os.Chmod(filepath.Dir(path), 0o777))
			ok(t, os.Chmod(path, 0))
			if !lockToo {
				ok(t, os.Chmod(path+".lock", 0o666))
			} else {
				ok(t, os.Chmod(path+".lock", 0))
			}
			err := asNobody(func() error {
				_, _, err := cache.Open(path, cache.Options{})
				return err
			})
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run as the user") {
				t.Errorf("got %v, want ErrPermission and what to do", err)
			}
		})
	}
}

// asNobody runs f without root's right to read everything, on a thread of its own that ends with it.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no more use
		if os.Getuid() == 0 {
			if _, _, errno := syscall.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
				done <- errno
				return
			}
		}
		done <- f()
	}()
	return <-done
}

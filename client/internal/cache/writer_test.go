package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

// disk counts what is done to its files, and lets before decide how it goes.
type disk struct {
	before         func(deed string) error // may wait; nil: all goes well
	writes, syncs  atomic.Int64
	written, files atomic.Int64 // bytes; files opened
}

func (d *disk) options() cache.Options {
	return cache.Options{Verifier: verifier}.WithDisk(func(f *os.File) cache.File {
		d.files.Add(1)
		return &diskFile{f, d}
	})
}

type diskFile struct {
	f *os.File
	d *disk
}

func (f *diskFile) do(deed string) error {
	if f.d.before == nil {
		return nil
	}
	return f.d.before(deed)
}

// Write writes half when it is to fail, as a disk does that becomes full.
func (f *diskFile) Write(b []byte) (int, error) {
	f.d.writes.Add(1)
	f.d.written.Add(int64(len(b)))
	if err := f.do("write"); err != nil {
		n, _ := f.f.Write(b[:len(b)/2])
		return n, err
	}
	return f.f.Write(b)
}

func (f *diskFile) Sync() error {
	f.d.syncs.Add(1)
	if err := f.do("sync"); err != nil {
		return err
	}
	return f.f.Sync()
}

func (f *diskFile) Close() error { return f.f.Close() }

// What is appended is written at once and synced within a second, however much more comes; a flush
// syncs now, and nothing is synced that already is.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		c, _ := open(t, filepath.Join(t.TempDir(), "peers"), d.options())
		d.syncs.Store(0)
		want := func(when string, writes, syncs int64) {
			t.Helper()
			synctest.Wait()
			if w, s := d.writes.Swap(0), d.syncs.Swap(0); w != writes || s != syncs {
				t.Errorf("%s: %d writes and %d syncs, want %d and %d", when, w, s, writes, syncs)
			}
		}
		want("made", 1, 0)
		time.Sleep(time.Hour)
		want("nothing to do", 0, 0)
		for r := range uint64(9) {
			ok(t, c.Append(group(r)...))
			time.Sleep(100 * time.Millisecond)
		}
		want("0.9 s later", 9, 0)
		time.Sleep(100 * time.Millisecond)
		want("1 s later", 0, 1)
		time.Sleep(time.Hour)
		want("an hour later", 0, 0)

		ok(t, c.Append(group(1)...))
		ok(t, c.Flush(t.Context()))
		want("flushed", 1, 1)
		time.Sleep(time.Hour)
		want("an hour after the flush", 0, 0)
		ok(t, c.Append(group(2)...))
		ok(t, c.Close())
		want("closed", 1, 1)
	})
}

// While the disk hangs, a bounded amount waits, Append waits for room, and Flush for no longer than its
// context lasts.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "peers")
		hang := make(chan struct{})
		d := disk{}
		c, _ := open(t, path, d.options())
		d.before = func(string) error { <-hang; return nil }

		big := cache.Stand{Introducer: one, LogID: [16]byte{1}}
		for range 1 << 14 {
			big.Services = append(big.Services, announce.Service(strings.Repeat("s", 63)))
		}
		const all = 20
		var appended atomic.Int64
		add := func() {
			big.Revision++
			if err := c.Append(big); err != nil {
				t.Error(err)
			}
			appended.Add(1)
		}
		add()
		synctest.Wait() // the writer has it, and hangs
		go func() {
			for appended.Load() < all {
				add()
			}
		}()
		synctest.Wait()
		// Each is 1 MiB and some bytes.
		if n := appended.Load(); n != 1+cache.MaxPending>>20 {
			t.Errorf("%d MiB were taken by a disk that hangs, want %d", n, 1+cache.MaxPending>>20)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Flush(ctx); err != context.DeadlineExceeded {
			t.Errorf("Flush: got %v, want context.DeadlineExceeded", err)
		}
		close(hang)
		synctest.Wait()
		if n := appended.Load(); n != all {
			t.Errorf("%d appended when the disk goes on, want all %d", n, all)
		}
		ok(t, c.Close())
		if got := reopen(t, path).Introducers[one].Revision; got != all {
			t.Errorf("at revision %d, want %d", got, all)
		}
	})
}

var errFull = errors.New("no space left on device")

// The disk fails at one moment after another: it is said to all who append or flush, logged once, and
// what is found afterwards is the state after some group, no older than the last good flush.
func TestFailingDisk(t *testing.T) {
	for n := range int64(60) {
		path := filepath.Join(t.TempDir(), "peers")
		var logged strings.Builder
		d := disk{}
		left := n
		d.before = func(string) error {
			if left--; left < 0 {
				return errFull
			}
			return nil
		}
		opts := d.options().WithSlack(3000)
		opts.Logger = textLogger(&logged)
		c, s := open(t, path, opts)
		if s == nil || come(s) != 0 {
			t.Fatalf("failure %d: state %+v", n, s)
		}
		appended, flushed := uint64(0), uint64(0)
		var err error
		for err == nil && appended < 1000 {
			if err = c.Append(group(appended + 1)...); err != nil {
				break
			}
			appended++
			if appended%3 == 0 {
				if err = c.Flush(t.Context()); err == nil {
					flushed = appended
				}
			}
		}
		for what, err := range map[string]error{
			"the failed call": err, "Append": c.Append(group(1)...), "Flush": c.Flush(t.Context()), "Close": c.Close(),
		} {
			if !errors.Is(err, cache.ErrStopped) || !errors.Is(err, errFull) || !strings.Contains(err.Error(), path) {
				t.Fatalf("failure %d: %s: got %v, want ErrStopped, the disk's error and the path", n, what, err)
			}
		}
		if lines := strings.Count(logged.String(), "\n"); lines != 1 {
			t.Fatalf("failure %d: logged %d lines:\n%s", n, lines, logged.String())
		}
		s = reopen(t, path)
		at := come(s)
		if at < flushed || at > appended {
			t.Fatalf("failure %d: state after group %d, %d were flushed and %d appended", n, at, flushed, appended)
		}
		wantView(t, s, history(at).view())
	}
}

// Whoever waits for room or for a flush when the disk fails is told.
func TestFailureWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := make(chan struct{})
		d := disk{}
		c, _ := open(t, filepath.Join(t.TempDir(), "peers"), d.options())
		d.before = func(string) error { <-fail; return errFull }
		errs := make(chan error, 2)
		go func() {
			var err error
			for err == nil {
				err = c.Append(cache.Forget{Introducer: strings.Repeat("x", 1<<20)})
			}
			errs <- err
		}()
		synctest.Wait() // it has filled all there is
		go func() { errs <- c.Flush(t.Context()) }()
		synctest.Wait()
		close(fail)
		for range 2 {
			if err := <-errs; !errors.Is(err, errFull) {
				t.Errorf("got %v, want the disk's error", err)
			}
		}
	})
}

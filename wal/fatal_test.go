package wal_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

// breaker makes matching operations fail while it is on.
type breaker struct {
	match func(errorfs.Op) bool
	on    atomic.Bool
	hits  atomic.Int64
}

func (b *breaker) String() string { return "breaker" }

func (b *breaker) MaybeError(op errorfs.Op) error {
	if b.on.Load() && b.match(op) {
		b.hits.Add(1)
		return syscall.EIO
	}
	return nil
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

// A failed write is the end: Fatal hears of it once, it is not tried again, and what was synced can
// still be read.
func TestFatal(t *testing.T) {
	inWAL := func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") }
	inWitness := func(op errorfs.Op) bool { return op.Path == witnessFile }
	for _, test := range []struct {
		name   string
		match  func(errorfs.Op) bool
		strict bool
		fail   func(l *wal.Log) error // the deed that meets the fault; its error
	}{
		{name: "sync of the write-ahead log", match: func(op errorfs.Op) bool { return inWAL(op) && isSync(op) }, fail: appendB},
		{name: "write to the write-ahead log", match: func(op errorfs.Op) bool { return inWAL(op) && op.Kind == errorfs.OpFileWrite }, fail: appendB},
		{name: "sync of the witness", match: func(op errorfs.Op) bool { return inWitness(op) && isSync(op) }, strict: true, fail: appendB},
		{name: "write to the witness", match: func(op errorfs.Op) bool { return inWitness(op) && op.Kind == errorfs.OpFileWriteAt }, strict: true, fail: appendB},
		{name: "sync in Renew", match: func(op errorfs.Op) bool { return inWAL(op) && isSync(op) }, fail: renew},
		{name: "sync of the witness in Renew", match: func(op errorfs.Op) bool { return inWitness(op) && isSync(op) }, fail: renew},
		{name: "sync of the witness after a beat", match: func(op errorfs.Op) bool { return inWitness(op) && isSync(op) },
			fail: func(l *wal.Log) error {
				l.Beat(time.Hour)
				for l.Health() == nil {
					// Until the mark has failed.
				}
				return l.Health()
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := memory(t)
			b := &breaker{match: test.match}
			var heard []error
			opts := wal.Options{
				FS: errorfs.Wrap(mem, b), StrictWitness: test.strict,
				Fatal: func(err error) { heard = append(heard, err) },
			}
			l := open(t, opts)
			add(t, l, "a")

			b.on.Store(true)
			if err := test.fail(l); !errors.Is(err, wal.ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("got %v, want ErrFailed and EIO", err)
			}
			b.on.Store(false) // the disk is well again, which changes nothing
			hits := b.hits.Load()
			_, appended := l.Append(day, 0, entries("c"))
			for name, err := range map[string]error{"Append": appended, "Renew": l.Renew(wal.LogID{7}), "Health": l.Health()} {
				if !errors.Is(err, wal.ErrFailed) {
					t.Errorf("%s afterwards: got %v, want ErrFailed", name, err)
				}
			}
			l.Beat(2 * time.Hour)
			if len(heard) != 1 || !errors.Is(heard[0], syscall.EIO) {
				t.Errorf("Fatal heard %v", heard)
			}
			want := []string{"1:1:a"} // an unsynced record is never shown
			if test.strict {
				want = append(want, "2:1:b") // it is synced, only its mark is not
			}
			if diff := cmp.Diff(want, list(read(l, 0, 0))); diff != "" {
				t.Errorf("reading afterwards (-want +got):\n%s", diff)
			}
			l.Close() // returns; its error is no news
			if b.hits.Load() != hits || hits == 0 {
				t.Errorf("the fault was met %d times, then %d more", hits, b.hits.Load()-hits)
			}
		})
	}
}

func appendB(l *wal.Log) error {
	_, err := l.Append(day, 0, entries("b"))
	return err
}

func renew(l *wal.Log) error { return l.Renew(otherID) }

// When only the witness has failed Pebble is sound, so Close closes it and gives up the lock.
func TestCloseAfterTheWitnessFailed(t *testing.T) {
	mem := memory(t)
	b := &breaker{match: func(op errorfs.Op) bool { return op.Path == witnessFile && isSync(op) }}
	opts := wal.Options{FS: errorfs.Wrap(mem, b), StrictWitness: true, Fatal: func(error) {}}
	l := open(t, opts)
	b.on.Store(true)
	if err := appendB(l); !errors.Is(err, wal.ErrFailed) {
		t.Errorf("got %v, want ErrFailed", err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: got %v, want EIO", err)
	}
	l = open(t, quiet(t, mem))
	if diff := cmp.Diff([]string{"1:1:b"}, list(read(l, 0, 0))); diff != "" {
		t.Errorf("opened again (-want +got):\n%s", diff)
	}
}

// While Open is at it a failure is its error and nobody else's, and the lock is given up.
func TestOpenFails(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a")
	closeLog(t, l)
	b := &breaker{match: func(op errorfs.Op) bool { return op.Path == witnessFile && op.Kind == errorfs.OpFileWriteAt }}
	b.on.Store(true)
	for range 2 {
		if _, err := wal.Open(logDir, quiet(t, errorfs.Wrap(mem, b))); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want EIO", err)
		}
	}
	add(t, open(t, quiet(t, mem)), "b")
}

// Trouble in the background is counted and told, and passes by itself.
func TestBackgroundErrors(t *testing.T) {
	mem := memory(t)
	b := &breaker{match: func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst")
	}}
	l := open(t, crashOptions(t, errorfs.Wrap(mem, b)))
	b.on.Store(true)
	// Beside the waiting: with nowhere to flush to, Pebble soon holds an Append up, until it has.
	appended := make(chan error, 1)
	go func() {
		var err error
		for payload := strings.Repeat("x", 1000); err == nil && l.Stats().BackgroundErrors == 0; {
			_, err = l.Append(day, 0, entries(payload))
		}
		appended <- err
	}()
	for l.Stats().BackgroundErrors == 0 {
		runtime.Gosched()
	}
	if err := l.Health(); !errors.Is(err, syscall.EIO) || errors.Is(err, wal.ErrFailed) {
		t.Errorf("Health: got %v, want EIO", err)
	}
	b.on.Store(false)
	for l.Health() != nil {
		runtime.Gosched() // until Pebble has tried again, which it does at once
	}
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	add(t, l, "a")
}

// fatalEnv makes the test binary a child that meets a failure without Options.Fatal.
const fatalEnv = "WAL_TEST_FATAL"

// Without Fatal the process ends, since nobody would hear.
func TestNoFatalEndsTheProcess(t *testing.T) {
	if os.Getenv(fatalEnv) != "" {
		b := &breaker{match: func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") && isSync(op) }}
		l := open(t, wal.Options{FS: errorfs.Wrap(memory(t), b)})
		b.on.Store(true)
		t.Log(appendB(l))
		select {} // the panic comes on another goroutine
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^TestNoFatalEndsTheProcess$", "-test.timeout=60s")
	child.Env = append(os.Environ(), fatalEnv+"=1")
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "input/output error") || strings.Contains(string(out), "timed out") {
		t.Errorf("the child ended with %v:\n%s", err, out)
	}
}

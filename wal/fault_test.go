package wal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/introducer/introducer/wal"
)

// faultEnv makes the test binary a child of TestFaults: "DIR FIRST STEP KIND".
const faultEnv = "WAL_TEST_FAULTS"

func TestMain(m *testing.M) {
	if spec := os.Getenv(faultEnv); spec != "" {
		faultChild(spec)
		return
	}
	os.Exit(m.Run())
}

// A write operation that fails, whichever it is, once or from then on, costs no acknowledged record.
// Pebble sometimes takes the process down in a way that nothing can catch, so the deed is done in a
// child, on real files, and looked at from here.
func TestFaults(t *testing.T) {
	step := 3
	if reduced() {
		step = 17
	}
	for _, kind := range []string{"EIO once", "ENOSPC for good"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table := map[string]int{}
			dir := t.TempDir()
			for first, done := 0, false; !done; {
				first, done = runFaults(t, dir, first, step, kind, table)
			}
			t.Logf("%v", table)
			if table["append"] == 0 || table["open"] == 0 && !reduced() {
				t.Error("no fault was met where it must be")
			}
		})
	}
}

// runFaults has a child try one fault after the other, from number first on, until they are all tried
// or it dies; then it checks what the child left. It returns where to go on.
func runFaults(t *testing.T, dir string, first, step int, kind string, table map[string]int) (next int, done bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %s", faultEnv, dir, first, step, kind))
	var complaint bytes.Buffer
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}

	// What was acknowledged in each directory, as the child told it line by line.
	acked, made := map[int]wal.Revision{}, map[int]bool{}
	number := first
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "fault":
			number = atoi(t, rest)
		case "made":
			made[number] = true
		case "ack":
			acked[number] = wal.Revision(atoi(t, rest))
		case "wrong":
			t.Errorf("fault %d: %s", number, rest)
		case "end":
			table[rest]++
		case "done":
			done = true
		}
	}
	if err := child.Wait(); err != nil {
		// Only Pebble may do that, and that also a little later, when Open had failed and a compaction
		// that it had begun finds its file cache closed.
		if !strings.Contains(complaint.String(), "pebble/v2") {
			t.Fatalf("fault %d: the child ended by itself: %v\n%s", number, err, complaint.String())
		}
		table["died"]++
	}
	for n := first; n <= number; n += step {
		checkFault(t, faultDir(dir, n), made[n], acked[n])
		if err := os.RemoveAll(faultDir(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	return number + step, done
}

func checkFault(t *testing.T, dir string, made bool, acked wal.Revision) {
	t.Helper()
	l, err := wal.Open(filepath.Join(dir, "log"), crashOptions(t, vfs.Default))
	if err != nil {
		if made {
			t.Errorf("%s: opening it again: %v", dir, err)
		}
		return
	}
	defer l.Close()
	recs, err := read(l, 0, 0)
	if err != nil || l.Lost() != nil || len(recs) < int(acked) {
		t.Errorf("%s: %d records (%v), acknowledged were %d; lost %v", dir, len(recs), err, acked, l.Lost())
	}
	payloads := faultWorkload()
	for i, rec := range recs {
		if string(rec.Payload) != payloads[i] {
			t.Errorf("%s: record %d is %.20q, want %.20q", dir, i+1, rec.Payload, payloads[i])
		}
	}
}

// faultWorkload is what the child appends, in two runs; enough for a few tables.
func faultWorkload() []string {
	w := workload(26)
	for i := range w {
		w[i] += strings.Repeat("q", 1000)
	}
	return w
}

func faultDir(dir string, n int) string { return filepath.Join(dir, strconv.Itoa(n)) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// faultChild tries faults number first, first+step, … and says on stdout how each went, until one lies
// behind the last operation.
func faultChild(spec string) {
	var dir, err0, err1 string
	var first, step int
	if _, err := fmt.Sscan(spec, &dir, &first, &step, &err0, &err1); err != nil {
		panic(err)
	}
	for n := first; ; n += step {
		fmt.Println("fault", n)
		f := &fault{at: int64(n), err: syscall.EIO}
		if err0 == "ENOSPC" {
			f.err, f.sticky = syscall.ENOSPC, true
		}
		where := f.work(faultDir(dir, n))
		fmt.Println("end", where)
		if !f.hit.Load() {
			fmt.Println("done")
			return
		}
	}
}

// fault is a file system whose write operation number at fails; with sticky all behind it, too.
type fault struct {
	at     int64
	err    error
	sticky bool

	count atomic.Int64
	hit   atomic.Bool
}

func (f *fault) String() string { return "fault" }

func (f *fault) MaybeError(op errorfs.Op) error {
	// Close is left alone: it writes nothing.
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	n := f.count.Add(1) - 1
	if n == f.at || f.sticky && n > f.at {
		f.hit.Store(true)
		return &os.PathError{Op: "injected", Path: op.Path, Err: f.err}
	}
	return nil
}

// work makes a log and writes to it in two runs. It returns where the fault struck.
func (f *fault) work(dir string) string {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		panic(err)
	}
	var fatal atomic.Int64
	opts := wal.Options{
		FS:            errorfs.Wrap(vfs.Default, f),
		Logger:        slog.New(slog.NewTextHandler(io.Discard, nil)),
		Fatal:         func(error) { fatal.Add(1) },
		MemTableBytes: 16 << 10,
	}
	wrong := func(format string, args ...any) { fmt.Println("wrong", fmt.Sprintf(format, args...)) }
	log := filepath.Join(dir, "log")
	if err := wal.Create(log, testID, opts); err != nil {
		if !errors.Is(err, f.err) {
			wrong("Create: %v", err)
		}
		return "create"
	}
	fmt.Println("made")
	payloads := faultWorkload()
	for run := range 2 {
		l, err := wal.Open(log, opts)
		if err != nil {
			// Cleaning up after the fault Pebble may panic, which hides the fault.
			if !errors.Is(err, f.err) && !strings.Contains(err.Error(), "panic") || fatal.Load() != 0 {
				wrong("Open: %v, Fatal was called %d times", err, fatal.Load())
			}
			return "open"
		}
		for n := int(l.Head().Revision); n < len(payloads)*(run+1)/2; n++ {
			h, err := l.Append(day, 0, entries(payloads[n]))
			if err == nil {
				fmt.Println("ack", h.Revision)
				continue
			}
			_, again := l.Append(day, 0, entries("x"))
			if !errors.Is(err, wal.ErrFailed) || !errors.Is(again, wal.ErrFailed) || !errors.Is(l.Health(), wal.ErrFailed) {
				wrong("Append: %v, again: %v, Health: %v", err, again, l.Health())
			}
			if fatal.Load() != 1 {
				wrong("Append failed and Fatal was called %d times", fatal.Load())
			}
			if recs, err := read(l, 0, 0); err != nil || len(recs) != n {
				wrong("after the failure %d records are read (%v), want %d", len(recs), err, n)
			}
			l.Close()
			return "append"
		}
		if err := l.Close(); err != nil {
			return "close"
		}
		if fatal.Load() != 0 {
			return "witness at close"
		}
	}
	if f.hit.Load() {
		return "absorbed"
	}
	return "no fault"
}

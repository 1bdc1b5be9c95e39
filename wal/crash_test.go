package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/introducer/introducer/wal"
)

// image is a disk as a power cut might leave it, and what had been acknowledged by then.
type image struct {
	disk  *vfs.MemFS
	op    string // the operation before which it was taken
	acked wal.Revision
}

// camera is a file system that takes images of itself before each of its write operations.
type camera struct {
	errorfs.FS
	mem *vfs.MemFS

	mu     sync.Mutex
	on     bool
	rng    *rand.Rand
	acked  wal.Revision
	images []image
}

func newCamera(mem *vfs.MemFS, seed uint64) *camera {
	c := &camera{mem: mem, rng: rand.New(rand.NewPCG(seed, 0))}
	c.FS = *errorfs.Wrap(mem, errorfs.InjectorFunc(c.shoot))
	return c
}

// shoot keeps three images: without what is not synced, with half of it, with all of it.
func (c *camera) shoot(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return nil
	}
	for _, percent := range []int{0, 50, 100} {
		// What is acknowledged is read before the image is taken: not more may be asked of it.
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}
		name := fmt.Sprintf("operation %d, %d%% of the unsynced", op.Kind, percent)
		c.images = append(c.images, image{acked: c.acked, disk: c.mem.CrashClone(cfg), op: name + ", " + op.Path})
	}
	return nil
}

// ReuseForWrite does by itself what the file system in memory does holding a lock for reading, which it then
// takes again: an image that waits for the lock in between waits for ever.
func (c *camera) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := c.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return c.OpenReadWrite(newname, category)
}

func (c *camera) switchOn(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

func (c *camera) ack(r wal.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = r
}

// crashOptions make the log write every kind of file within a few dozen records.
func crashOptions(t testing.TB, fs vfs.FS) wal.Options {
	opts := quiet(t, fs)
	opts.MemTableBytes = 16 << 10
	return opts
}

// workload is what every crash test writes: payload i is that of revision i+1.
func workload(n int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	var w []string
	for i := range n {
		w = append(w, fmt.Sprintf("%d:%s", i+1, strings.Repeat("p", rng.IntN(900))))
	}
	return w
}

// No power cut, wherever it falls, takes back an acknowledged record, leaves a hole, or makes the log
// call itself lost.
func TestCrash(t *testing.T) {
	n, nested := 90, 20
	if reduced() {
		n, nested = 25, 120
	}
	payloads := workload(n + 1) // the last one is verify's
	mem := makeLog(t, vfs.NewCrashableMem())
	c := newCamera(mem, 7)
	c.switchOn(true)
	for run := range 3 {
		opts := crashOptions(t, c)
		opts.StrictWitness = run == 1
		l := open(t, opts)
		for int(l.Head().Revision) < n*(run+1)/3 {
			head := int(l.Head().Revision)
			size := min(1+head%4, n*(run+1)/3-head)
			h, err := l.Append(day.Add(time.Duration(head)), time.Duration(head), entries(payloads[head:head+size]...))
			if err != nil {
				t.Fatal(err)
			}
			c.ack(h.Revision)
			if head%5 == 0 {
				l.Beat(time.Duration(head) + 1)
			}
		}
		closeLog(t, l)
	}
	c.switchOn(false)

	again := 0
	for i, img := range c.images {
		second := newCamera(img.disk, uint64(i))
		second.switchOn(i%nested == 0)
		verify(t, second, img, payloads)
		second.switchOn(false)
		for _, s := range second.images {
			// A crash while it recovered from a crash.
			verify(t, s.disk, image{op: img.op + "; then " + s.op, acked: img.acked}, payloads)
			again++
		}
	}
	t.Logf("%d images of a crash, %d of a crash while recovering", len(c.images), again)
	if len(c.images) < 300 || again < 30 {
		t.Errorf("too few images: %d and %d", len(c.images), again)
	}
}

// verify opens the log in fs and checks it against what was acknowledged, and that it goes on.
func verify(t *testing.T, fs vfs.FS, img image, payloads []string) {
	t.Helper()
	l, err := wal.Open(logDir, crashOptions(t, fs))
	if err != nil {
		t.Errorf("before %s: %v", img.op, err)
		return
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Errorf("before %s: Close: %v", img.op, err)
		}
	}()
	if l.Lost() != nil || l.Warnings() != nil {
		t.Errorf("before %s: lost %v, warnings %v", img.op, l.Lost(), l.Warnings())
	}
	if head := l.Head().Revision; head < img.acked || int(head) > len(payloads) {
		t.Errorf("before %s: head %d, acknowledged was %d", img.op, head, img.acked)
		return
	}
	recs, err := read(l, 0, 0)
	if err != nil {
		t.Errorf("before %s: %v", img.op, err)
	}
	if len(recs) != int(l.Head().Revision) {
		t.Errorf("before %s: %d records under head %d", img.op, len(recs), l.Head().Revision)
	}
	for i, rec := range recs {
		if int(rec.Revision) != i+1 || string(rec.Payload) != payloads[i] {
			t.Errorf("before %s: record %d at place %d, payload %.20q", img.op, rec.Revision, i, rec.Payload)
		}
	}
	if len(recs) < len(payloads) {
		if _, err := l.Append(day, 0, entries(payloads[len(recs)])); err != nil {
			t.Errorf("before %s: the next Append: %v", img.op, err)
		}
	}
}

// A crash within Renew leaves the old log, the new one, or one that asks for Renew again.
func TestCrashInRenew(t *testing.T) {
	mem := makeLog(t, vfs.NewCrashableMem())
	payloads := workload(4)
	l := open(t, crashOptions(t, mem))
	add(t, l, payloads[:3]...)
	closeLog(t, l)

	c := newCamera(mem, 3)
	c.ack(3)
	l = open(t, crashOptions(t, c))
	c.switchOn(true)
	if err := l.Renew(otherID); err != nil {
		t.Fatal(err)
	}
	c.switchOn(false)
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	closeLog(t, l)

	seen := map[string]bool{}
	for _, img := range append(c.images, image{disk: after, op: "the end"}) {
		l, err := wal.Open(logDir, crashOptions(t, img.disk))
		if err != nil {
			t.Fatalf("before %s: %v", img.op, err)
		}
		state := "old"
		if l.ID() == otherID {
			state = "new"
		}
		if l.Lost() != nil {
			state += ", lost: " + l.Lost().Reason.String()
			if err := l.Renew(wal.LogID{0xdd}); err != nil {
				t.Errorf("before %s: Renew again: %v", img.op, err)
			}
		}
		seen[state] = true
		if img.disk == after && state != "new" {
			t.Errorf("after Renew had returned: %s", state)
		}
		closeLog(t, l)
		verify(t, img.disk, img, payloads)
	}
	for _, want := range []string{"old", "new", "new, lost: the witness is of another log"} {
		if !seen[want] {
			t.Errorf("no image is %q; there are %v", want, seen)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("unexpected: %v", seen)
	}
}

// A witness that Open made anew is there after a crash, directory entry and all.
func TestCrashAfterTheWitnessWasMadeAnew(t *testing.T) {
	mem := makeLog(t, vfs.NewCrashableMem())
	if err := mem.Remove(witnessFile); err != nil {
		t.Fatal(err)
	}
	l := open(t, quiet(t, mem))
	if len(l.Warnings()) != 1 {
		t.Errorf("warnings: got %v, want one", l.Warnings())
	}
	l = open(t, quiet(t, mem.CrashClone(vfs.CrashCloneCfg{})))
	if l.Warnings() != nil {
		t.Errorf("after the crash: %v", l.Warnings())
	}
}

// On a disk that takes no new files Open says so instead of waiting, and the log can still be read.
func TestOpenOnAFullDisk(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b")
	closeLog(t, l)

	full := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return errNoSpace
		}
		return nil
	}))
	for range 2 {
		_, err := wal.Open(logDir, quiet(t, full))
		if !errors.Is(err, wal.ErrFailed) || !errors.Is(err, errNoSpace) {
			t.Errorf("Open: got %v, want ErrFailed and what the disk said", err)
		}
	}
	opts := quiet(t, full)
	opts.ReadOnly = true
	l = open(t, opts)
	if got := list(read(l, 0, 0)); !slices.Equal(got, []string{"1:1:a", "2:1:b"}) {
		t.Errorf("read-only: got %v", got)
	}
	closeLog(t, l)

	l = open(t, quiet(t, mem)) // there is room again
	add(t, l, "c")
}

var errNoSpace = errors.New("no space left")

package wal_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

// Every state of the witness beside a log of five records: what Open makes of it.
func TestWitness(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b", "c", "d", "e")
	var at []wal.Record
	for rec, err := range l.Records(0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, rec)
	}
	closeLog(t, l)
	whole := files(t, mem, "data")

	// mark is what a witness holds that saw revision r.
	mark := func(r wal.Revision, counter uint64) wal.Mark {
		m := wal.Mark{LogID: testID, Revision: r, Counter: counter}
		if r > 0 && int(r) <= len(at) {
			m.Chain, m.Time, m.Clock = at[r-1].Chain, at[r-1].Time, at[r-1].Clock
		}
		return m
	}
	changed := func(m wal.Mark, change func(*wal.Mark)) wal.Mark {
		change(&m)
		return m
	}
	otherLog := func(m *wal.Mark) { m.LogID = otherID }
	otherChain := func(m *wal.Mark) { m.Chain[0] ^= 1 }
	late := func(m *wal.Mark) { m.Clock = time.Hour }

	slot := func(m wal.Mark) []byte { return wal.EncodeMark(m) }
	torn := func(b []byte) []byte { return append(b[:50:50], make([]byte, len(b)-50)...) }
	garbage := bytes.Repeat([]byte{0xee}, 4096)

	for _, test := range []struct {
		name    string
		witness []byte // nil: no file
		lost    wal.Reason
		warns   bool
		clock   time.Duration
		counter uint64 // of the mark that Open writes, if it does
	}{
		{name: "at the head", witness: join(slot(mark(4, 8)), slot(mark(5, 9))), counter: 10},
		{name: "at the head, newest first", witness: join(slot(mark(5, 9)), slot(mark(4, 8))), counter: 10},
		{name: "with a later clock", witness: join(slot(mark(4, 8)), slot(changed(mark(5, 9), late))), clock: time.Hour, counter: 10},
		{name: "behind", witness: join(slot(mark(2, 8)), slot(mark(3, 9))), counter: 10},
		{name: "at an empty log", witness: join(slot(mark(0, 1)), make([]byte, 4096)), counter: 2},
		{name: "the newer slot torn", witness: join(slot(mark(4, 8)), torn(slot(mark(5, 9)))), counter: 9},
		{name: "the older slot torn", witness: join(torn(slot(mark(4, 8))), slot(mark(5, 9))), counter: 10},
		{name: "the newer slot garbage", witness: join(slot(mark(4, 8)), garbage), counter: 9},
		{name: "cut after one slot", witness: slot(mark(4, 8)), counter: 9},
		{name: "cut within the second slot", witness: join(slot(mark(4, 8)), slot(mark(5, 9))[:95]), counter: 9},
		{name: "longer than it should be", witness: join(slot(mark(4, 8)), slot(mark(5, 9)), garbage), counter: 10},

		{name: "missing", warns: true, counter: 1},
		{name: "empty", witness: []byte{}, warns: true, counter: 1},
		{name: "both slots torn", witness: join(torn(slot(mark(4, 8))), torn(slot(mark(5, 9)))), warns: true, counter: 1},
		{name: "both slots garbage", witness: join(garbage, garbage), warns: true, counter: 1},
		{name: "zeros", witness: make([]byte, 8192), warns: true, counter: 1},

		{name: "ahead by one", witness: join(slot(mark(5, 8)), slot(mark(6, 9))), lost: wal.ReasonBehind},
		{name: "far ahead", witness: join(slot(mark(5, 8)), slot(mark(1000, 9))), lost: wal.ReasonBehind},
		{name: "ahead, the other slot torn", witness: join(torn(slot(mark(5, 8))), slot(mark(6, 9))), lost: wal.ReasonBehind},
		{name: "ahead, with a later clock", witness: join(slot(mark(5, 8)), slot(changed(mark(6, 9), late))), lost: wal.ReasonBehind, clock: time.Hour},
		{name: "of another log", witness: join(slot(mark(4, 8)), slot(changed(mark(5, 9), otherLog))), lost: wal.ReasonOtherLog},
		{name: "of another log, with a later clock", lost: wal.ReasonOtherLog,
			witness: join(slot(mark(4, 8)), slot(changed(changed(mark(5, 9), otherLog), late)))},
		{name: "of another log, older", witness: join(slot(mark(5, 9)), slot(changed(mark(5, 8), otherLog))), counter: 10},
		{name: "another chain at the head", witness: join(slot(mark(4, 8)), slot(changed(mark(5, 9), otherChain))), lost: wal.ReasonOtherChain},
		{name: "another chain before the head", witness: join(slot(mark(2, 8)), slot(changed(mark(3, 9), otherChain))), lost: wal.ReasonOtherChain},
		{name: "another chain at the beginning", witness: join(slot(changed(mark(0, 1), otherChain))), lost: wal.ReasonOtherChain},
	} {
		for _, readOnly := range []bool{true, false} {
			name := test.name
			if readOnly {
				name += ", read-only"
			}
			t.Run(name, func(t *testing.T) {
				content := make(map[string][]byte, len(whole))
				for path, b := range whole {
					content[path] = b
				}
				delete(content, witnessFile)
				if test.witness != nil {
					content[witnessFile] = test.witness
				}
				mem := restore(t, content)
				opts := quiet(t, mem)
				opts.ReadOnly = readOnly
				l := open(t, opts)

				if warned := len(l.Warnings()) == 1 && errors.Is(l.Warnings()[0], wal.ErrNoWitness); warned != test.warns || len(l.Warnings()) > 1 {
					t.Errorf("warnings: got %v, want one: %v", l.Warnings(), test.warns)
				}
				if want := max(at[4].Clock, test.clock); l.Clock() != want {
					t.Errorf("clock: got %v, want %v", l.Clock(), want)
				}
				if recs, err := read(l, 0, 0); err != nil || len(recs) != 5 {
					t.Errorf("reading: %d records, %v", len(recs), err)
				}
				if test.lost == 0 && l.Lost() != nil {
					t.Errorf("lost: %v", l.Lost())
				}
				if test.lost != 0 {
					if l.Lost() == nil || l.Lost().Reason != test.lost || l.Lost().Head != l.Head() {
						t.Fatalf("lost: got %+v, want reason %v", l.Lost(), test.lost)
					}
					wantUntouched(t, mem, test.witness)
				}
				if readOnly {
					wantUntouched(t, mem, test.witness)
					return
				}
				if test.lost == 0 {
					wantMark(t, mem, changed(mark(5, test.counter), func(m *wal.Mark) { m.Clock = l.Clock() }))
					add(t, l, "f")
					return
				}
				wantQuarantined(t, l)
				l.Beat(2 * time.Hour)
				closeLog(t, l)
				wantUntouched(t, mem, test.witness)

				// What the operator accepts is a log like any other, under another id.
				l = open(t, quiet(t, mem))
				newID := wal.LogID{0xcc}
				if err := l.Renew(newID); err != nil {
					t.Fatal(err)
				}
				if l.Lost() != nil || l.ID() != newID || l.Head().Revision != 5 || l.Health() != nil {
					t.Errorf("renewed: lost %v, id %v, head %v, health %v", l.Lost(), l.ID(), l.Head(), l.Health())
				}
				add(t, l, "f")
				closeLog(t, l)
				l = open(t, quiet(t, mem))
				if l.Lost() != nil || l.ID() != newID || l.Head().Revision != 6 || l.Warnings() != nil {
					t.Errorf("opened again: lost %v, id %v, head %v, warnings %v", l.Lost(), l.ID(), l.Head(), l.Warnings())
				}
			})
		}
	}
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// wantUntouched checks that the witness is what it was; nil: not there.
func wantUntouched(t *testing.T, fs vfs.FS, witness []byte) {
	t.Helper()
	if witness == nil {
		if exists(fs, witnessFile) {
			t.Error("a witness was made")
		}
		return
	}
	if got := readFile(t, fs, witnessFile); !bytes.Equal(got[:min(len(got), len(witness))], witness) {
		t.Error("the witness was touched")
	}
}

// newestMark is the mark that counts in the witness file.
func newestMark(t *testing.T, fs vfs.FS) wal.Mark {
	t.Helper()
	file := readFile(t, fs, witnessFile)
	var newest wal.Mark
	for from := 0; from+4096 <= len(file) && from < 8192; from += 4096 {
		if m, err := wal.DecodeMark(file[from : from+4096]); err == nil && m.Counter > newest.Counter {
			newest = m
		}
	}
	return newest
}

func wantMark(t *testing.T, fs vfs.FS, want wal.Mark) {
	t.Helper()
	if diff := cmp.Diff(want, newestMark(t, fs)); diff != "" {
		t.Errorf("the newest mark (-want +got):\n%s", diff)
	}
}

func TestWitnessElsewhere(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("other", 0o755); err != nil {
		t.Fatal(err)
	}
	opts := quiet(t, mem)
	opts.WitnessPath = "other/seen"
	if err := wal.Create(logDir, testID, opts); err != nil {
		t.Fatal(err)
	}
	l := open(t, opts)
	add(t, l, "a")
	closeLog(t, l)
	if exists(mem, witnessFile) {
		t.Error("a witness in the usual place")
	}
	if l := open(t, opts); l.Warnings() != nil || l.Lost() != nil {
		t.Errorf("warnings %v, lost %v", l.Warnings(), l.Lost())
	}
}

// The running time goes on where the last run, or the last beat of it, left it.
func TestBeat(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b")
	l.Beat(time.Minute)
	l.Beat(time.Second) // late: ignored
	if l.Clock() != time.Minute {
		t.Errorf("clock: got %v, want 1m", l.Clock())
	}
	closeLog(t, l)
	if m := newestMark(t, mem); m.Clock != time.Minute || m.Revision != 2 {
		t.Errorf("the mark: got clock %v at revision %d, want 1m at 2", m.Clock, m.Revision)
	}

	l = open(t, quiet(t, mem))
	if l.Clock() != time.Minute || l.Head().Clock != 0 {
		t.Errorf("opened again: clock %v, head's %v, want 1m and 0", l.Clock(), l.Head().Clock)
	}
	h, err := l.Append(day, 30*time.Second, entries("c"))
	if err != nil || h.Clock != time.Minute {
		t.Errorf("a record behind the beat: got clock %v, %v, want 1m", h.Clock, err)
	}
}

// While a mark is being written neither Append nor Beat waits for it, and what they ask for meanwhile
// becomes one mark.
func TestMarksAreALevel(t *testing.T) {
	mem := memory(t)
	hold := newHold(func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileSyncData && op.Path == witnessFile })
	l := open(t, quiet(t, errorfs.Wrap(mem, hold)))
	opened := l.Stats().Marks

	hold.arm()
	l.Beat(1)
	<-hold.reached
	for range 10 {
		add(t, l, "x")
		l.Beat(l.Clock() + 1)
	}
	if got := l.Stats().Marks; got != opened {
		t.Errorf("%d marks while one is being synced", got-opened)
	}
	hold.release()
	closeLog(t, l)
	if got := l.Stats().Marks - opened; got != 2 {
		t.Errorf("%d marks, want the one that was held and one for all that came meanwhile", got)
	}
	if m := newestMark(t, mem); m.Revision != 10 || m.Clock != l.Clock() {
		t.Errorf("the mark: revision %d, clock %v, want 10 and %v", m.Revision, m.Clock, l.Clock())
	}
}

// With StrictWitness an Append has not returned before its mark is synced.
func TestStrictWitness(t *testing.T) {
	mem := memory(t)
	hold := newHold(func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileSyncData && op.Path == witnessFile })
	opts := quiet(t, errorfs.Wrap(mem, hold))
	opts.StrictWitness = true
	l := open(t, opts)

	hold.arm()
	l.Beat(1) // a mark without the record to come
	<-hold.reached
	done := make(chan error, 1)
	go func() {
		_, err := l.Append(day, 2, entries("a"))
		done <- err
	}()
	for l.Head().Revision == 0 {
		// Until the record is synced, which is before it is marked.
	}
	select {
	case <-done:
		t.Error("Append returned before its mark was written")
	default:
	}
	hold.release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if m := newestMark(t, mem); m.Revision != 1 {
		t.Errorf("Append returned with the mark at revision %d", m.Revision)
	}
}

// A reader never sees what is not synced, though Pebble shows it.
func TestNothingUnsyncedIsRead(t *testing.T) {
	mem := memory(t)
	hold := newHold(func(op errorfs.Op) bool {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		return sync && strings.HasSuffix(op.Path, ".log")
	})
	l := open(t, quiet(t, errorfs.Wrap(mem, hold)))
	before := add(t, l, "a")

	hold.arm()
	done := make(chan error, 1)
	go func() {
		_, err := l.Append(day, time.Hour, entries("b", "c"))
		done <- err
	}()
	<-hold.reached
	for shown := 0; shown < 3; {
		shown = 0
		for _, err := range wal.Unbounded(l, 1, 3) {
			if err == nil {
				shown++
			}
		}
	}
	// Now Pebble shows the records, and their sync hangs.
	if l.Head() != before {
		t.Errorf("head: got %v, want %v", l.Head(), before)
	}
	if diff := cmp.Diff([]string{"1:1:a"}, list(read(l, 0, 3))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if n := l.Held(0); n != 1 || l.Stats().DiskBytes == 0 {
		t.Errorf("%d records are held, in %d bytes", n, l.Stats().DiskBytes)
	}
	if rec, err := l.Get(2); !errors.Is(err, wal.ErrNotFound) {
		t.Errorf("Get(2): got %v, %v, want ErrNotFound", rec, err)
	}
	if err := l.Check(2, wal.Chain{}); !errors.Is(err, wal.ErrAhead) {
		t.Errorf("Check(2): got %v, want ErrAhead", err)
	}
	l.Beat(2 * time.Hour)
	if m := newestMark(t, mem); m.Revision > 1 {
		t.Errorf("the witness is at revision %d", m.Revision)
	}
	hold.release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1:1:a", "2:1:b", "3:1:c"}, list(read(l, 0, 3))); diff != "" {
		t.Errorf("records when synced (-want +got):\n%s", diff)
	}
}

// Another witness than the log's own may quarantine it, too.
func TestQuarantine(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a")
	seen := wal.Mark{LogID: testID, Revision: 2}
	if err := l.Check(seen.Revision, seen.Chain); !errors.Is(err, wal.ErrAhead) {
		t.Fatalf("Check: got %v, want ErrAhead", err)
	}
	l.Quarantine(seen, wal.ReasonBehind)
	l.Quarantine(wal.Mark{}, wal.ReasonOtherLog) // the first one stands
	if diff := cmp.Diff(&wal.Lost{Witness: seen, Head: l.Head(), Reason: wal.ReasonBehind}, l.Lost()); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	want := "records are missing from the log's end: the witness saw revision 2 of log " + testID.String() + ", the log ends at revision 1"
	if got := l.Lost().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	wantQuarantined(t, l)
	for _, id := range []wal.LogID{{}, testID} {
		if err := l.Renew(id); err == nil {
			t.Errorf("Renew(%v) was accepted", id)
		}
	}
	if err := l.Renew(otherID); err != nil {
		t.Fatal(err)
	}
	add(t, l, "b")
}

// A witness that can't be read is not the same as none.
func TestWitnessUnreadable(t *testing.T) {
	mem := memory(t)
	bad := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Path == witnessFile && op.Kind == errorfs.OpFileReadAt {
			return syscall.EIO
		}
		return nil
	})
	if _, err := wal.Open(logDir, quiet(t, errorfs.Wrap(mem, bad))); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	if l := open(t, quiet(t, mem)); l.Warnings() != nil {
		t.Errorf("warnings: %v", l.Warnings())
	}
}

// hold stops the first matching operation after arm until release.
type hold struct {
	match   func(errorfs.Op) bool
	armed   atomic.Bool
	reached chan struct{}
	held    chan struct{}
	once    sync.Once
}

func newHold(match func(errorfs.Op) bool) *hold {
	return &hold{match: match, reached: make(chan struct{}), held: make(chan struct{})}
}

func (h *hold) arm()           { h.armed.Store(true) }
func (h *hold) release()       { close(h.held) }
func (h *hold) String() string { return "hold" }

func (h *hold) MaybeError(op errorfs.Op) error {
	if h.armed.Load() && h.match(op) {
		h.once.Do(func() { close(h.reached) })
		<-h.held
	}
	return nil
}

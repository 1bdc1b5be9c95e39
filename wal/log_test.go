package wal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

func TestAppendAndReadAgain(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	if got, want := l.Head(), (wal.Head{}); got != want {
		t.Errorf("head of an empty log: got %v, want %v", got, want)
	}
	if recs, err := read(l, 0, 0); len(recs) > 0 || err != nil {
		t.Errorf("records of an empty log: got %v, %v", recs, err)
	}

	h, err := l.Append(day, time.Minute, []wal.Entry{{Kind: 1, Payload: []byte("one")}, {Kind: 255}})
	if err != nil {
		t.Fatal(err)
	}
	if h != l.Head() {
		t.Errorf("Append says head %v, Head %v", h, l.Head())
	}
	add(t, l, "three", strings.Repeat("x", 10_000))
	before, err := read(l, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)

	l = open(t, quiet(t, mem))
	after, err := read(l, 1, 99)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("after opening again (-before +after):\n%s", diff)
	}
	first := wal.Record{Revision: 1, Time: day, Clock: time.Minute, Kind: 1, Payload: []byte("one"), Chain: before[0].Chain}
	if diff := cmp.Diff(first, before[0]); diff != "" {
		t.Errorf("record 1 (-want +got):\n%s", diff)
	}
	if last := after[3]; l.Head() != (wal.Head{Revision: 4, Chain: last.Chain, Time: last.Time, Clock: last.Clock}) {
		t.Errorf("head after opening again: got %v", l.Head())
	}
	for _, want := range after {
		got, err := l.Get(want.Revision)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Get(%d) (-want +got):\n%s", want.Revision, diff)
		}
	}
	if l.ID() != testID || l.First() != 1 || l.Lost() != nil || l.Warnings() != nil || l.Health() != nil {
		t.Errorf("id %v, first %v, lost %v, warnings %v, health %v", l.ID(), l.First(), l.Lost(), l.Warnings(), l.Health())
	}
	if h := add(t, l, "five"); h.Revision != 5 {
		t.Errorf("the next revision: got %d, want 5", h.Revision)
	}
}

func TestRecordsBounds(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a", "b", "c", "d")
	for _, test := range []struct {
		from, to wal.Revision
		want     []string
	}{
		{0, 0, []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d"}},
		{1, 4, []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d"}},
		{0, 1, []string{"1:1:a"}},
		{2, 3, []string{"2:1:b", "3:1:c"}},
		{4, 0, []string{"4:1:d"}},
		{4, math.MaxUint64, []string{"4:1:d"}},
		{3, 2, nil},
		{5, 0, nil},
		{math.MaxUint64, math.MaxUint64, nil},
	} {
		if diff := cmp.Diff(test.want, list(read(l, test.from, test.to))); diff != "" {
			t.Errorf("Records(%d, %d) (-want +got):\n%s", test.from, test.to, diff)
		}
	}
	for _, r := range []wal.Revision{0, 5, math.MaxUint64} {
		if _, err := l.Get(r); !errors.Is(err, wal.ErrNotFound) {
			t.Errorf("Get(%d): got %v, want ErrNotFound", r, err)
		}
	}
}

func TestRecordsEndAtTheHeadOfTheirCall(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a", "b")
	records := l.Records(0, 0)
	var got []string
	for rec, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(rec.Payload))
		add(t, l, "later")
	}
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGetGivesItsOwnCopy(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	payload := []byte("mine")
	if _, err := l.Append(day, 0, []wal.Entry{{Kind: 1, Payload: payload}}); err != nil {
		t.Fatal(err)
	}
	copy(payload, "????")
	rec, err := l.Get(1)
	if err != nil {
		t.Fatal(err)
	}
	copy(rec.Payload, "!!!!")
	if got, err := l.Get(1); err != nil || string(got.Payload) != "mine" {
		t.Errorf("got %q, %v, want \"mine\"", got.Payload, err)
	}
}

func TestTimesNeverGoBack(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	latest := time.Unix(0, math.MaxInt64).UTC()
	for _, step := range []struct {
		now       time.Time
		clock     time.Duration
		wantTime  time.Time
		wantClock time.Duration
		reopen    bool
	}{
		{now: time.Time{}, clock: -5, wantTime: time.Unix(0, 1).UTC()},
		{now: day, clock: 10, wantTime: day, wantClock: 10},
		{now: day.Add(-time.Hour), clock: 9, wantTime: day, wantClock: 10},
		{now: day.In(time.FixedZone("east", 3600)), clock: 11, wantTime: day, wantClock: 11, reopen: true},
		{now: day.Add(-1), clock: 0, wantTime: day, wantClock: 11},
		{now: day.AddDate(1, 0, 0), clock: 12, wantTime: day.AddDate(1, 0, 0), wantClock: 12},
		{now: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), clock: math.MaxInt64, wantTime: latest, wantClock: math.MaxInt64},
	} {
		h, err := l.Append(step.now, step.clock, entries("x"))
		if err != nil {
			t.Fatal(err)
		}
		if h.Time != step.wantTime || h.Clock != step.wantClock {
			t.Errorf("Append(%v, %v): got %v, %v, want %v, %v", step.now, step.clock, h.Time, h.Clock, step.wantTime, step.wantClock)
		}
		if rec, err := l.Get(h.Revision); err != nil || rec.Time != step.wantTime || rec.Clock != step.wantClock {
			t.Errorf("the record of it: got %v, %v, %v", rec.Time, rec.Clock, err)
		}
		if step.reopen {
			closeLog(t, l)
			l = open(t, quiet(t, mem))
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	big := make([]byte, wal.MaxPayload)
	many := make([]wal.Entry, wal.MaxEntries+1)
	for i := range many {
		many[i].Kind = 1
	}
	heavy := make([]wal.Entry, wal.MaxBatch/wal.MaxPayload+1)
	for i := range heavy {
		heavy[i] = wal.Entry{Kind: 1, Payload: big}
	}
	for name, e := range map[string][]wal.Entry{
		"kind 0":       {{Kind: 1}, {Payload: []byte("a")}},
		"long payload": {{Kind: 1, Payload: append(big, 0)}},
		"many":         many,
		"heavy":        heavy,
	} {
		if _, err := l.Append(day, 0, e); !errors.Is(err, wal.ErrBadEntry) {
			t.Errorf("%s: got %v, want ErrBadEntry", name, err)
		}
	}
	if h, err := l.Append(day, 0, nil); err != nil || h != (wal.Head{}) {
		t.Errorf("no entries: got %v, %v", h, err)
	}
	if s := l.Stats(); s.Syncs != 0 || l.Head().Revision != 0 {
		t.Errorf("something was written: %+v, head %v", s, l.Head())
	}
	if reduced() {
		return
	}
	if _, err := l.Append(day, 0, many[1:]); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	if _, err := l.Append(day, 0, heavy[1:]); err != nil {
		t.Errorf("as much as may be: %v", err)
	}
	if recs, err := read(l, 0, 0); err != nil || len(recs) != wal.MaxEntries+wal.MaxBatch/wal.MaxPayload {
		t.Errorf("got %d records, %v", len(recs), err)
	}
}

func TestClosed(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a", "b")
	closeLog(t, l)
	closeLog(t, l)
	_, appended := l.Append(day, 0, entries("c"))
	_, got := l.Get(1)
	_, records := read(l, 0, 0)
	for name, err := range map[string]error{
		"Append": appended, "Get": got, "Records": records, "Check": l.Check(1, wal.Chain{}), "Renew": l.Renew(otherID),
	} {
		if !errors.Is(err, wal.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	l.Beat(time.Hour) // does nothing, and that quietly
	if s := l.Stats(); s.Records != 2 {
		t.Errorf("stats after Close: %+v", s)
	}
}

// Close waits for whoever is reading, and an iteration under way ends at its next step.
func TestCloseEndsAnIteration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := wal.Open(logDir, quiet(t, memory(t)))
		if err != nil {
			t.Fatal(err)
		}
		add(t, l, "a", "b", "c")
		closed := make(chan error, 1)
		var got []string
		for rec, err := range l.Records(0, 0) {
			if err != nil {
				if !errors.Is(err, wal.ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
				break
			}
			got = append(got, string(rec.Payload))
			if rec.Revision == 2 {
				go func() { closed <- l.Close() }()
				synctest.Wait()
				if len(closed) > 0 {
					t.Error("Close did not wait for the reader")
				}
				// Reading while reading must not wait for the Close that waits for us.
				if _, err := l.Get(1); !errors.Is(err, wal.ErrClosed) {
					t.Errorf("Get: got %v, want ErrClosed", err)
				}
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestOnRealFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grid", "log")
	opts := wal.Options{StrictWitness: true}
	if err := wal.Create(dir, testID, opts); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, payload := range []string{"a", "b", "c"} {
		l, err := wal.Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wal.Open(dir, opts); !errors.Is(err, wal.ErrLocked) {
			t.Errorf("a second Open: got %v, want ErrLocked", err)
		}
		h := add(t, l, payload)
		want = append(want, list([]wal.Record{{Revision: h.Revision, Kind: 1, Payload: []byte(payload)}}, nil)...)
		if diff := cmp.Diff(want, list(read(l, 0, 0))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if l.Lost() != nil || l.Warnings() != nil {
			t.Errorf("lost %v, warnings %v", l.Lost(), l.Warnings())
		}
		closeLog(t, l)
	}
}

func TestCreateRefuses(t *testing.T) {
	mem := memory(t)
	for name, test := range map[string]struct {
		dir  string
		id   wal.LogID
		opts wal.Options
		want error
	}{
		"a log is there":     {dir: logDir, id: testID, want: fs.ErrExist},
		"anything is there":  {dir: "data", id: testID, want: fs.ErrExist},
		"a witness is there": {dir: "data/other", id: testID, want: fs.ErrExist},
		"read-only":          {dir: "data/other", id: testID, opts: wal.Options{ReadOnly: true}, want: wal.ErrReadOnly},
		"no id":              {dir: "fresh/log"},
	} {
		test.opts.FS = mem
		err := wal.Create(test.dir, test.id, test.opts)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if exists(mem, "data/other") || exists(mem, "fresh") {
			t.Errorf("%s: something was made", name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		prepare  func(t *testing.T, mem *vfs.MemFS)
		readOnly bool
		want     error
	}{
		"nothing there": {want: wal.ErrNotLog, prepare: func(t *testing.T, mem *vfs.MemFS) {
			if err := mem.RemoveAll(logDir); err != nil {
				t.Fatal(err)
			}
		}},
		"an empty directory": {want: wal.ErrNotLog, prepare: func(t *testing.T, mem *vfs.MemFS) {
			if err := errors.Join(mem.RemoveAll(logDir), mem.MkdirAll(logDir, 0o755)); err != nil {
				t.Fatal(err)
			}
		}},
		"a Pebble store of something else": {want: wal.ErrNotLog, prepare: func(t *testing.T, mem *vfs.MemFS) {
			tamper(t, mem, func(db *pebble.DB) { db.DeleteRange([]byte("m"), []byte("n"), pebble.Sync) })
		}},
		"never finished": {want: wal.ErrNotLog, prepare: func(t *testing.T, mem *vfs.MemFS) {
			tamper(t, mem, func(db *pebble.DB) { db.Delete([]byte("m/id"), pebble.Sync) })
		}},
		"of a newer schema": {want: wal.ErrNewerSchema, prepare: func(t *testing.T, mem *vfs.MemFS) {
			tamper(t, mem, func(db *pebble.DB) { set(t, db, "m/schema", schema2) })
		}},
		"of a newer schema, to read": {want: wal.ErrNewerSchema, readOnly: true, prepare: func(t *testing.T, mem *vfs.MemFS) {
			tamper(t, mem, func(db *pebble.DB) { set(t, db, "m/schema", schema2) })
		}},
		"in use": {want: wal.ErrLocked, prepare: func(t *testing.T, mem *vfs.MemFS) { open(t, quiet(t, mem)) }},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory(t)
			test.prepare(t, mem)
			before := files(t, mem, "data")
			for range 2 { // the second time shows that the first let go of everything
				opts := quiet(t, mem)
				opts.ReadOnly = test.readOnly
				if _, err := wal.Open(logDir, opts); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			}
			if name == "never finished" {
				return // that it is unfinished shows only when it is open
			}
			if diff := cmp.Diff(before, files(t, mem, "data")); diff != "" {
				t.Errorf("files were touched (-before +after):\n%s", diff)
			}
		})
	}
}

// schema2 is the value of m/schema for a release to come.
var schema2 = []byte{0, 0, 0, 2, 0xb2, 0xbb, 0x2a, 0xa5}

func TestOpenRefusesWhatIsNoDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "log")
	writeFile(t, vfs.Default, file, []byte("hello"))
	if _, err := wal.Open(file, wal.Options{}); !errors.Is(err, wal.ErrNotLog) {
		t.Errorf("got %v, want ErrNotLog", err)
	}
	if diff := cmp.Diff(map[string][]byte{file: []byte("hello")}, files(t, vfs.Default, dir)); diff != "" {
		t.Errorf("files were touched (-before +after):\n%s", diff)
	}
}

func TestReadOnly(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b")
	closeLog(t, l)
	before := files(t, mem, "data")

	opts := quiet(t, mem)
	opts.ReadOnly = true
	l = open(t, opts)
	if diff := cmp.Diff([]string{"1:1:a", "2:1:b"}, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := l.Append(day, 0, entries("c")); !errors.Is(err, wal.ErrReadOnly) {
		t.Errorf("Append: got %v, want ErrReadOnly", err)
	}
	if err := l.Renew(otherID); !errors.Is(err, wal.ErrReadOnly) {
		t.Errorf("Renew: got %v, want ErrReadOnly", err)
	}
	l.Beat(time.Hour)
	closeLog(t, l)
	if diff := cmp.Diff(before, files(t, mem, "data")); diff != "" {
		t.Errorf("files were touched (-before +after):\n%s", diff)
	}
}

func TestLogID(t *testing.T) {
	id, err := wal.NewLogID(strings.NewReader("0123456789abcdef"))
	if err != nil || id.String() != "30313233343536373839616263646566" {
		t.Errorf("got %v, %v", id, err)
	}
	for name, source := range map[string][]byte{"short": make([]byte, 15), "zeros": make([]byte, 16)} {
		if id, err := wal.NewLogID(bytes.NewReader(source)); err == nil {
			t.Errorf("from a source that is %s: got %v, want an error", name, id)
		}
	}
}

func TestStats(t *testing.T) {
	opts := quiet(t, memory(t))
	opts.StrictWitness = true
	l := open(t, opts)
	opened := l.Stats()
	add(t, l, "a", "bb", "ccc")
	add(t, l, "d")
	got := l.Stats()
	want := wal.Stats{Appends: 2, Syncs: 2, Records: 4, Bytes: 4*54 + 7, Marks: opened.Marks + 2, DiskBytes: got.DiskBytes}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.DiskBytes < got.Bytes {
		t.Errorf("%d bytes on the disk for %d of records", got.DiskBytes, got.Bytes)
	}
}

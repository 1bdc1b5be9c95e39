package wal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

func compact(t testing.TB, l *wal.Log, floor wal.Revision, keep ...wal.Revision) uint64 {
	t.Helper()
	n, err := l.Compact(context.Background(), wal.Compaction{Floor: floor, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a compaction leaves, step after step and over restarts; what stays stays byte for byte, and the
// log goes on as if nothing had been.
func TestCompact(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	whole := open(t, quiet(t, memory(t))) // the same log, never compacted
	addBoth := func(payloads ...string) {
		t.Helper()
		if a, b := add(t, l, payloads...), add(t, whole, payloads...); a != b {
			t.Errorf("heads %v and %v", a, b)
		}
	}
	addBoth("a", "b", "c", "d", "e", "f", "g", "h")
	for _, test := range []struct {
		floor   wal.Revision
		keep    []wal.Revision
		dropped uint64
		first   wal.Revision
		left    []wal.Revision
	}{
		{0, nil, 0, 1, []wal.Revision{1, 2, 3, 4, 5, 6, 7, 8}},
		{2, []wal.Revision{1, 2}, 0, 3, []wal.Revision{1, 2, 3, 4, 5, 6, 7, 8}},
		{4, []wal.Revision{1, 4}, 2, 5, []wal.Revision{1, 4, 5, 6, 7, 8}},
		{4, []wal.Revision{4}, 1, 5, []wal.Revision{4, 5, 6, 7, 8}}, // superseded since
		{4, []wal.Revision{4}, 0, 5, []wal.Revision{4, 5, 6, 7, 8}},
		{3, nil, 0, 5, []wal.Revision{4, 5, 6, 7, 8}}, // the floor never goes down
		{99, nil, 4, 8, []wal.Revision{8}},            // the newest record stays
	} {
		name := fmt.Sprintf("floor %d, keeping %v", test.floor, test.keep)
		if n := compact(t, l, test.floor, test.keep...); n != test.dropped {
			t.Errorf("%s: %d dropped, want %d", name, n, test.dropped)
		}
		for range 2 {
			if l.First() != test.first || l.Lost() != nil || l.Head() != whole.Head() {
				t.Errorf("%s: first %d, want %d; lost %v; head %v", name, l.First(), test.first, l.Lost(), l.Head())
			}
			var want []wal.Record
			for _, r := range test.left {
				rec, err := whole.Get(r)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, rec)
			}
			got, err := read(l, 0, 0)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
			closeLog(t, l)
			l = open(t, quiet(t, mem))
		}
	}
	addBoth("i", "j")
	if diff := cmp.Diff([]string{"8:1:h", "9:1:i", "10:1:j"}, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A log without records is compacted to nothing.
func TestCompactEmpty(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	if n := compact(t, l, 5); n != 0 || l.First() != 1 {
		t.Errorf("%d dropped, first %d", n, l.First())
	}
}

// The keys of a log that was compacted, to the byte.
func TestCompactedBytes(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	for _, r := range goldenRecords() {
		if _, err := l.Append(r.Time, r.Clock, []wal.Entry{{Kind: r.Kind, Payload: r.Payload}}); err != nil {
			t.Fatal(err)
		}
	}
	add(t, l, "x")
	if err := l.Forget(2); err != nil {
		t.Fatal(err)
	}
	compact(t, l, 2, 2)
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		for key, want := range map[string]string{
			// The revision of the floor and its chain value; what was forgotten, one record, its chain value.
			"m/floor":     "0000000000000002" + chain2,
			"m/compacted": "0000000000000002" + "0000000000000001" + chain2,
		} {
			got := hex.EncodeToString(get(t, db, key))
			if !strings.HasPrefix(got, want) || len(got) != len(want)+8 {
				t.Errorf("%s: got %s, want %s and a sum", key, got, want)
			}
		}
		if _, _, err := db.Get(wal.RecordKey(1)); !errors.Is(err, pebble.ErrNotFound) {
			t.Errorf("record 1: %v", err)
		}
	})
}

func TestForget(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b", "c")
	for _, test := range []struct {
		r    wal.Revision
		err  error
		want wal.Revision
	}{{0, nil, 0}, {2, nil, 2}, {1, nil, 2}, {4, wal.ErrAhead, 2}, {3, nil, 3}} {
		if err := l.Forget(test.r); !errors.Is(err, test.err) || l.Forgotten() != test.want {
			t.Errorf("Forget(%d): %v, forgotten up to %d; want %v and %d", test.r, err, l.Forgotten(), test.err, test.want)
		}
	}
	compact(t, l, 2)
	closeLog(t, l)
	l = open(t, quiet(t, mem))
	if l.Forgotten() != 3 || l.First() != 3 {
		t.Errorf("opened again: forgotten up to %d, first %d", l.Forgotten(), l.First())
	}
	closeLog(t, l)
	if err := l.Forget(3); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
	if _, err := l.Compact(t.Context(), wal.Compaction{Floor: 2}); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("Compact of a closed log: %v", err)
	}
	opts := quiet(t, mem)
	opts.ReadOnly = true
	l = open(t, opts)
	if err := l.Forget(3); !errors.Is(err, wal.ErrReadOnly) {
		t.Errorf("of a log that is open for reading: %v", err)
	}
}

// What was forgotten ends at the head, also where the head went back: a removal that comes to stand where a
// lost one stood was not forgotten.
func TestForgottenBeyondTheHead(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b", "c", "d", "e")
	if err := l.Forget(5); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) { drop(t, db, 4, 5) })

	check := func() {
		t.Helper()
		if l.Head().Revision != 3 || l.Forgotten() != 3 {
			t.Errorf("head %d, forgotten up to %d; want 3 and 3", l.Head().Revision, l.Forgotten())
		}
		s, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Forgotten != 3 {
			t.Errorf("a snapshot has forgotten up to %d, want 3", s.Forgotten)
		}
	}
	l = open(t, quiet(t, mem))
	wantQuarantined(t, l)
	check()
	if err := l.Renew(otherID); err != nil {
		t.Fatal(err)
	}
	check()
	closeLog(t, l)
	l = open(t, quiet(t, mem))
	check()
	add(t, l, "d", "e", "f")
	closeLog(t, l)
	l = open(t, quiet(t, mem))
	if l.Forgotten() != 3 {
		t.Errorf("later: forgotten up to %d, want 3", l.Forgotten())
	}
}

// A compaction that is called off has gone up to some step, and can be taken up again.
func TestCompactCalledOff(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	const n = 5000
	var payloads []string
	for i := range n {
		payloads = append(payloads, fmt.Sprint(i+1))
	}
	add(t, l, payloads...)
	ctx, cancel := context.WithCancel(t.Context())
	var steps []wal.Revision
	dropped, err := l.Compact(ctx, wal.Compaction{Floor: n - 1, Keep: []wal.Revision{7, 3000}, Step: func(at wal.Revision, _ uint64) {
		if steps = append(steps, at); len(steps) == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || dropped != 2047 || l.First() != 2049 {
		t.Errorf("called off: %d dropped, %v, first %d; want 2047 and 2049", dropped, err, l.First())
	}
	closeLog(t, l)
	l = open(t, quiet(t, mem))
	if got, err := read(l, 0, 0); len(got) != n-2047 || err != nil {
		t.Errorf("%d records, %v", len(got), err)
	}
	if dropped := compact(t, l, n-1, 7, 3000); dropped != n-3-2047 {
		t.Errorf("taken up again: %d dropped, want %d", dropped, n-3-2047)
	}
	if diff := cmp.Diff([]string{"7:1:7", "3000:1:3000", "5000:1:5000"}, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Damage that lies where nothing stays goes with what is around it; what stays stops the compaction.
func TestCompactDamage(t *testing.T) {
	decay := func(t *testing.T, db *pebble.DB, r wal.Revision) {
		v := get(t, db, string(wal.RecordKey(r)))
		v[3] ^= 1
		set(t, db, string(wal.RecordKey(r)), v)
	}
	for _, test := range []struct {
		name   string
		before func(*wal.Log)
		damage func(t *testing.T, db *pebble.DB)
		floor  wal.Revision
		keep   []wal.Revision
		at     wal.Revision // of the CorruptError; 0: none
		left   []string     // … and what is left then
	}{
		{"decayed, and goes", nil, func(t *testing.T, db *pebble.DB) { decay(t, db, 2) }, 4, []wal.Revision{3}, 0,
			[]string{"3:1:3", "5:1:5", "6:1:6"}},
		{"missing, and would go", nil, func(t *testing.T, db *pebble.DB) { drop(t, db, 2) }, 4, []wal.Revision{3}, 0,
			[]string{"3:1:3", "5:1:5", "6:1:6"}},
		{"of another history, and goes", nil, func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 2, Time: day, Kind: 1}
			set(t, db, string(wal.RecordKey(2)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, 4, []wal.Revision{4}, 0, []string{"4:1:4", "5:1:5", "6:1:6"}},
		{"the last to go", nil, func(t *testing.T, db *pebble.DB) { decay(t, db, 4) }, 4, []wal.Revision{3}, 0,
			[]string{"3:1:3", "! 4: the record is missing", "5:1:5", "6:1:6"}},
		{"decayed, and should stay", nil, func(t *testing.T, db *pebble.DB) { decay(t, db, 2) }, 4, []wal.Revision{2, 3}, 2, nil},
		{"missing, and should stay", nil, func(t *testing.T, db *pebble.DB) { drop(t, db, 2) }, 4, []wal.Revision{2, 3}, 2, nil},
		{"the last is missing, and should stay", nil, func(t *testing.T, db *pebble.DB) { drop(t, db, 4) }, 4, []wal.Revision{4}, 4, nil},
		{"behind one that is missing", nil, func(t *testing.T, db *pebble.DB) { drop(t, db, 2) }, 4, []wal.Revision{3}, 0,
			[]string{"3:1:3", "5:1:5", "6:1:6"}},
		{"decayed below the floor", func(l *wal.Log) { compact(t, l, 3, 2, 3) },
			func(t *testing.T, db *pebble.DB) { decay(t, db, 2) }, 4, []wal.Revision{3}, 0, []string{"3:1:3", "5:1:5", "6:1:6"}},
		{"decayed below the floor, which stands", func(l *wal.Log) { compact(t, l, 4, 1, 2, 3) },
			func(t *testing.T, db *pebble.DB) { decay(t, db, 1); decay(t, db, 3) }, 4, []wal.Revision{2}, 0, []string{"2:1:2", "5:1:5", "6:1:6"}},
		{"missing below the floor", func(l *wal.Log) { compact(t, l, 4, 1, 2, 3) },
			func(t *testing.T, db *pebble.DB) { drop(t, db, 1) }, 4, []wal.Revision{2, 3}, 0, []string{"2:1:2", "3:1:3", "5:1:5", "6:1:6"}},
		{"decayed below the floor, and should stay", func(l *wal.Log) { compact(t, l, 3, 2, 3) },
			func(t *testing.T, db *pebble.DB) { decay(t, db, 2) }, 4, []wal.Revision{2}, 2, nil},
		{"decayed below the floor, above a lower one", func(l *wal.Log) { compact(t, l, 3, 2, 3) },
			func(t *testing.T, db *pebble.DB) { decay(t, db, 2) }, 2, nil, 2, nil},
		{"above, no matter", nil, func(t *testing.T, db *pebble.DB) { decay(t, db, 5) }, 3, []wal.Revision{3}, 0,
			[]string{"3:1:3", "4:1:4", "! 5: checksum d0, stored d0", "6:1:6"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := open(t, quiet(t, memory(t)))
			add(t, l, "1", "2", "3", "4", "5", "6")
			if test.before != nil {
				test.before(l)
			}
			test.damage(t, wal.Store(l)) // behind the back of the open log, so that Open does not see it
			before := salvage(l)
			_, err := l.Compact(t.Context(), wal.Compaction{Floor: test.floor, Keep: test.keep})
			if corruptAt(err) != test.at || err != nil && test.at == 0 {
				t.Errorf("got %v, want damage at %d", err, test.at)
			}
			want := test.left
			if test.at != 0 {
				want = before
			}
			if diff := cmp.Diff(want, salvage(l)); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
			// The next one gets past what an earlier one had to leave.
			if test.at == 0 {
				compact(t, l, 5)
				if diff := cmp.Diff([]string{"6:1:6"}, salvage(l)); diff != "" && test.floor != 3 {
					t.Errorf("after the next one (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A log of which nothing is left above the floor, and the last below it has decayed, can be opened and
// renewed.
func TestNothingGoodAboveTheFloor(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "1", "2", "3", "4", "5", "6")
	compact(t, l, 4, 1, 3)
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		drop(t, db, 5, 6)
		v := get(t, db, string(wal.RecordKey(3)))
		v[3] ^= 1
		set(t, db, string(wal.RecordKey(3)), v)
	})
	l = open(t, quiet(t, mem))
	wantQuarantined(t, l)
	if lost := l.Lost(); lost.Reason != wal.ReasonDamaged || lost.Damage.Revision != 3 || l.Head().Revision != 4 {
		t.Errorf("lost %v, head %d", lost, l.Head().Revision)
	}
	if err := l.Renew(otherID); err != nil {
		t.Fatal(err)
	}
	add(t, l, "5")
	for range 2 {
		if diff := cmp.Diff([]string{"1:1:1", "5:1:5"}, salvage(l)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		closeLog(t, l)
		l = open(t, quiet(t, mem))
		if l.Lost() != nil {
			t.Errorf("renewed, and still lost: %v", l.Lost())
		}
	}
}

// grid is a log's caller: payloads are "key:…", and of each key the newest record is its state.
func grid(records []wal.Record) map[string]wal.Revision {
	state := map[string]wal.Revision{} // :: key → newest revision
	for _, rec := range records {
		key, _, _ := strings.Cut(string(rec.Payload), ":")
		state[key] = rec.Revision
	}
	return state
}

// stay are the newest records at or below floor, ascending.
func stay(state map[string]wal.Revision, floor wal.Revision) []wal.Revision {
	return slices.DeleteFunc(slices.Sorted(maps.Values(state)), func(r wal.Revision) bool { return r > floor })
}

// A power cut at any operation of the file system, while records are appended, forgotten and compacted,
// leaves a log that is whole, holds all that was acknowledged, and comes to the same state as one that was
// never compacted.
func TestCompactCrash(t *testing.T) {
	rounds, every := 12, 1
	if reduced() {
		rounds, every = 6, 5
	}
	mem := makeLog(t, vfs.NewCrashableMem())
	c := newCamera(mem, 11)
	c.switchOn(true)
	l := open(t, crashOptions(t, c))
	var all []wal.Record
	for round := range rounds {
		var payloads []string
		for i := range 40 {
			payloads = append(payloads, fmt.Sprintf("%d:%s", (round*7+i*i)%23, strings.Repeat("p", 20*i)))
		}
		for batch := range slices.Chunk(payloads, 8) {
			c.ack(add(t, l, batch...).Revision)
		}
		recs, err := read(l, l.First(), 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all[:l.First()-1:l.First()-1], recs...)
		floor := l.Head().Revision - 25
		if err := l.Forget(floor); err != nil {
			t.Fatal(err)
		}
		compact(t, l, floor, stay(grid(all), floor)...)
	}
	closeLog(t, l)
	c.switchOn(false)

	checked, floors := 0, map[wal.Revision]int{}
	for i, img := range c.images {
		if i%every != 0 {
			continue
		}
		checked++
		l, err := wal.Open(logDir, crashOptions(t, img.disk))
		if err != nil {
			t.Errorf("before %s: %v", img.op, err)
			continue
		}
		recs, err := read(l, 0, 0)
		head := l.Head().Revision
		if err != nil || l.Lost() != nil || head < img.acked {
			t.Errorf("before %s: %v, lost %v, head %d of %d", img.op, err, l.Lost(), head, img.acked)
		}
		if diff := cmp.Diff(grid(all[:head]), grid(recs)); diff != "" {
			t.Errorf("before %s: state (-want +got):\n%s", img.op, diff)
		}
		for _, rec := range recs {
			if want := all[rec.Revision-1]; rec.Chain != want.Chain || !bytes.Equal(rec.Payload, want.Payload) {
				t.Errorf("before %s: revision %d is another", img.op, rec.Revision)
			}
		}
		if above, err := read(l, l.First(), 0); err != nil || len(above) != int(head-l.First()+1) {
			t.Errorf("before %s: %d records from %d to %d, %v", img.op, len(above), l.First(), head, err)
		}
		floors[l.First()]++
		// It goes on: what was cut off is taken up again.
		compact(t, l, head-1, stay(grid(all[:head]), head-1)...)
		add(t, l, "x:")
		if again, err := read(l, 0, 0); err != nil || len(again) > 23+1 {
			t.Errorf("before %s: compacted again: %d records of 23 keys and another, %v", img.op, len(again), err)
		}
		closeLog(t, l)
	}
	t.Logf("%d images of a crash, %d floors", checked, len(floors))
	if checked < 100 || len(floors) < rounds {
		t.Errorf("too few images or floors: %d and %d", checked, len(floors))
	}
}

// Readers beside a compaction see a state that is whole, and history without gaps or an error.
func TestReadersBesideACompaction(t *testing.T) {
	l := open(t, crashOptions(t, memory(t)))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				first, head := l.First(), l.Head().Revision
				if head == 0 {
					continue
				}
				recs, err := read(l, 0, 0)
				if err != nil {
					t.Errorf("Records(0, 0): %v", err)
					return
				}
				if got := len(grid(recs)); got != 23 {
					t.Errorf("%d keys, want 23", got)
					return
				}
				above, err := read(l, first, head)
				if err != nil && !errors.Is(err, wal.ErrNotFound) || err == nil && len(above) != int(head-first+1) {
					t.Errorf("Records(%d, %d): %d records, %v", first, head, len(above), err)
					return
				}
				for _, rec := range recs {
					if got, err := l.Get(rec.Revision); err == nil && got.Chain != rec.Chain || err != nil && !errors.Is(err, wal.ErrNotFound) {
						t.Errorf("Get(%d): %v", rec.Revision, err)
						return
					}
				}
			}
		})
	}
	var all []string
	for round := range 40 {
		var payloads []string
		for i := range 50 {
			payloads = append(payloads, fmt.Sprintf("%d:", (round+i*i*i)%23))
		}
		for k := range 23 {
			payloads = append(payloads, fmt.Sprintf("%d:", k))
		}
		all = append(all, payloads...)
		head := add(t, l, payloads...).Revision
		state := map[string]wal.Revision{}
		for i, p := range all {
			state[p] = wal.Revision(i + 1)
		}
		floor := head - 10
		compact(t, l, floor, stay(state, floor)...)
	}
	close(done)
	readers.Wait()
}

// A sequence from the first record on is a whole state, though the log moved on between the call and its
// first step.
func TestRecordsBegunLate(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a:1", "b:1", "c:1")
	early := l.Records(0, 0)
	add(t, l, "a:2", "c:2")
	compact(t, l, 3, 2)
	state := map[string]bool{}
	for rec, err := range early {
		if err != nil {
			t.Fatal(err)
		}
		state[string(rec.Payload[:1])] = true
	}
	if len(state) != 3 {
		t.Errorf("of the keys a, b and c there are %v", state)
	}
}

// The room of what was dropped is given back when Compact returns.
func TestCompactGivesRoomBack(t *testing.T) {
	l := open(t, crashOptions(t, memory(t)))
	const n = 20_000
	for from := 0; from < n; from += 1000 {
		var e []wal.Entry
		for i := range 1000 {
			e = append(e, wal.Entry{Kind: 1, Payload: benchPayload(from + i)})
		}
		if _, err := l.Append(day, 0, e); err != nil {
			t.Fatal(err)
		}
	}
	// Files that are not in use any more are removed a moment later: they don't count here.
	size := func() float64 { return float64(wal.Store(l).Metrics().Table.Local.LiveSize) }
	if err := wal.Store(l).Compact(t.Context(), []byte("a"), []byte("z"), false); err != nil {
		t.Fatal(err)
	}
	before := size()
	for _, test := range []struct {
		name  string
		every wal.Revision // of those below n/2, which is kept
		most  float64      // share of the room left
	}{
		{"every second stays", 2, 0.8},
		{"every tenth stays", 10, 0.65},
		{"none stays", n, 0.6},
	} {
		var keep []wal.Revision
		for r := test.every; r <= n/2; r += test.every {
			keep = append(keep, r)
		}
		compact(t, l, n/2, keep...)
		if got := size() / before; got > test.most {
			t.Errorf("%s: %.2f of the room is still taken, want at most %.2f", test.name, got, test.most)
		}
	}
	compact(t, l, n)
	if got := size(); got > 10_000 {
		t.Errorf("one record takes %.0f bytes", got)
	}
}

func BenchmarkCompact(b *testing.B) {
	const n, every = 200_000, 10
	b.Run("200000-of-which-a-tenth-stays", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			l, _ := realLog(b, wal.Options{})
			e := benchEntries(1000)
			for range n / len(e) {
				if _, err := l.Append(day, 0, e); err != nil {
					b.Fatal(err)
				}
			}
			var keep []wal.Revision
			for r := wal.Revision(every); r < n; r += every {
				keep = append(keep, r)
			}
			before := l.Stats().DiskBytes
			b.StartTimer()
			var worst time.Duration
			last := time.Now()
			if _, err := l.Compact(b.Context(), wal.Compaction{Floor: n, Keep: keep, Step: func(wal.Revision, uint64) {
				worst = max(worst, time.Since(last))
				last = time.Now()
			}}); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(worst.Microseconds())/1000, "ms/worst-step")
			b.ReportMetric(float64(l.Stats().DiskBytes)/float64(before), "of-the-room")
			l.Close()
			b.StartTimer()
		}
	})
}

// BenchmarkYear has 1,000 peers announce every 6 hours for a year, a tenth of them only once, and retains
// 30 days. It compares the most room that the log takes on the disk with what a log takes that holds the
// newest 30 days and what is current, and no more.
func BenchmarkYear(b *testing.B) {
	const peers, once, perDay, retain = 1000, 100, 4, 30
	for b.Loop() {
		l, _ := realLog(b, wal.Options{})
		if _, err := l.Append(day, 0, benchEntries(once)); err != nil {
			b.Fatal(err)
		}
		var keep []wal.Revision
		for r := range wal.Revision(once) {
			keep = append(keep, r+1)
		}
		e := benchEntries(peers - once)
		var most, retained uint64
		compactions := 0
		for today := range 365 {
			for range perDay {
				if _, err := l.Append(day, 0, e); err != nil {
					b.Fatal(err)
				}
			}
			if today == retain {
				retained = l.Stats().DiskBytes
			}
			floor := l.Head().Revision - min(l.Head().Revision, wal.Revision(retain*perDay*len(e)))
			if floor > 0 && l.Held(floor)-once > l.Held(0)/4 {
				if _, err := l.Compact(b.Context(), wal.Compaction{Floor: floor, Keep: keep}); err != nil {
					b.Fatal(err)
				}
				compactions++
			}
			most = max(most, l.Stats().DiskBytes)
		}
		b.ReportMetric(float64(most)/float64(retained), "times-the-retained")
		b.ReportMetric(float64(retained)/(1<<20), "MiB-retained")
		b.ReportMetric(float64(compactions), "compactions")
		b.ReportMetric(float64(l.Head().Revision)/float64(l.Held(0)), "times-fewer-records")
		l.Close()
	}
}

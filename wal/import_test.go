package wal_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

// compactedLog makes a log of ten records of which compaction dropped some.
func compactedLog(t *testing.T) *wal.Log {
	t.Helper()
	l := open(t, quiet(t, memory(t)))
	for _, p := range strings.Split("abcdefghij", "") {
		add(t, l, p)
	}
	if err := l.Forget(3); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(context.Background(), wal.Compaction{Floor: 6, Keep: []wal.Revision{2, 5}}); err != nil {
		t.Fatal(err)
	}
	return l
}

func snapshot(t *testing.T, l *wal.Log) *wal.Snapshot {
	t.Helper()
	s, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// raws are a snapshot's records, kept.
func raws(t *testing.T, s *wal.Snapshot) []wal.Raw {
	t.Helper()
	var all []wal.Raw
	for raw, err := range s.Raw() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, wal.Raw{Revision: raw.Revision, Value: bytes.Clone(raw.Value)})
	}
	return all
}

func without(all []wal.Raw, r wal.Revision) []wal.Raw {
	return slices.DeleteFunc(slices.Clone(all), func(raw wal.Raw) bool { return raw.Revision == r })
}

func from(all []wal.Raw) iter.Seq2[wal.Raw, error] {
	return func(yield func(wal.Raw, error) bool) {
		for _, raw := range all {
			if !yield(raw, nil) {
				return
			}
		}
	}
}

func at(h wal.Head) wal.Position { return wal.Position{Revision: h.Revision, Chain: h.Chain} }

func TestImport(t *testing.T) {
	plain := open(t, quiet(t, memory(t)))
	add(t, plain, "a", "b")
	add(t, plain, strings.Repeat("c", wal.MaxPayload), "d")
	empty := open(t, quiet(t, memory(t)))
	for name, l := range map[string]*wal.Log{"plain": plain, "compacted": compactedLog(t), "empty": empty} {
		s := snapshot(t, l)
		fs := memory(t)
		to := open(t, quiet(t, fs))
		if err := to.Import(s.Compacted, at(s.Head), s.Raw()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check := func(when string, got *wal.Log) {
			t.Helper()
			want, err1 := read(l, 0, 0)
			have, err2 := read(got, 0, 0)
			if diff := cmp.Diff(have, want); err1 != nil || err2 != nil || diff != "" {
				t.Errorf("%s, %s: %v, %v, records (-got +want):\n%s", name, when, err1, err2, diff)
			}
			if got.ID() != testID || got.Head() != l.Head() || got.First() != l.First() || got.Forgotten() != l.Forgotten() || got.Lost() != nil {
				t.Errorf("%s, %s: got %v %+v, first %d, forgotten %d, lost %v", name, when, got.ID(), got.Head(), got.First(), got.Forgotten(), got.Lost())
			}
		}
		check("imported", to)
		closeLog(t, to)
		again := open(t, quiet(t, fs))
		check("opened again", again)
		// It goes on like any other.
		if h := add(t, again, "more"); h.Revision != l.Head().Revision+1 {
			t.Errorf("%s: the next record is %d", name, h.Revision)
		}
		// Once.
		if err := again.Import(s.Compacted, at(s.Head), s.Raw()); err == nil {
			t.Errorf("%s: imported into a log that isn't empty", name)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	s := snapshot(t, compactedLog(t))
	all := raws(t, s)
	broken := errors.New("broken")
	spoilt := slices.Clone(all)
	spoilt[3].Value = append(bytes.Clone(spoilt[3].Value[:20]), spoilt[3].Value[21:]...)
	other := at(s.Head)
	other.Chain[0] ^= 1
	more := s.Compacted
	more.Kept++
	for _, c := range []struct {
		name    string
		c       wal.Compacted
		head    wal.Position
		records iter.Seq2[wal.Raw, error]
		want    string
	}{
		{"a hole", s.Compacted, at(s.Head), from(without(all, 8)), "at revision 8: the record is missing"},
		{"no end", s.Compacted, at(s.Head), from(all[:len(all)-1]), "at revision 10: the record is missing"},
		{"too much", s.Compacted, wal.Position{Revision: 9}, from(all), "at revision 10"},
		{"of those kept one is missing", s.Compacted, at(s.Head), from(without(all, 5)), "of 2 records kept at or below revision 6, 1 are there"},
		{"fewer than were kept", more, at(s.Head), from(all), "of 3 records kept"},
		{"another end", s.Compacted, other, from(all), "its chain value is"},
		{"another beginning", wal.Compacted{}, at(s.Head), from(all), "at revision 1: the record is missing"},
		{"a damaged record", s.Compacted, at(s.Head), from(spoilt), "at revision 8: checksum"},
		{"another order", s.Compacted, at(s.Head), from([]wal.Raw{all[0], all[1], all[3], all[2]}), "at revision 7: the record is missing"},
		{"twice", s.Compacted, at(s.Head), from([]wal.Raw{all[0], all[0]}), "it comes after revision 2"},
		{"the source fails", s.Compacted, at(s.Head), func(yield func(wal.Raw, error) bool) { yield(wal.Raw{}, broken) }, "broken"},
	} {
		to := open(t, quiet(t, memory(t)))
		err := to.Import(c.c, c.head, c.records)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
		if to.Head() != (wal.Head{}) {
			t.Errorf("%s: the head is %+v", c.name, to.Head())
		}
	}
}

// A snapshot shows what was there, whatever is appended and compacted, and ends with the log.
func TestSnapshot(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a", "b", "c")
	s := snapshot(t, l)
	want := raws(t, s)
	add(t, l, "d", "e")
	if _, err := l.Compact(t.Context(), wal.Compaction{Floor: 4}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(raws(t, s), want); diff != "" {
		t.Errorf("records (-got +want):\n%s", diff)
	}
	if s.Head.Revision != 3 || s.Floor != (wal.Position{}) || s.ID != testID {
		t.Errorf("got head %d, floor %+v, log %v", s.Head.Revision, s.Floor, s.ID)
	}
	if now := snapshot(t, l); now.Head.Revision != 5 || now.Floor.Revision != 4 || len(raws(t, now)) != 1 {
		t.Errorf("afterwards: %+v", now)
	}

	// Close waits for who holds a snapshot; who walks on hears of it.
	closed := make(chan error, 1)
	var last error
	for _, err := range s.Raw() {
		if last = err; err != nil {
			break
		}
		go func() { closed <- l.Close() }()
		for {
			s, err := l.Snapshot()
			if errors.Is(err, wal.ErrClosed) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
	if !errors.Is(last, wal.ErrClosed) {
		t.Errorf("walking on after Close began: got %v", last)
	}
}

func TestInspect(t *testing.T) {
	fs := memory(t)
	l := open(t, quiet(t, fs))
	add(t, l, "a", "b", "c")
	clock := l.Clock()
	closeLog(t, l)
	inspect := func() *wal.Inspection {
		t.Helper()
		x, err := wal.Inspect(logDir, wal.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wal.Inspect(logDir, wal.Options{FS: fs}); !errors.Is(err, wal.ErrLocked) {
			t.Errorf("while it is looked at: got %v", err)
		}
		return x
	}
	x := inspect()
	if x.Problems != nil || x.ID != testID || x.Said != at(l.Head()) || x.Head.Revision != 3 || x.Witness == nil || x.Witness.Clock != clock {
		t.Errorf("a good log: %+v", x)
	}
	if n := len(raws(t, &x.Snapshot)); n != 3 {
		t.Errorf("got %d records", n)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}

	// Another log's witness, none, and one of a longer log.
	for _, c := range []struct {
		name    string
		witness []byte
		want    string
	}{
		{"none", nil, "the witness is missing"},
		{"of another log", wal.EncodeMark(wal.Mark{LogID: otherID, Counter: 9}), "the witness is of another log"},
		{"of more", wal.EncodeMark(wal.Mark{LogID: testID, Revision: 4, Counter: 9, Time: day.Add(time.Hour)}), "records are missing"},
	} {
		if err := fs.Remove(witnessFile); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(witnessFile, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(c.witness); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		x, err := wal.Inspect(logDir, wal.Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if len(x.Problems) != 1 || !strings.Contains(x.Problems[0].Error(), c.want) {
			t.Errorf("%s: got problems %v, want %q", c.name, x.Problems, c.want)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wal.Inspect("nowhere", wal.Options{FS: fs}); !errors.Is(err, wal.ErrNotLog) {
		t.Errorf("where there is none: got %v", err)
	}
}

package wal_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

// Every kind of damage inside the store, done behind the log's back: what Open says, and what is read.
func TestDamageInTheStore(t *testing.T) {
	const last = 5 // the log before the damage: a b c d e
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, db *pebble.DB)
		open   string // the error of Open; "": it opens
		lost   wal.Reason
		read   []string // what Records yields then
	}{
		{name: "none", damage: func(*testing.T, *pebble.DB) {},
			read: []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d", "5:1:e"}},
		{name: "a record is missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 3) },
			open: "the log is damaged at revision 3: the record is missing, the next is 4"},
		{name: "the first record is missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 1) },
			open: "the log is damaged at revision 1: the record is missing, the next is 2"},
		{name: "the last records are missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 4, 5) },
			lost: wal.ReasonTail, read: []string{"1:1:a", "2:1:b", "3:1:c"}},
		{name: "all records are missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 1, 2, 3, 4, 5) },
			lost: wal.ReasonTail},
		{name: "a record has decayed", damage: func(t *testing.T, db *pebble.DB) {
			v := get(t, db, string(wal.RecordKey(2)))
			v[20] ^= 1
			set(t, db, string(wal.RecordKey(2)), v)
		}, open: "the log is damaged at revision 2: checksum d0, stored d0"},
		{name: "a record is empty", damage: func(t *testing.T, db *pebble.DB) { set(t, db, string(wal.RecordKey(2)), nil) },
			open: "the log is damaged at revision 2: 0 bytes, a record has at least 54"},
		{name: "two records changed places", damage: func(t *testing.T, db *pebble.DB) {
			two, three := get(t, db, string(wal.RecordKey(2))), get(t, db, string(wal.RecordKey(3)))
			set(t, db, string(wal.RecordKey(2)), three)
			set(t, db, string(wal.RecordKey(3)), two)
		}, open: "the log is damaged at revision 2: checksum d0, stored d0"},
		{name: "a good record of another history", damage: func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 3, Time: day, Kind: 1, Payload: []byte("x")}
			set(t, db, string(wal.RecordKey(3)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, open: "the log is damaged at revision 3: it does not follow its predecessor: chain value " +
			"d0, want d0"},
		{name: "a last record of another history", damage: func(t *testing.T, db *pebble.DB) {
			four, err := wal.DecodeRecord(4, get(t, db, string(wal.RecordKey(4))))
			if err != nil {
				t.Fatal(err)
			}
			rec := wal.Record{Revision: 5, Time: day, Kind: 1, Payload: []byte("x")}
			set(t, db, string(wal.RecordKey(5)), wal.EncodeRecord(four.Chain, &rec))
		}, open: "the log is damaged at revision 5: its chain value is d0, the head's d0"},
		{name: "a record behind the head", damage: func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 6, Time: day, Kind: 1}
			set(t, db, string(wal.RecordKey(6)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, open: "the log is damaged at revision 6: it is the last record, while the head is 5 and the history before 1 is compacted"},
		{name: "a strange key", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "r\x00", nil) },
			read: []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d", "5:1:e"}},
		{name: "a strange key among the records", damage: func(t *testing.T, db *pebble.DB) {
			set(t, db, string(wal.RecordKey(2))+"x", nil)
		}, open: "the log is damaged at revision 3: key 72 00 00 00 00 00 00 00 02 78 among the records"},
		{name: "a strange key at the end", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "rz", nil) },
			open: "the log is damaged: key 72 7a among the records"},
		{name: "no head", damage: func(t *testing.T, db *pebble.DB) { dropKey(t, db, "m/head") },
			open: "the log is damaged: m/head is missing"},
		{name: "a decayed head", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "m/head", make([]byte, 44)) },
			open: "the log is damaged: m/head is damaged"},
		{name: "no floor", damage: func(t *testing.T, db *pebble.DB) { dropKey(t, db, "m/floor") },
			open: "the log is damaged: m/floor is missing"},
		{name: "a floor above the records", damage: func(t *testing.T, db *pebble.DB) {
			set(t, db, "m/floor", wal.EncodePosition("m/floor", 6, wal.Chain{}))
		}, open: "the log is damaged at revision 5: it is the last record, while the head is 5 and the history before 7 is compacted"},
		{name: "a decayed id", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "m/id", testID[:]) },
			open: "the log is damaged: m/id is damaged"},
		{name: "a decayed schema", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "m/schema", []byte{0, 0, 0, 1}) },
			open: "the log is damaged: m/schema is 00 00 00 01: the schema number is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := memory(t)
			l := open(t, quiet(t, mem))
			add(t, l, "a", "b", "c", "d", "e")
			closeLog(t, l)
			tamper(t, mem, func(db *pebble.DB) { test.damage(t, db) })

			l, err := wal.Open(logDir, quiet(t, mem))
			if test.open != "" {
				var c *wal.CorruptError
				if !errors.As(err, &c) {
					t.Fatalf("Open: got %v, want a CorruptError", err)
				}
				if got := abridge(c.Error()); got != test.open {
					t.Errorf("Open:\n got %s\nwant %s", got, test.open)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if diff := cmp.Diff(test.read, list(read(l, 0, 0))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if test.lost == 0 {
				if l.Lost() != nil {
					t.Errorf("lost: %v", l.Lost())
				}
				return
			}
			if l.Lost() == nil || l.Lost().Reason != test.lost || l.Lost().Witness.Revision != last || l.Lost().Head != l.Head() {
				t.Fatalf("lost: got %+v, want reason %v", l.Lost(), test.lost)
			}
			wantQuarantined(t, l)
			if err := l.Renew(otherID); err != nil {
				t.Fatal(err)
			}
			add(t, l, "f")
			closeLog(t, l)
			l = open(t, quiet(t, mem))
			again := append(test.read, fmt.Sprintf("%d:1:f", len(test.read)+1))
			if diff := cmp.Diff(again, list(read(l, 0, 0))); diff != "" || l.Lost() != nil {
				t.Errorf("renewed and opened again: lost %v, records (-want +got):\n%s", l.Lost(), diff)
			}
		})
	}
}

// Damage that lies too deep for Open to see is seen when it is read, and hides nothing else.
func TestDamageInTheDepth(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	const n = wal.TailRecords + 20
	var payloads []string
	for i := range n {
		payloads = append(payloads, fmt.Sprint(i+1))
	}
	add(t, l, payloads...)
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		v := get(t, db, string(wal.RecordKey(7)))
		v[0] ^= 1
		set(t, db, string(wal.RecordKey(7)), v)
		drop(t, db, 9)
		ten, err := wal.DecodeRecord(10, get(t, db, string(wal.RecordKey(10))))
		if err != nil {
			t.Fatal(err)
		}
		set(t, db, string(wal.RecordKey(10)), wal.EncodeRecord(wal.Chain{1}, &ten))
	})
	l = open(t, quiet(t, mem))

	for _, test := range []struct {
		from  wal.Revision
		good  int          // records before the error
		wrong wal.Revision // the error's revision
	}{{0, 6, 7}, {6, 1, 7}, {7, 0, 7}, {8, 0, 7}, {9, 0, 9}, {10, 0, 9}, {11, 0, 11}, {12, n - 11, 0}} {
		recs, err := read(l, test.from, 0)
		if got := corruptAt(err); len(recs) != test.good || got != test.wrong {
			t.Errorf("Records(%d, 0): got %d records and %v, want %d and revision %d", test.from, len(recs), err, test.good, test.wrong)
		}
	}
	for r, wrong := range map[wal.Revision]wal.Revision{6: 0, 7: 7, 8: 0, 9: 9, 10: 0, 11: 0} {
		if _, err := l.Get(r); corruptAt(err) != wrong {
			t.Errorf("Get(%d): got %v", r, err)
		}
	}
	if err := l.Check(9, wal.Chain{}); corruptAt(err) != 9 {
		t.Errorf("Check(9): got %v", err)
	}
}

// Records that vanish from under an open log are missed, at the head too.
func TestDamageWhileOpen(t *testing.T) {
	l := open(t, quiet(t, memory(t)))
	add(t, l, "a", "b", "c")
	drop(t, wal.Store(l), 3)
	want := []string{"1:1:a", "2:1:b", "reading records: the log is damaged at revision 3: the record is missing, as is all behind it"}
	if diff := cmp.Diff(want, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := l.Get(3); corruptAt(err) != 3 {
		t.Errorf("Get(3): got %v", err)
	}
}

// A log that was compacted: below the floor there may be holes, above it none.
func TestFloor(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b", "c", "d", "e", "f")
	at, err := l.Get(4)
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		set(t, db, "m/floor", wal.EncodePosition("m/floor", 4, at.Chain))
		drop(t, db, 1, 3, 4)
	})
	l = open(t, quiet(t, mem))
	if l.First() != 5 || l.Lost() != nil {
		t.Errorf("first %d, lost %v", l.First(), l.Lost())
	}
	for _, test := range []struct {
		from, to wal.Revision
		want     []string
	}{
		{0, 0, []string{"2:1:b", "5:1:e", "6:1:f"}},
		{0, 4, []string{"2:1:b"}},
		{3, 4, nil},
		{3, 5, []string{"5:1:e"}},
		{5, 0, []string{"5:1:e", "6:1:f"}},
		{6, 0, []string{"6:1:f"}},
	} {
		if diff := cmp.Diff(test.want, list(read(l, test.from, test.to))); diff != "" {
			t.Errorf("Records(%d, %d) (-want +got):\n%s", test.from, test.to, diff)
		}
	}
	for _, r := range []wal.Revision{1, 3, 4} {
		if _, err := l.Get(r); !errors.Is(err, wal.ErrNotFound) {
			t.Errorf("Get(%d): got %v, want ErrNotFound", r, err)
		}
	}
	for r, want := range map[wal.Revision]error{2: nil, 4: wal.ErrDiffers, 5: wal.ErrDiffers, 7: wal.ErrAhead} {
		if err := l.Check(r, wal.Chain{}); !errors.Is(err, want) {
			t.Errorf("Check(%d): got %v, want %v", r, err, want)
		}
	}
	if err := l.Check(4, at.Chain); err != nil {
		t.Errorf("Check of the floor: %v", err)
	}
	add(t, l, "g")
	closeLog(t, l)

	// The floor's chain value is what the first record above it is linked to.
	tamper(t, mem, func(db *pebble.DB) { set(t, db, "m/floor", wal.EncodePosition("m/floor", 4, wal.Chain{1})) })
	if _, err := wal.Open(logDir, quiet(t, mem)); corruptAt(err) != 5 {
		t.Errorf("Open with a wrong floor: got %v", err)
	}
}

// All records may lie at or below the floor.
func TestFloorAtTheHead(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	h := add(t, l, "a", "b")
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		set(t, db, "m/floor", wal.EncodePosition("m/floor", 2, h.Chain))
		drop(t, db, 1)
	})
	l = open(t, quiet(t, mem))
	if l.Head() != h || l.First() != 3 {
		t.Errorf("head %v, first %d", l.Head(), l.First())
	}
	add(t, l, "c")
	if diff := cmp.Diff([]string{"2:1:b", "3:1:c"}, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func drop(t *testing.T, db *pebble.DB, revisions ...wal.Revision) {
	t.Helper()
	for _, r := range revisions {
		dropKey(t, db, string(wal.RecordKey(r)))
	}
}

func dropKey(t *testing.T, db *pebble.DB, key string) {
	t.Helper()
	if err := db.Delete([]byte(key), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// corruptAt is the revision of a CorruptError; 0: it is none.
func corruptAt(err error) wal.Revision {
	var c *wal.CorruptError
	if errors.As(err, &c) {
		return c.Revision
	}
	return 0
}

func wantQuarantined(t *testing.T, l *wal.Log) {
	t.Helper()
	if _, err := l.Append(day, 0, entries("x")); !errors.Is(err, wal.ErrQuarantined) {
		t.Errorf("Append to a lost log: got %v, want ErrQuarantined", err)
	}
	if !errors.Is(l.Health(), wal.ErrQuarantined) {
		t.Errorf("Health of a lost log: got %v, want ErrQuarantined", l.Health())
	}
}

// hexes finds sums and dumped bytes, which would make a table unreadable.
var hexes = regexp.MustCompile(`[0-9a-f]{64}|\b[0-9a-f]{8}\b|: ([0-9a-f]{2} ){15,}[0-9a-f]{2}`)

func abridge(s string) string {
	return hexes.ReplaceAllStringFunc(s, func(m string) string {
		if m[0] == ':' {
			return ""
		}
		return "d0"
	})
}

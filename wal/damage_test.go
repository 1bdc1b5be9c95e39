package wal_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
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
			lost: wal.ReasonDamaged, read: []string{"1:1:a", "2:1:b", "! 3: the record is missing", "4:1:d", "5:1:e"}},
		{name: "the first record is missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 1) },
			lost: wal.ReasonDamaged, read: []string{"! 1: the record is missing", "2:1:b", "3:1:c", "4:1:d", "5:1:e"}},
		{name: "two records are missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 2, 3) },
			lost: wal.ReasonDamaged, read: []string{"1:1:a", "! 2: the records up to 3 are missing", "4:1:d", "5:1:e"}},
		{name: "records are missing here and at the end", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 2, 5) },
			lost: wal.ReasonDamaged, read: []string{"1:1:a", "! 2: the record is missing", "3:1:c", "4:1:d"}},
		{name: "the last records are missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 4, 5) },
			lost: wal.ReasonTail, read: []string{"1:1:a", "2:1:b", "3:1:c"}},
		{name: "all records are missing", damage: func(t *testing.T, db *pebble.DB) { drop(t, db, 1, 2, 3, 4, 5) },
			lost: wal.ReasonTail},
		{name: "a record has decayed", damage: func(t *testing.T, db *pebble.DB) {
			v := get(t, db, string(wal.RecordKey(2)))
			v[20] ^= 1
			set(t, db, string(wal.RecordKey(2)), v)
		}, lost: wal.ReasonDamaged, read: []string{"1:1:a", "! 2: checksum d0, stored d0", "3:1:c", "4:1:d", "5:1:e"}},
		{name: "the last record has decayed", damage: func(t *testing.T, db *pebble.DB) {
			v := get(t, db, string(wal.RecordKey(5)))
			v[20] ^= 1
			set(t, db, string(wal.RecordKey(5)), v)
		}, lost: wal.ReasonDamaged, read: []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d"}},
		{name: "a record is empty", damage: func(t *testing.T, db *pebble.DB) { set(t, db, string(wal.RecordKey(2)), nil) },
			lost: wal.ReasonDamaged, read: []string{"1:1:a", "! 2: 0 bytes, a record has at least 54", "3:1:c", "4:1:d", "5:1:e"}},
		{name: "two records changed places", damage: func(t *testing.T, db *pebble.DB) {
			two, three := get(t, db, string(wal.RecordKey(2))), get(t, db, string(wal.RecordKey(3)))
			set(t, db, string(wal.RecordKey(2)), three)
			set(t, db, string(wal.RecordKey(3)), two)
		}, lost: wal.ReasonDamaged, read: []string{"1:1:a", "! 2: checksum d0, stored d0", "! 3: checksum d0, stored d0", "4:1:d", "5:1:e"}},
		{name: "a good record of another history", damage: func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 3, Time: day, Kind: 1, Payload: []byte("x")}
			set(t, db, string(wal.RecordKey(3)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, lost: wal.ReasonDamaged, read: []string{"1:1:a", "2:1:b",
			"! 3: it does not follow its predecessor: chain value d0, want d0", "3:1:x",
			"! 4: it does not follow its predecessor: chain value d0, want d0", "4:1:d", "5:1:e"}},
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
		}, lost: wal.ReasonDamaged, read: []string{"1:1:a", "2:1:b", "! 3: key 72 00 00 00 00 00 00 00 02 78 among the records", "4:1:d", "5:1:e"}},
		{name: "a strange key at the end", damage: func(t *testing.T, db *pebble.DB) { set(t, db, "rz", nil) },
			lost: wal.ReasonDamaged, read: []string{"1:1:a", "2:1:b", "3:1:c", "4:1:d", "5:1:e"}},
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
			if diff := cmp.Diff(test.read, salvage(l)); diff != "" {
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
			if (l.Lost().Damage != nil) != (test.lost == wal.ReasonDamaged) {
				t.Errorf("lost for reason %v with damage %v", test.lost, l.Lost().Damage)
			}
			if err := l.Renew(otherID); err != nil {
				t.Fatal(err)
			}
			h := add(t, l, "f")
			closeLog(t, l)
			l = open(t, quiet(t, mem))
			again := slices.DeleteFunc(test.read, func(line string) bool { return line[0] == '!' })
			again = append(again, fmt.Sprintf("%d:1:f", h.Revision))
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
	want := []string{"1:1:a", "2:1:b", "reading records: the log is damaged at revision 3: the record is missing"}
	if diff := cmp.Diff(want, list(read(l, 0, 0))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := l.Get(3); corruptAt(err) != 3 {
		t.Errorf("Get(3): got %v", err)
	}
}

// A log that was compacted: below the floor there are holes, above it none.
func TestFloor(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	add(t, l, "a", "b", "c", "d", "e", "f")
	at, err := l.Get(4)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Compact(t.Context(), wal.Compaction{Floor: 4, Keep: []wal.Revision{2}}); n != 3 || err != nil {
		t.Fatalf("Compact: %d, %v; want 3 dropped", n, err)
	}
	for _, how := range []string{"at once", "opened again"} {
		if how != "at once" {
			closeLog(t, l)
			l = open(t, quiet(t, mem))
		}
		if l.First() != 5 || l.Lost() != nil {
			t.Errorf("%s: first %d, lost %v", how, l.First(), l.Lost())
		}
		const gone = "reading records: record %d: no such record: history is complete from 5 on"
		for _, test := range []struct {
			from, to wal.Revision
			want     []string
		}{
			{0, 0, []string{"2:1:b", "5:1:e", "6:1:f"}},
			{0, 4, []string{"2:1:b"}},
			{0, 1, nil},
			{1, 0, []string{fmt.Sprintf(gone, 1)}},
			{2, 2, []string{fmt.Sprintf(gone, 2)}},
			{4, 0, []string{fmt.Sprintf(gone, 4)}},
			{5, 0, []string{"5:1:e", "6:1:f"}},
			{6, 0, []string{"6:1:f"}},
		} {
			got, err := read(l, test.from, test.to)
			if diff := cmp.Diff(test.want, list(got, err)); diff != "" || err != nil && !errors.Is(err, wal.ErrNotFound) {
				t.Errorf("%s: Records(%d, %d): %v (-want +got):\n%s", how, test.from, test.to, err, diff)
			}
		}
		for _, r := range []wal.Revision{1, 3, 4} {
			if _, err := l.Get(r); !errors.Is(err, wal.ErrNotFound) {
				t.Errorf("%s: Get(%d): got %v, want ErrNotFound", how, r, err)
			}
		}
		for r, want := range map[wal.Revision]error{2: nil, 4: wal.ErrDiffers, 5: wal.ErrDiffers, 7: wal.ErrAhead} {
			if err := l.Check(r, wal.Chain{}); !errors.Is(err, want) {
				t.Errorf("%s: Check(%d): got %v, want %v", how, r, err, want)
			}
		}
		if err := l.Check(4, at.Chain); err != nil {
			t.Errorf("%s: Check of the floor: %v", how, err)
		}
	}
}

// What is damaged of a log that was compacted: what Open says, what is read, and what Renew leaves.
func TestDamageAtTheFloor(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, db *pebble.DB)
		lost   wal.Reason // what Open says
		read   []string
	}{
		{"a kept record is missing", func(t *testing.T, db *pebble.DB) { drop(t, db, 2) }, 0,
			[]string{"3:1:c", "! 0: of the 2 records that were kept at or below revision 4, 1 are there", "5:1:e", "6:1:f", "7:1:g"}},
		{"a kept record is another", func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 2, Time: day, Kind: 1, Payload: []byte("x")}
			set(t, db, string(wal.RecordKey(2)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, 0, []string{"2:1:x", "3:1:c", "! 0: of the 2 records that were kept at or below revision 4, 2 are there", "5:1:e", "6:1:f", "7:1:g"}},
		{"a kept record has decayed", func(t *testing.T, db *pebble.DB) { set(t, db, string(wal.RecordKey(3)), []byte{1}) }, 0,
			[]string{"2:1:b", "! 3: 1 bytes, a record has at least 54",
				"! 0: of the 2 records that were kept at or below revision 4, 1 are there", "5:1:e", "6:1:f", "7:1:g"}},
		{"a dropped record is back", func(t *testing.T, db *pebble.DB) {
			rec := wal.Record{Revision: 1, Time: day, Kind: 1, Payload: []byte("a")}
			set(t, db, string(wal.RecordKey(1)), wal.EncodeRecord(wal.Chain{}, &rec))
		}, 0, []string{"1:1:a", "2:1:b", "3:1:c",
			"! 0: of the 2 records that were kept at or below revision 4, 3 are there", "5:1:e", "6:1:f", "7:1:g"}},
		{"the first above the floor is missing", func(t *testing.T, db *pebble.DB) { drop(t, db, 5) }, wal.ReasonDamaged,
			[]string{"2:1:b", "3:1:c", "! 5: the record is missing", "6:1:f", "7:1:g"}},
		{"another floor", func(t *testing.T, db *pebble.DB) {
			set(t, db, "m/floor", wal.EncodePosition("m/floor", 4, wal.Chain{1}))
		}, wal.ReasonDamaged,
			[]string{"2:1:b", "3:1:c", "! 5: it does not follow its predecessor: chain value d0, want d0", "5:1:e", "6:1:f", "7:1:g"}},
		{"all above the floor is missing", func(t *testing.T, db *pebble.DB) { drop(t, db, 5, 6, 7) }, wal.ReasonTail,
			[]string{"2:1:b", "3:1:c"}},
		{"all that there was is missing", func(t *testing.T, db *pebble.DB) { drop(t, db, 2, 3, 5, 6, 7) }, wal.ReasonTail,
			[]string{"! 0: of the 2 records that were kept at or below revision 4, 0 are there"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := memory(t)
			l := open(t, quiet(t, mem))
			add(t, l, "a", "b", "c", "d", "e", "f", "g")
			if _, err := l.Compact(t.Context(), wal.Compaction{Floor: 4, Keep: []wal.Revision{2, 3}}); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			tamper(t, mem, func(db *pebble.DB) { test.damage(t, db) })
			l = open(t, quiet(t, mem))
			if got := l.Lost(); got == nil && test.lost != 0 || got != nil && got.Reason != test.lost {
				t.Fatalf("lost %v, want reason %v", got, test.lost)
			}
			if diff := cmp.Diff(test.read, salvage(l)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if l.Lost() == nil { // it lies too deep for Open; who reads it says so
				l.QuarantineDamage(&wal.CorruptError{Err: errors.New("seen")})
			}
			wantQuarantined(t, l)
			if _, err := l.Compact(t.Context(), wal.Compaction{Floor: 6}); !errors.Is(err, wal.ErrQuarantined) {
				t.Errorf("Compact of a lost log: got %v, want ErrQuarantined", err)
			}
			if err := l.Renew(otherID); err != nil {
				t.Fatal(err)
			}
			add(t, l, "h")
			closeLog(t, l)
			l = open(t, quiet(t, mem))
			if got := l.Lost(); test.name != "all that there was is missing" && got != nil {
				t.Fatalf("renewed and opened again: lost %v", got)
			}
			good := slices.DeleteFunc(test.read, func(line string) bool { return line[0] == '!' })
			good = append(good, fmt.Sprintf("%d:1:h", l.Head().Revision))
			if diff := cmp.Diff(good, salvage(l)); diff != "" && test.lost != wal.ReasonTail {
				t.Errorf("renewed and opened again (-want +got):\n%s", diff)
			}
		})
	}
}

// Where the store's own blocks are bad, what lies beside them is read.
func TestDamagedBlocks(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	var payloads []string
	for i := range 2000 {
		payloads = append(payloads, fmt.Sprintf("%d:%s", i+1, benchPayload(i)))
	}
	h := add(t, l, payloads...)
	closeLog(t, l)
	tamper(t, mem, func(db *pebble.DB) {
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	})
	content := files(t, mem, "data")
	bad := 0
	for path, b := range content {
		if strings.HasSuffix(path, ".sst") && len(b) > 100_000 {
			b[len(b)/2] ^= 1
			bad++
		}
	}
	if bad != 1 {
		t.Fatalf("%d tables of that size, want 1", bad)
	}
	mem = restore(t, content)
	l = open(t, quiet(t, mem))
	if l.Lost() == nil || l.Lost().Reason != wal.ReasonDamaged || l.Head() != h {
		t.Fatalf("lost %v, head %v", l.Lost(), l.Head())
	}
	var good, damage int
	for rec, err := range l.Records(0, 0) {
		switch {
		case corruptAt(err) > 0:
			damage++
		case err != nil:
			t.Fatal(err)
		case !strings.HasPrefix(string(rec.Payload), fmt.Sprintf("%d:", rec.Revision)):
			t.Errorf("revision %d has another's payload", rec.Revision)
		default:
			good++
		}
	}
	if good < 1800 || good == 2000 || damage != 1 {
		t.Errorf("%d of 2,000 records are read, %d damages named", good, damage)
	}
}

// salvage lists all that can be read, and between it what cannot.
func salvage(l *wal.Log) []string {
	var s []string
	for rec, err := range l.Records(0, 0) {
		var c *wal.CorruptError
		switch {
		case err == nil:
			s = append(s, fmt.Sprintf("%d:%d:%s", rec.Revision, rec.Kind, rec.Payload))
		case errors.As(err, &c):
			s = append(s, fmt.Sprintf("! %d: %s", c.Revision, abridge(c.Err.Error())))
		default:
			s = append(s, err.Error())
		}
	}
	return s
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

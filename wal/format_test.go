package wal_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/wal"
)

// The bytes below were composed and summed by another program from the package comment.

// The chain values of the records "hello" (kind 1) and "" (kind 7).
const (
	chain1 = "9ff5366c5171f77da0f2b7e71a004103e698faf3d3f6d7142f52fca7da3a6822"
	chain2 = "051f168e26d97f29f2d8dcdfb585b074960121da6e3309eefb00b8c305bbec85"
)

// values are the stored values of those two records.
var values = []string{
	"01" + "01" + "18e9bf0f8d4e8007" + "0000000df8475800" + "68656c6c6f" + chain1 + "64523e5c",
	"01" + "07" + "18e9bf0f8d4e8008" + "0000000df8475801" + "" + chain2 + "d2ed2f9a",
}

func goldenRecords() []wal.Record {
	return []wal.Record{
		{Revision: 1, Time: day, Clock: time.Minute, Kind: 1, Payload: []byte("hello")},
		{Revision: 2, Time: day.Add(1), Clock: time.Minute + 1, Kind: 7, Payload: []byte{}},
	}
}

func TestRecordBytes(t *testing.T) {
	var prev wal.Chain
	for i, rec := range goldenRecords() {
		value := wal.EncodeRecord(prev, &rec)
		if diff := cmp.Diff(values[i], hex.EncodeToString(value)); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", rec.Revision, diff)
		}
		got, err := wal.DecodeRecord(rec.Revision, value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rec, got); diff != "" {
			t.Errorf("record %d read back (-want +got):\n%s", rec.Revision, diff)
		}
		prev = rec.Chain
	}
}

// Every single damaged bit of a record is noticed, and so is a record at another revision.
func TestRecordDamage(t *testing.T) {
	value := unhex(t, values[0])
	for bit := range len(value) * 8 {
		damaged := bytes.Clone(value)
		damaged[bit/8] ^= 1 << (bit % 8)
		wantCorrupt(t, damaged, 1)
	}
	for n := range value {
		wantCorrupt(t, value[:n], 1)
	}
	wantCorrupt(t, append(bytes.Clone(value), 0), 1)
	wantCorrupt(t, value, 2)
}

func wantCorrupt(t *testing.T, value []byte, r wal.Revision) {
	t.Helper()
	_, err := wal.DecodeRecord(r, value)
	var c *wal.CorruptError
	if !errors.As(err, &c) || c.Revision != r {
		t.Errorf("%x at %d: got %v, want a CorruptError of that revision", value, r, err)
	}
}

// The whole store of a small log, key by key.
func TestStoreBytes(t *testing.T) {
	mem := memory(t)
	l := open(t, quiet(t, mem))
	for _, r := range goldenRecords() {
		if _, err := l.Append(r.Time, r.Clock, []wal.Entry{{Kind: r.Kind, Payload: r.Payload}}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	want := []string{
		hex.EncodeToString([]byte("m/floor")) + " = " + strings.Repeat("00", 40) + "016480e6",
		hex.EncodeToString([]byte("m/head")) + " = " + "0000000000000002" + chain2 + "60086b27",
		hex.EncodeToString([]byte("m/id")) + " = " + "a00102030405060708090a0b0c0d0e0f" + "3d0dabde",
		hex.EncodeToString([]byte("m/schema")) + " = " + "00000001" + "a1ebd951",
		"72" + "0000000000000001" + " = " + values[0],
		"72" + "0000000000000002" + " = " + values[1],
	}
	var got []string
	tamper(t, mem, func(db *pebble.DB) {
		it, err := db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			got = append(got, hex.EncodeToString(it.Key())+" = "+hex.EncodeToString(it.Value()))
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// goldenMark is the mark of a log of the two records.
const goldenMark = "696e74726f776974" + "00000001" + "0000000000000009" + "a00102030405060708090a0b0c0d0e0f" +
	"0000000000000002" + chain2 + "000000174876e800" + "18e9bf0f8d4e8008" + "c1967028"

func TestMarkBytes(t *testing.T) {
	mark := wal.Mark{
		LogID: testID, Revision: 2, Chain: wal.Chain(unhex(t, chain2)),
		Clock: 100 * time.Second, Time: day.Add(1), Counter: 9,
	}
	slot := wal.EncodeMark(mark)
	if len(slot) != 4096 || len(bytes.TrimRight(slot[96:], "\x00")) != 0 {
		t.Errorf("a slot of %d bytes, behind the mark % x", len(slot), slot[96:])
	}
	if diff := cmp.Diff(goldenMark, hex.EncodeToString(slot[:96])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err := wal.DecodeMark(slot)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mark, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for bit := range 96 * 8 {
		damaged := bytes.Clone(slot)
		damaged[bit/8] ^= 1 << (bit % 8)
		if m, err := wal.DecodeMark(damaged); err == nil {
			t.Errorf("bit %d flipped: read as %+v", bit, m)
		}
	}
	for n := range 96 {
		if m, err := wal.DecodeMark(slot[:n]); err == nil {
			t.Errorf("%d bytes: read as %+v", n, m)
		}
	}
}

// The file that a log keeps: the mark of the newest head in one slot, an older one in the other.
func TestWitnessBytes(t *testing.T) {
	mem := memory(t)
	opts := quiet(t, mem)
	opts.StrictWitness = true
	l := open(t, opts)
	for _, r := range goldenRecords() {
		if _, err := l.Append(r.Time, r.Clock, []wal.Entry{{Kind: r.Kind, Payload: r.Payload}}); err != nil {
			t.Fatal(err)
		}
	}
	file := readFile(t, mem, witnessFile)
	if len(file) != 8192 {
		t.Fatalf("%d bytes, want 8192", len(file))
	}
	got := map[wal.Revision]string{}
	for _, slot := range [][]byte{file[:4096], file[4096:]} {
		m, err := wal.DecodeMark(slot)
		if err != nil {
			t.Fatal(err)
		}
		if m.LogID != testID {
			t.Errorf("log id %v", m.LogID)
		}
		got[m.Revision] = m.Chain.String()
	}
	if diff := cmp.Diff(map[wal.Revision]string{1: chain1, 2: chain2}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for i, v := range values {
		f.Add(uint64(i+1), unhex(f, v))
	}
	f.Add(uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, revision uint64, value []byte) {
		if len(value)%2 == 0 && len(value) > 4 {
			// Half of the time with the right sum, which chance never finds.
			sum := crc32.Checksum(append(binary.BigEndian.AppendUint64(nil, revision), value[:len(value)-4]...), castagnoli)
			binary.BigEndian.PutUint32(value[len(value)-4:], sum)
		}
		rec, err := wal.DecodeRecord(wal.Revision(revision), value)
		if err != nil {
			var c *wal.CorruptError
			if !errors.As(err, &c) || c.Revision != wal.Revision(revision) {
				t.Errorf("got %v, want a CorruptError of revision %d", err, revision)
			}
			return
		}
		// What is read as a record is the only way to write it, but for the chain value, which depends
		// on the predecessor and covers neither.
		chain := rec.Chain
		again := wal.EncodeRecord(wal.Chain{}, &rec)
		if !bytes.Equal(again[:len(again)-36], value[:len(value)-36]) || !bytes.Equal(chain[:], value[len(value)-36:len(value)-4]) {
			t.Errorf("read %x as %+v", value, rec)
		}
	})
}

func FuzzDecodeMark(f *testing.F) {
	f.Add(unhex(f, goldenMark))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, slot []byte) {
		if len(slot)%2 == 0 && len(slot) >= 96 {
			binary.BigEndian.PutUint32(slot[92:], crc32.Checksum(slot[:92], castagnoli))
		}
		m, err := wal.DecodeMark(slot)
		if err != nil {
			return
		}
		if !bytes.Equal(wal.EncodeMark(m)[:96], slot[:96]) {
			t.Errorf("read %x as %+v", slot, m)
		}
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/wal"
)

var update = flag.Bool("update", false, "write the golden files anew; read the diff")

var (
	logID = wal.LogID{0: 0xa1, 15: 0x1a}
	began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	taken = began.Add(24 * time.Hour)
)

// newLog makes a log in memory of n records of size bytes, two at a time.
func newLog(t testing.TB, n, size int) *wal.Log {
	t.Helper()
	opts := wal.Options{FS: vfs.NewMem(), CacheBytes: 1 << 20}
	if err := wal.Create("log", logID, opts); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open("log", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	var group []wal.Entry
	for i := range n {
		payload := make([]byte, size)
		copy(payload, fmt.Sprintf("record %d", i+1))
		group = append(group, wal.Entry{Kind: wal.Kind(1 + i%2), Payload: payload})
		if len(group) < 2 && i < n-1 {
			continue
		}
		since := time.Duration(i) * time.Minute
		if _, err := log.Append(began.Add(since), since+time.Second, group); err != nil {
			t.Fatal(err)
		}
		group = group[:0]
	}
	return log
}

func write(t testing.TB, log *wal.Log, w io.Writer) backup.Summary {
	t.Helper()
	s, err := log.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sum, err := backup.Write(t.Context(), w, s, taken)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// read reads a backup to its end.
func read(from io.Reader) ([]wal.Record, backup.Summary, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return nil, backup.Summary{}, err
	}
	var all []wal.Record
	for rec, err := range r.Records() {
		if err != nil {
			return all, backup.Summary{}, err
		}
		rec.Read.Payload = bytes.Clone(rec.Read.Payload)
		all = append(all, rec.Read)
	}
	s, whole := r.Summary()
	if !whole {
		return all, s, errors.New("no error, and not whole")
	}
	return all, s, nil
}

func records(t testing.TB, log *wal.Log) []wal.Record {
	t.Helper()
	var all []wal.Record
	for rec, err := range log.Records(0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = bytes.Clone(rec.Payload)
		all = append(all, rec)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 300} {
		log := newLog(t, n, 500)
		log.Beat(time.Hour * 1000)
		var file bytes.Buffer
		sum := write(t, log, &file)
		// However the bytes come.
		got, read, err := read(iotest.OneByteReader(bytes.NewReader(file.Bytes())))
		if err != nil {
			t.Fatalf("%d records: %v", n, err)
		}
		if diff := cmp.Diff(got, records(t, log)); diff != "" {
			t.Errorf("%d records (-got +want):\n%s", n, diff)
		}
		if diff := cmp.Diff(read, sum); diff != "" {
			t.Errorf("%d records: summary read (-got +want written):\n%s", n, diff)
		}
		want := backup.Header{
			LogID: logID, Head: wal.Position{Revision: log.Head().Revision, Chain: log.Head().Chain},
			HeadTime: log.Head().Time, Clock: time.Hour * 1000, Taken: taken,
		}
		if diff := cmp.Diff(read.Header, want); diff != "" {
			t.Errorf("%d records: header (-got +want):\n%s", n, diff)
		}
		if read.Bytes != int64(file.Len()) || read.Records != uint64(n) {
			t.Errorf("got %d bytes and %d records, want %d and %d", read.Bytes, read.Records, file.Len(), n)
		}
	}
}

// Of a compacted log all that is left is there, and what compaction left is checked too.
func TestCompactedLog(t *testing.T) {
	log := newLog(t, 20, 50)
	if err := log.Forget(4); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Compact(t.Context(), wal.Compaction{Floor: 12, Keep: []wal.Revision{3, 9}}); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	write(t, log, &file)
	got, sum, err := read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, records(t, log)); diff != "" {
		t.Errorf("records (-got +want):\n%s", diff)
	}
	if c := sum.Compacted; c.Floor.Revision != 12 || c.Forgotten != 4 || c.Kept != 2 || len(got) != 10 {
		t.Errorf("got %+v and %d records", c, len(got))
	}
	// Without its second frame, and counted so.
	const head, frame = 184, 12 + 18 + 50 + 36
	b := append(bytes.Clone(file.Bytes()[:head+frame]), file.Bytes()[head+2*frame:file.Len()-40]...)
	b = binary.BigEndian.AppendUint64(b, 9)
	whole := sha256.Sum256(b)
	if _, _, err := read(bytes.NewReader(append(b, whole[:]...))); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a record that was kept is missing: got %v", err)
	}
}

// What is written today is what was written by the first release, and what that wrote can be read.
func TestFormat(t *testing.T) {
	const golden = "testdata/version1.backup"
	var file bytes.Buffer
	write(t, newLog(t, 3, 20), &file)
	if *update {
		if err := os.WriteFile(golden, file.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(file.Bytes(), want); diff != "" {
		t.Errorf("bytes (-got +want):\n%s", diff)
	}
	recs, sum, err := read(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != 3 || !bytes.HasSuffix(want, sum.Sum[:]) {
		t.Errorf("got %d records and sum %x", len(recs), sum.Sum)
	}
}

// Every change of every bit, every cut, and anything behind the end is an error, of a kind that is in the
// contract, and no record that is given out is other than it was.
func TestDamage(t *testing.T) {
	var file bytes.Buffer
	log := newLog(t, 4, 30)
	write(t, log, &file)
	good := records(t, log)
	check := func(what string, damaged []byte) {
		t.Helper()
		got, _, err := read(bytes.NewReader(damaged))
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrNotBackup) && !errors.Is(err, backup.ErrNewer) {
			t.Errorf("%s: got error %v", what, err)
		}
		if len(got) > len(good) || !cmp.Equal(got, good[:len(got)]) && len(got) > 0 {
			t.Errorf("%s: got other records than were written", what)
		}
	}
	whole := file.Bytes()
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), b)
		}
	}
	for n := range whole {
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n])
	}
	check("a byte more", append(bytes.Clone(whole), 0))
	check("twice", append(bytes.Clone(whole), whole...))
	check("something else", []byte(strings.Repeat("not a backup at all. ", 20)))

	// Frames that are each good, in another order, or one of them gone.
	const head, frame = 184, 12 + 18 + 30 + 36
	frames := func(places ...int) []byte {
		b := bytes.Clone(whole[:head])
		for _, i := range places {
			b = append(b, whole[head+i*frame:head+(i+1)*frame]...)
		}
		b = binary.BigEndian.AppendUint32(b, 0)
		return append(binary.BigEndian.AppendUint64(b, uint64(len(places))), whole[len(whole)-32:]...)
	}
	if !bytes.Equal(frames(0, 1, 2, 3), whole) {
		t.Fatal("the test knows another format")
	}
	for _, places := range [][]int{{}, {0, 1, 2}, {1, 2, 3}, {0, 2, 3}, {0, 2, 1, 3}, {0, 0, 1, 2, 3}} {
		check(fmt.Sprintf("frames %v", places), frames(places...))
	}
}

func TestWriteStops(t *testing.T) {
	s, err := newLog(t, 500, 1000).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	broken := errors.New("broken")
	for after := range 12 {
		w := &failing{after: after, err: broken}
		if _, err := backup.Write(t.Context(), w, s, taken); !errors.Is(err, broken) {
			t.Errorf("writing fails after %d writes: got error %v", after, err)
		}
		if _, _, err := read(bytes.NewReader(w.got.Bytes())); err == nil {
			t.Errorf("what was written until write %d failed passes for a backup", after)
		}
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := backup.Write(ctx, io.Discard, s, taken); !errors.Is(err, stopped) {
		t.Errorf("got error %v, want the context's", err)
	}
}

// failing takes some writes and then none.
type failing struct {
	after int
	err   error
	got   bytes.Buffer
}

func (w *failing) Write(b []byte) (int, error) {
	if w.after == 0 {
		return 0, w.err
	}
	w.after--
	return w.got.Write(b)
}

// Writing and reading keep a few buffers, and no record: in the midst of a backup as much memory is in use as
// before it.
func TestMemoryIsFlat(t *testing.T) {
	const records, size = 20_000, 600
	log := newLog(t, records, size)
	before := inUse()
	from, to := io.Pipe()
	defer from.Close()
	go func() {
		s, err := log.Snapshot()
		if err == nil {
			_, err = backup.Write(t.Context(), to, s, taken)
			err = errors.Join(err, s.Close())
		}
		to.CloseWithError(err)
	}()
	r, err := backup.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%(records/4) != 0 {
			continue
		}
		if more := inUse() - before; more > records*size/4 {
			t.Errorf("after %d records of %d bytes %d bytes more are in use", n, size, more)
		}
	}
}

// inUse is what the program keeps in memory, in bytes.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func FuzzReader(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		var file bytes.Buffer
		write(f, newLog(f, n, 20), &file)
		f.Add(file.Bytes())
		f.Add(file.Bytes()[:file.Len()-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, sum, err := read(bytes.NewReader(b))
		if err != nil {
			return
		}
		if sum.Bytes != int64(len(b)) || sum.Records != uint64(len(recs)) {
			t.Errorf("%d bytes and %d records; it says %d and %d", len(b), len(recs), sum.Bytes, sum.Records)
		}
		var last wal.Revision
		for _, rec := range recs {
			if rec.Revision <= last || rec.Revision > sum.Head.Revision {
				t.Errorf("revision %d after %d, the head is %d", rec.Revision, last, sum.Head.Revision)
			}
			last = rec.Revision
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	log := newLog(b, 50_000, 600)
	for b.Loop() {
		b.SetBytes(write(b, log, io.Discard).Bytes)
	}
}

func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	write(b, newLog(b, 50_000, 600), &file)
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		r, err := backup.NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range r.Records() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

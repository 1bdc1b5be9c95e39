package wal_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/introducer/introducer/wal"
)

// benchPayload has the size of a signed announcement; it compresses about as badly.
func benchPayload(i int) []byte {
	b := bytes.Repeat([]byte(`{"service-name":"storage","seqnum":`), 9)
	for j := 0; len(b) < 500; j++ {
		b = append(b, byte(i*31+j*j*7+j>>3))
	}
	return b
}

func benchEntries(n int) []wal.Entry {
	e := make([]wal.Entry, n)
	for i := range e {
		e[i] = wal.Entry{Kind: 1, Payload: benchPayload(i)}
	}
	return e
}

func realLog(b *testing.B, opts wal.Options) (*wal.Log, string) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "log")
	if err := wal.Create(dir, testID, opts); err != nil {
		b.Fatal(err)
	}
	l, err := wal.Open(dir, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l, dir
}

// BenchmarkAppend compares an Append with a bare synced batch of the same records on the same disk.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		e := benchEntries(n)
		b.Run(fmt.Sprintf("bare-Pebble/%d", n), func(b *testing.B) {
			db, err := pebble.Open(filepath.Join(b.TempDir(), "db"), &pebble.Options{
				FormatMajorVersion: pebble.FormatNewest, Logger: quietLogger{log.New(io.Discard, "", 0)},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			r := wal.Revision(0)
			for b.Loop() {
				batch := db.NewBatch()
				for _, e := range e {
					r++
					if err := batch.Set(wal.RecordKey(r), e.Payload, nil); err != nil {
						b.Fatal(err)
					}
				}
				if err := batch.Commit(pebble.Sync); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(r)/b.Elapsed().Seconds(), "records/s")
		})
		for name, opts := range map[string]wal.Options{"log": {}, "log-strict": {StrictWitness: true}} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				l, _ := realLog(b, opts)
				for b.Loop() {
					if _, err := l.Append(day, 0, e); err != nil {
						b.Fatal(err)
					}
				}
				s := l.Stats()
				b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(float64(s.Syncs)/float64(s.Appends), "syncs/op")
				b.ReportMetric(float64(s.Marks)/float64(s.Appends), "marks/op")
			})
		}
	}
}

type quietLogger struct{ *log.Logger }

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}

// BenchmarkRestart opens a log of 100,000 records of 500 bytes and replays it.
func BenchmarkRestart(b *testing.B) {
	const records, batch = 100_000, 64
	l, dir := realLog(b, wal.Options{})
	e := benchEntries(batch)
	for l.Head().Revision < records {
		if _, err := l.Append(day, 0, e); err != nil {
			b.Fatal(err)
		}
	}
	n := l.Head().Revision
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			l, err := wal.Open(dir, wal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			l.Close()
			b.StartTimer()
		}
	})
	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.Run("replay", func(b *testing.B) {
		start := heap()
		for b.Loop() {
			for _, err := range l.Records(0, 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(uint64(b.N)*uint64(n))/b.Elapsed().Seconds(), "records/s")
		b.ReportMetric((heap()-start)/(1<<20), "MiB-heap-grown")
	})
	b.Run("get", func(b *testing.B) {
		r := wal.Revision(0)
		for b.Loop() {
			r = (r+7919)%n + 1
			if _, err := l.Get(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

package wal_test

import (
	"flag"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/introducer/introducer/wal"
)

// Whatever is done to a log, in whatever order, it is the list of records that were appended.
func TestModel(t *testing.T) {
	if reduced() {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		mem := makeLog(t, vfs.NewCrashableMem())
		opts := func() wal.Options {
			o := crashOptions(t, mem)
			o.StrictWitness = rapid.Bool().Draw(rt, "strict")
			return o
		}
		l := open(t, opts())
		var model []wal.Record
		id, clock := testID, time.Duration(0)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				now := day.Add(time.Duration(rapid.IntRange(-1000, 1000).Draw(rt, "now")))
				at := time.Duration(rapid.IntRange(-10, 1000).Draw(rt, "clock"))
				var e []wal.Entry
				for range rapid.IntRange(0, 5).Draw(rt, "entries") {
					e = append(e, wal.Entry{
						Kind:    wal.Kind(rapid.IntRange(1, 255).Draw(rt, "kind")),
						Payload: make([]byte, rapid.IntRange(0, 3000).Draw(rt, "size")),
					})
				}
				h, err := l.Append(now, at, e)
				if err != nil {
					rt.Fatal(err)
				}
				if len(e) > 0 {
					clock = max(clock, at)
				}
				for _, e := range e {
					rec := wal.Record{Revision: wal.Revision(len(model) + 1), Time: now, Clock: clock, Kind: e.Kind, Payload: e.Payload}
					var prev wal.Chain
					if n := len(model); n > 0 {
						prev = model[n-1].Chain
						if now.Before(model[n-1].Time) {
							rec.Time = model[n-1].Time
						}
					}
					wal.EncodeRecord(prev, &rec)
					model = append(model, rec)
				}
				if h != l.Head() {
					rt.Errorf("Append says %v, Head %v", h, l.Head())
				}
			},
			"beat": func(rt *rapid.T) {
				at := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "clock"))
				l.Beat(at)
				clock = max(clock, at)
			},
			"reopen": func(rt *rapid.T) {
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				l = open(t, opts())
			},
			"crash": func(rt *rapid.T) {
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
				percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "percent")
				image := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				mem = image
				l = open(t, opts())
				// Beats since the last synced mark may be lost, records not.
				if l.Clock() > clock || len(model) > 0 && l.Clock() < model[len(model)-1].Clock {
					rt.Errorf("clock after a crash: %v, was %v", l.Clock(), clock)
				}
				clock = l.Clock()
			},
			"renew": func(rt *rapid.T) {
				id[15]++
				if err := l.Renew(id); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				recs, err := read(l, 0, 0)
				if err != nil {
					rt.Fatal(err)
				}
				if !reflect.DeepEqual(model, recs) { // hundreds of times faster than cmp, which then explains
					rt.Errorf("records (-want +got):\n%s", cmp.Diff(model, recs))
				}
				var want wal.Head
				if n := len(model); n > 0 {
					want = wal.Head{Revision: wal.Revision(n), Chain: model[n-1].Chain, Time: model[n-1].Time, Clock: model[n-1].Clock}
					r := rapid.IntRange(1, n).Draw(rt, "revision")
					got, err := l.Get(wal.Revision(r))
					if diff := cmp.Diff(model[r-1], got); diff != "" || err != nil {
						rt.Errorf("Get(%d): %v (-want +got):\n%s", r, err, diff)
					}
					if err := l.Check(wal.Revision(r), model[r-1].Chain); err != nil {
						rt.Errorf("Check(%d): %v", r, err)
					}
				}
				if l.Head() != want || l.ID() != id || l.Clock() != clock || l.Lost() != nil || l.Warnings() != nil || l.Health() != nil {
					rt.Errorf("head %v, want %v; id %v, want %v; clock %v, want %v; lost %v; warnings %v; health %v",
						l.Head(), want, l.ID(), id, l.Clock(), clock, l.Lost(), l.Warnings(), l.Health())
				}
			},
		})
		if err := l.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// Readers beside the writer see a history that only grows, each record whole, none above the head that
// they saw before.
func TestReadersBesideTheWriter(t *testing.T) {
	l := open(t, crashOptions(t, memory(t)))
	payloads := workload(200)
	done := make(chan struct{})
	failed := make(chan string, 3)
	for range cap(failed) {
		go func() {
			for {
				select {
				case <-done:
					failed <- ""
					return
				default:
				}
				head := l.Head()
				n := 0
				for rec, err := range l.Records(0, 0) {
					if n++; err != nil || int(rec.Revision) != n || string(rec.Payload) != payloads[n-1] {
						failed <- "a reader saw something else"
						return
					}
				}
				if n < int(head.Revision) {
					failed <- "a reader saw less than the head before"
					return
				}
				if n > 0 {
					if rec, err := l.Get(head.Revision); head.Revision > 0 && (err != nil || rec.Chain != head.Chain) {
						failed <- "the head's record is not there"
						return
					}
				}
			}
		}()
	}
	for i := 0; i < len(payloads); i += 2 {
		add(t, l, payloads[i], payloads[i+1])
	}
	close(done)
	for range cap(failed) {
		if what := <-failed; what != "" {
			t.Error(what)
		}
	}
}

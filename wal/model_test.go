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
		var model []wal.Record // those held
		var head wal.Head
		var floor, forgotten wal.Revision
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
					rec := wal.Record{Revision: head.Revision + 1, Time: now, Clock: clock, Kind: e.Kind, Payload: e.Payload}
					if now.Before(head.Time) {
						rec.Time = head.Time
					}
					wal.EncodeRecord(head.Chain, &rec)
					model = append(model, rec)
					head = wal.Head{Revision: rec.Revision, Chain: rec.Chain, Time: rec.Time, Clock: rec.Clock}
				}
				if h != l.Head() {
					rt.Errorf("Append says %v, Head %v", h, l.Head())
				}
			},
			"compact": func(rt *rapid.T) {
				c := wal.Compaction{Floor: wal.Revision(rapid.IntRange(0, int(head.Revision)+1).Draw(rt, "floor"))}
				var left []wal.Record
				for _, rec := range model {
					stays := rec.Revision > c.Floor || rec.Revision == head.Revision
					if !stays && rapid.Bool().Draw(rt, "keep") {
						stays = true
						c.Keep = append(c.Keep, rec.Revision)
					}
					if stays {
						left = append(left, rec)
					}
				}
				dropped, err := l.Compact(t.Context(), c)
				if err != nil || int(dropped) != len(model)-len(left) {
					rt.Fatalf("%d dropped, %v; want %d", dropped, err, len(model)-len(left))
				}
				model = left
				if head.Revision > 0 {
					floor = max(floor, min(c.Floor, head.Revision-1))
				}
			},
			"forget": func(rt *rapid.T) {
				r := wal.Revision(rapid.IntRange(0, int(head.Revision)).Draw(rt, "forget"))
				if err := l.Forget(r); err != nil {
					rt.Fatal(err)
				}
				forgotten = max(forgotten, r)
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
				if l.Clock() > clock || l.Clock() < head.Clock {
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
				// DeepEqual is hundreds of times faster than cmp, which then explains.
				if len(model)+len(recs) > 0 && !reflect.DeepEqual(model, recs) {
					rt.Errorf("records (-want +got):\n%s", cmp.Diff(model, recs))
				}
				if len(model) > 0 {
					want := rapid.SampledFrom(model).Draw(rt, "record")
					got, err := l.Get(want.Revision)
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						rt.Errorf("Get(%d): %v (-want +got):\n%s", want.Revision, err, diff)
					}
					if err := l.Check(want.Revision, want.Chain); err != nil && want.Revision >= floor {
						rt.Errorf("Check(%d): %v", want.Revision, err)
					}
				}
				if l.Head() != head || l.ID() != id || l.Clock() != clock || l.Lost() != nil || l.Warnings() != nil || l.Health() != nil {
					rt.Errorf("head %v, want %v; id %v, want %v; clock %v, want %v; lost %v; warnings %v; health %v",
						l.Head(), head, l.ID(), id, l.Clock(), clock, l.Lost(), l.Warnings(), l.Health())
				}
				if l.First() != floor+1 || l.Forgotten() != forgotten {
					rt.Errorf("first %d, want %d; forgotten %d, want %d", l.First(), floor+1, l.Forgotten(), forgotten)
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

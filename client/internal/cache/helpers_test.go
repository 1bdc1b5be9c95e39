package cache_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client/internal/cache"
)

const (
	one = "https://one.example:7070"
	two = "https://two.example:7070"
)

// verifier is everybody's, since looking at a key costs as much as verifying.
var verifier = announce.NewVerifier(100_000)

var nodes = sync.OnceValue(func() []*announce.Key {
	keys := make([]*announce.Key, 8)
	for i := range keys {
		keys[i] = announce.NewKeyFromSeed(sha256.Sum256([]byte{'n', byte(i)}))
	}
	return keys
})

// said is an announcement that a node signed.
type said struct {
	cache.Key
	cache.Digest
	announce.Signed
	seqnum uint64
}

var signings sync.Map // :: "node service seqnum" → said, since signing is slow under the race detector

// says is node i's announcement of the service.
func says(i int, service announce.Service, seqnum uint64) said {
	name := fmt.Sprint(i, service, seqnum)
	if s, ok := signings.Load(name); ok {
		return s.(said)
	}
	message, err := (&announce.Announcement{Service: service, Seqnum: seqnum, Nickname: fmt.Sprintf("node%d", i)}).Message()
	if err != nil {
		panic(err)
	}
	s := nodes()[i].Sign(message)
	all := said{Key: cache.Key{Service: service, ID: announce.PeerID(s.PeerID)}, Digest: s.Digest(), Signed: s, seqnum: seqnum}
	signings.Store(name, all)
	return all
}

// announced is that the introducer announced it.
func (s said) announced(introducer string) cache.Announced {
	return cache.Announced{Introducer: introducer, Key: s.Key, Digest: s.Digest, Signed: s.Signed}
}

// raised is the floor that goes with it.
func (s said) raised(withdrawn bool) cache.Raise {
	at := time.Date(2026, 11, 23, 12, 0, int(s.seqnum), 0, time.UTC)
	return cache.Raise{Key: s.Key, Floor: cache.Floor{Seqnum: s.seqnum, Digest: s.Digest, Withdrawn: withdrawn, Time: at}}
}

// world is what a cache should hold, in the plainest way there is.
type world struct {
	sets   map[string]map[cache.Key]cache.Digest // :: introducer → its set
	tokens map[string]cache.Stand                // :: introducer → its token, if there is one
	bytes  map[cache.Digest]announce.Signed
	floors map[cache.Key]cache.Floor
}

func newWorld() *world {
	return &world{
		sets:   map[string]map[cache.Key]cache.Digest{},
		tokens: map[string]cache.Stand{},
		bytes:  map[cache.Digest]announce.Signed{},
		floors: map[cache.Key]cache.Floor{},
	}
}

func (w *world) set(introducer string) map[cache.Key]cache.Digest {
	if w.sets[introducer] == nil {
		w.sets[introducer] = map[cache.Key]cache.Digest{}
	}
	return w.sets[introducer]
}

func (w *world) apply(ops ...cache.Op) {
	for _, op := range ops {
		switch op := op.(type) {
		case cache.Announced:
			w.set(op.Introducer)[op.Key] = op.Digest
			if op.Signed.Message != nil {
				w.bytes[op.Digest] = op.Signed
			}
		case cache.Gone:
			if w.sets[op.Introducer] != nil {
				delete(w.sets[op.Introducer], op.Key)
			}
		case cache.Reset:
			clear(w.set(op.Introducer))
			delete(w.tokens, op.Introducer)
		case cache.Stand:
			w.set(op.Introducer)
			if w.tokens[op.Introducer] = op; op.LogID == ([16]byte{}) {
				delete(w.tokens, op.Introducer)
			}
		case cache.Forget:
			delete(w.sets, op.Introducer)
			delete(w.tokens, op.Introducer)
		case cache.Raise:
			old, ok := w.floors[op.Key]
			higher := op.Floor.Seqnum > old.Seqnum ||
				op.Floor.Seqnum == old.Seqnum && op.Floor.Withdrawn && !old.Withdrawn ||
				op.Floor.Seqnum == old.Seqnum && op.Floor.Withdrawn == old.Withdrawn && string(op.Floor.Digest[:]) >= string(old.Digest[:])
			if !ok || higher {
				w.floors[op.Key] = op.Floor
			}
		case cache.ForgetFloor:
			delete(w.floors, op.Key)
		}
	}
}

// view is a state in a form that can be compared.
type view struct {
	Sets   map[string]map[cache.Key]cache.Digest
	Tokens map[string]cache.Stand
	Bytes  map[cache.Digest]announce.Signed // of the announcements in a set
	Floors map[cache.Key]cache.Floor
}

func (w *world) view() view {
	v := view{Sets: w.sets, Tokens: w.tokens, Bytes: map[cache.Digest]announce.Signed{}, Floors: w.floors}
	for _, set := range w.sets {
		for _, d := range set {
			if s, ok := w.bytes[d]; ok {
				v.Bytes[d] = s
			}
		}
	}
	return v
}

// withoutTokens is what is left after damage: no tokens.
func (v view) withoutTokens() view {
	v.Tokens = map[string]cache.Stand{}
	return v
}

func viewOf(s *cache.State) view {
	v := view{
		Sets:   map[string]map[cache.Key]cache.Digest{},
		Tokens: map[string]cache.Stand{},
		Bytes:  map[cache.Digest]announce.Signed{},
		Floors: s.Floors,
	}
	for url, h := range s.Introducers {
		v.Sets[url] = h.Announced
		if h.LogID != ([16]byte{}) || h.Revision != 0 || h.Services != nil {
			v.Tokens[url] = cache.Stand{Introducer: url, LogID: h.LogID, Revision: h.Revision, Services: h.Services}
		}
	}
	for d, a := range s.Announcements {
		v.Bytes[d] = a.Signed
	}
	return v
}

func wantView(t *testing.T, s *cache.State, want view) {
	t.Helper()
	if diff := diffViews(want, viewOf(s)); diff != "" {
		t.Fatalf("state (-want +got):\n%s", diff)
	}
}

// diffViews is cmp.Diff, which takes its time over byte slices, for views that mostly are the same.
func diffViews(want, got view) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func open(t *testing.T, path string, opts cache.Options) (*cache.Cache, *cache.State) {
	t.Helper()
	if opts.Verifier == nil {
		opts.Verifier = verifier
	}
	c, s, err := cache.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, s
}

// reopen is what another run finds.
func reopen(t *testing.T, path string) *cache.State {
	t.Helper()
	c, s := open(t, path, cache.Options{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// group is the r-th of a history that goes on for ever. Its last operation is a token at revision r of
// an introducer of its own, which tells how far a state has come.
func group(r uint64) []cache.Op {
	rng := rand.New(rand.NewPCG(r, 0xcac4e))
	urls := []string{one, two, "http://three.example"}
	services := []announce.Service{announce.UploadStorage, announce.DownloadStorage, "printer"}
	var ops []cache.Op
	for range 1 + rng.IntN(6) {
		url := urls[rng.IntN(len(urls))]
		s := says(rng.IntN(len(nodes())), services[rng.IntN(len(services))], rng.Uint64N(4))
		switch rng.IntN(16) {
		case 0:
			ops = append(ops, cache.Gone{Introducer: url, Key: s.Key})
		case 1:
			ops = append(ops, s.raised(true))
		case 2:
			ops = append(ops, cache.ForgetFloor{Key: s.Key})
		case 3:
			ops = append(ops, cache.Stand{Introducer: url, LogID: [16]byte{1}, Revision: rng.Uint64(), Services: slices.Clone(services[:1+rng.IntN(3)])})
		case 4:
			ops = append(ops, []cache.Op{cache.Reset{Introducer: url}, cache.Forget{Introducer: url}, cache.Stand{Introducer: url}}[rng.IntN(3)])
		case 5: // refused by the client
			a := s.announced(url)
			a.Signed, a.Digest = announce.Signed{}, sha256.Sum256(binary.BigEndian.AppendUint64(nil, r))
			ops = append(ops, a)
		default:
			ops = append(ops, s.announced(url), s.raised(false))
		}
	}
	return append(ops, cache.Stand{Introducer: counter, LogID: [16]byte{9}, Revision: r, Services: []announce.Service{"x"}})
}

const counter = "counter"

// come tells how far a state has come.
func come(s *cache.State) uint64 {
	if h := s.Introducers[counter]; h != nil {
		return h.Revision
	}
	return 0
}

// history is the world after the first n groups.
func history(n uint64) *world {
	w := newWorld()
	for r := range n {
		w.apply(group(r + 1)...)
	}
	return w
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

package client_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client"
)

// model is the rules of merging in their shortest words, for introducers that are all up and synced: of
// all that was ever said of a peer the newest counts, and it is shown if it is an announcement that some
// introducer said after it last said that the peer is gone.
type model struct {
	newest map[string]word            // :: name → the newest word of it
	says   map[string]map[string]bool // :: URL → what it says now, as text
}

// word is what a peer says.
type word struct {
	name      string
	seqnum    uint64
	withdrawn bool
	variant   string // of the same seqnum there may be several
	signed    announce.Signed
}

func (w word) String() string { return fmt.Sprintf("%s %d%s", w.name, w.seqnum, w.variant) }

func (m *model) hear(w word) {
	old, known := m.newest[w.name]
	rank := func(w word) int {
		if w.withdrawn {
			return 1
		}
		return 0
	}
	a, b := w.signed.Digest(), old.signed.Digest()
	if !known || cmp.Or(cmp.Compare(w.seqnum, old.seqnum), cmp.Compare(rank(w), rank(old)), bytes.Compare(a[:], b[:])) > 0 {
		m.newest[w.name] = w
	}
}

func (m *model) shown() string {
	var all []string
	for _, w := range m.newest {
		for _, says := range m.says {
			if says[w.String()] && !w.withdrawn {
				all = append(all, w.String())
				break
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// actor is an introducer that a test plays: it says what it is told to, keeps what it holds, and can be
// cut off.
type actor struct {
	t    *testing.T
	w    *world
	url  string
	p    *played
	up   bool
	held map[string]word
	log  byte
	rev  uint64
	late []*introducerv1.Change // what was not sent yet
}

func (a *actor) say(m *model, w word) {
	m.hear(w)
	if w.withdrawn {
		delete(a.held, w.name)
		m.says[a.url] = without(m.says[a.url], w.name)
		a.send(gone(w.name, &w.signed))
		return
	}
	a.held[w.name] = w
	m.says[a.url][w.String()] = true
	a.send(announced(w.signed))
}

func (a *actor) drop(m *model, name string) {
	delete(a.held, name)
	m.says[a.url] = without(m.says[a.url], name)
	a.send(gone(name, nil))
}

func without(says map[string]bool, name string) map[string]bool {
	for w := range says {
		if strings.HasPrefix(w, name+" ") {
			delete(says, w)
		}
	}
	return says
}

func (a *actor) send(c *introducerv1.Change) {
	a.rev++
	a.late = append(a.late, c)
	if a.up {
		a.flush()
	}
}

func (a *actor) flush() {
	if len(a.late) > 0 {
		a.p.tell(a.t, changes(a.log, a.rev, a.late...))
		a.late = nil
	}
}

// cut breaks the connection.
func (a *actor) cut() {
	synctest.Wait() // what was sent has arrived
	a.w.kill(a.url)
	a.up = false
}

// serve lets the client, or another after it, come back, and gets it into step.
func (a *actor) serve() {
	if !a.up {
		a.w.play(a.url, a.p)
	}
	req := a.p.next(a.t)
	a.up = true
	if req.Resume == nil {
		a.p.tell(a.t, reset(isNew))
		a.late = nil
		for _, name := range []string{"alder", "birch", "cedar"} {
			if w, ok := a.held[name]; ok {
				a.late = append(a.late, announced(w.signed))
			}
		}
	}
	a.flush()
	var held []announce.Signed
	for _, w := range a.held {
		held = append(held, w.signed)
	}
	a.p.tell(a.t, synced(a.log, a.rev, held...))
}

// Whatever three introducers say and take back of three peers, in whatever order it arrives, and with
// whatever cuts and restarts in between: in the end the client shows what the rules have it show.
func TestMergeModel(t *testing.T) {
	words := make(map[string]word)
	for _, name := range []string{"alder", "birch", "cedar"} {
		for n := range uint64(4) {
			for _, variant := range []string{"a", "b", "w"} {
				w := word{name: name, seqnum: n, variant: variant, withdrawn: variant == "w"}
				a := announce.Announcement{Service: storage, Seqnum: n, Nickname: w.String(), Withdrawn: w.withdrawn}
				w.signed = signed(t, name, a)
				words[w.String()] = w
			}
		}
	}
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				r := rand.New(rand.NewPCG(seed, 7))
				m := &model{newest: make(map[string]word), says: make(map[string]map[string]bool)}
				opts := client.Options{Introducers: []string{urlA, urlB, urlC}, Dir: t.TempDir()}
				var actors []*actor
				for i, url := range opts.Introducers {
					actors = append(actors, &actor{t: t, w: w, url: url, p: newPlayed(), held: make(map[string]word), log: 'x' + byte(i)})
					m.says[url] = make(map[string]bool)
				}
				c := w.open(opts)
				for _, a := range actors {
					a.serve()
				}
				var story []string
				tell := func(format string, args ...any) { story = append(story, fmt.Sprintf(format, args...)) }
				for range 40 {
					a := actors[r.IntN(len(actors))]
					name := []string{"alder", "birch", "cedar"}[r.IntN(3)]
					switch do := r.IntN(20); {
					case do < 11:
						// An introducer never goes back, unless it was told to forget.
						w := words[fmt.Sprintf("%s %d%s", name, r.IntN(4), []string{"a", "b"}[r.IntN(2)])]
						if old, ok := a.held[name]; !ok || w.seqnum > old.seqnum {
							a.say(m, w)
							tell("%s: %v", a.url, w)
						}
					case do < 12:
						w := words[fmt.Sprintf("%s %dw", name, r.IntN(3))]
						a.say(m, w)
						tell("%s: %v", a.url, w)
					case do < 15:
						a.drop(m, name)
						tell("%s: %s gone", a.url, name)
					case do < 17 && a.up:
						a.cut()
						tell("%s cut", a.url)
					case do < 19 && !a.up:
						a.serve()
						tell("%s back", a.url)
					case do == 19:
						synctest.Wait()
						closeClient(t, c)
						synctest.Wait() // the introducers have noticed
						c = w.open(opts)
						for _, a := range actors {
							if a.up {
								a.serve()
							}
						}
						tell("restart")
					}
				}
				for _, a := range actors {
					if !a.up {
						a.serve()
					}
				}
				synctest.Wait()
				var got []string
				for _, p := range c.Peers(storage) {
					got = append(got, p.Nickname)
				}
				slices.Sort(got)
				if g, want := strings.Join(got, ", "), m.shown(); g != want {
					t.Errorf("shown is %q, want %q, after\n%s", g, want, strings.Join(story, "\n"))
				}
				for _, s := range c.Status().Introducers {
					if s.Mismatches != 0 || s.Rejected != 0 || s.State != client.Synced {
						t.Errorf("%+v", s)
					}
				}
			})
		})
	}
}

package client

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2/maybe"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/internal/seqnum"
)

// own are this node's own announcements. Whatever was signed is in the file before it is sent, so that
// no number is used for two messages.
type own struct {
	key        *announce.Key
	path       string // of the file; "": none
	seqnumPath string // "": none

	writing sync.Mutex // held by whoever signs, before Client.mu
	entries map[announce.Service]*ownEntry
}

// ownEntry is the newest announcement of one service. It is guarded by Client.mu; what is signed does
// not change.
type ownEntry struct {
	service   announce.Service
	signed    announce.Signed
	seqnum    uint64
	withdrawn bool
	signedAt  time.Time

	// say makes the same announcement in another place of the counter. Nil: an earlier run signed it, and
	// this one has not offered it: it is not published.
	say  func(seqnum uint64) announce.Announcement
	turn *turn

	outcomes map[string]Outcome // :: URL of an introducer → what it said

	due     time.Time // when it is to be signed again; zero: never
	beat    uint64    // a seqnum that what comes after it must beat
	stale   bool      // it is to be signed again because an introducer knows a newer one
	stales  int       // how often in a row that has been so
	staleAt time.Time // and when it was last
}

// turn is what was asked for by Publish or Withdraw: it stays when the same thing is signed again. Only
// its address counts, so it has a size.
type turn struct{ _ byte }

const (
	ownFile = "own" // in Options.Dir

	// maxBelieved is the greatest seqnum that an introducer can claim to know of us. One that lies could
	// use up all numbers at once; from here on only our own counting leads further.
	maxBelieved = 1 << 62

	fightForgotten = time.Hour // without a STALE
	fightFirst     = 250 * time.Millisecond
	fightMost      = 10 * time.Minute
	retrySigning   = time.Minute // after the file could not be written
)

// openOwn reads what earlier runs signed. A file that is damaged, or another key's, is as good as none:
// introducers know the numbers.
func openOwn(opts Options, v *announce.Verifier) (*own, error) {
	o := &own{key: opts.Key, seqnumPath: opts.SeqnumPath, entries: make(map[announce.Service]*ownEntry)}
	if opts.Dir == "" {
		return o, nil
	}
	o.path = filepath.Join(opts.Dir, ownFile)
	text, err := os.ReadFile(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading this node's own announcements: %w", err)
	}
	entries, err := parseOwn(text, v)
	if err != nil {
		opts.Logger.Warn("this node's own announcements of earlier runs are lost; they are made anew", "path", o.path, "why", err.Error())
		return o, nil
	}
	for service, e := range entries {
		if announce.PeerID(e.signed.PeerID) != opts.Key.PeerID() {
			opts.Logger.Warn("an announcement of an earlier run is of another key, and of no use", "path", o.path, "service", service)
			continue
		}
		if e.withdrawn {
			e.say, e.turn = withdrawal(service), new(turn)
		}
		o.entries[service] = e
	}
	return o, nil
}

func withdrawal(service announce.Service) func(uint64) announce.Announcement {
	return func(n uint64) announce.Announcement {
		return announce.Announcement{Service: service, Seqnum: n, Withdrawn: true}
	}
}

// ownText is the file's form.
type ownText struct {
	Format        int               `json:"format"`
	Announcements []ownAnnouncement `json:"announcements"`
}

type ownAnnouncement struct {
	SignedAt  time.Time `json:"signed_at"`
	Message   string    `json:"message"`
	Signature string    `json:"signature"`
	Key       string    `json:"key"`
}

// parseOwn reads the file. Every announcement in it is verified.
func parseOwn(text []byte, v *announce.Verifier) (map[announce.Service]*ownEntry, error) {
	var f ownText
	if err := json.Unmarshal(text, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if f.Format != 1 {
		return nil, fmt.Errorf("its format is %d, 1 is known", f.Format)
	}
	entries := make(map[announce.Service]*ownEntry)
	for i, a := range f.Announcements {
		s, err := announce.FromTahoe([]byte(a.Message), a.Signature, a.Key)
		if err != nil {
			return nil, fmt.Errorf("announcements[%d]: %w", i, err)
		}
		said, _, err := v.Open(s)
		if err != nil {
			return nil, fmt.Errorf("announcements[%d]: %w", i, err)
		}
		if entries[said.Service] != nil {
			return nil, fmt.Errorf("announcements[%d]: a second one of %s", i, said.Service)
		}
		entries[said.Service] = newOwnEntry(s, said, a.SignedAt)
	}
	return entries, nil
}

func newOwnEntry(s announce.Signed, said *announce.Announcement, at time.Time) *ownEntry {
	e := &ownEntry{
		service: said.Service, signed: s, seqnum: said.Seqnum, withdrawn: said.Withdrawn, signedAt: at.UTC(),
		outcomes: make(map[string]Outcome),
	}
	if said.TTL > 0 {
		// Not all nodes of a grid that was started at once at the same moment.
		e.due = at.Add(time.Duration((0.45 + 0.1*rand.Float64()) * float64(said.TTL)))
	}
	return e
}

func formatOwn(entries []*ownEntry) ([]byte, error) {
	f := ownText{Format: 1, Announcements: []ownAnnouncement{}}
	for _, e := range entries {
		message, signature, key := e.signed.Tahoe()
		f.Announcements = append(f.Announcements, ownAnnouncement{e.signedAt, string(message), signature, key})
	}
	slices.SortFunc(f.Announcements, func(a, b ownAnnouncement) int { return strings.Compare(a.Message, b.Message) })
	text, err := json.Marshal(f, jsontext.Multiline(true), jsontext.WithIndent("  "))
	return append(text, '\n'), err
}

// save replaces the file, and returns when it is durable.
func (o *own) save(entries []*ownEntry) error {
	if o.path == "" {
		return nil
	}
	text, err := formatOwn(entries)
	if err != nil {
		return err
	}
	if err := maybe.WriteFile(o.path, text, 0o600); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // where a directory cannot be synced
	}
	d, err := os.Open(filepath.Dir(o.path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// next returns a number for the service that beats last.
func (o *own) next(service announce.Service, last uint64) (uint64, error) {
	if o.seqnumPath != "" {
		f, err := seqnum.Open(o.seqnumPath) // each time, since others use it too
		if err != nil {
			return 0, err
		}
		return f.Beat(service, last)
	}
	if last >= announce.MaxSeqnum {
		return 0, fmt.Errorf("%s: %w", service, seqnum.ErrExhausted)
	}
	return last + 1, nil
}

// say makes what say says this node's word on the service, unless it is that already, and returns the
// turn under which it is published.
func (c *Client) say(service announce.Service, say func(uint64) announce.Announcement) (*turn, error) {
	c.own.writing.Lock()
	defer c.own.writing.Unlock()
	if c.closing.Err() != nil {
		return nil, ErrClosed // the directory may be another's
	}
	c.mu.Lock()
	e := c.own.entries[service]
	c.mu.Unlock()
	if e != nil && e.says(say) {
		c.mu.Lock()
		defer c.mu.Unlock()
		// Who refused it is asked again, and that answer counts.
		maps.DeleteFunc(e.outcomes, func(_ string, o Outcome) bool { return !o.Accepted })
		e.say = say
		if e.turn == nil {
			e.turn = new(turn)
		}
		c.saidLocked()
		return e.turn, nil
	}
	t := new(turn)
	return t, c.sign(service, say, t)
}

// says reports whether e says this, and will for a while. own.writing is held.
func (e *ownEntry) says(say func(uint64) announce.Announcement) bool {
	a := say(e.seqnum)
	message, err := a.Message()
	now := time.Now()
	return err == nil && bytes.Equal(message, e.signed.Message) && (e.due.IsZero() || now.Before(e.due) && !now.Before(e.signedAt))
}

// sign signs what say says with a number that beats those that are known, and has it published.
// own.writing is held.
func (c *Client) sign(service announce.Service, say func(uint64) announce.Announcement, t *turn) error {
	c.mu.Lock()
	old := c.own.entries[service]
	var beat uint64
	if old != nil {
		beat = max(old.seqnum, old.beat)
	}
	var others []*ownEntry
	for s, e := range c.own.entries {
		if s != service {
			others = append(others, e)
		}
	}
	c.mu.Unlock()
	n, err := c.own.next(service, beat)
	if err != nil {
		return fmt.Errorf("numbering an announcement: %w", err)
	}
	a := say(n)
	message, err := a.Message()
	if err != nil {
		return err
	}
	e := newOwnEntry(c.own.key.Sign(message), &a, time.Now())
	e.say, e.turn = say, t
	if err := c.own.save(append(others, e)); err != nil {
		return fmt.Errorf("saving the announcement of %s: %w", service, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old != nil {
		e.stales, e.staleAt = old.stales, old.staleAt
	}
	c.own.entries[service] = e
	c.saidLocked()
	return nil
}

// saidLocked has every introducer told what this node says.
func (c *Client) saidLocked() {
	for _, x := range c.introducers {
		x.publishErr = nil // of an attempt to say something else
		x.republish()
	}
	c.wakeLocked()
}

// forgetLocked drops what an introducer said that is no longer configured. A nil own has nothing.
func (o *own) forgetLocked(url string) {
	if o == nil {
		return
	}
	for _, e := range o.entries {
		delete(e.outcomes, url)
	}
}

// wordsLocked are the announcements that this node makes, by service.
func (o *own) wordsLocked() []*ownEntry {
	var words []*ownEntry
	for _, e := range o.entries {
		if e.say != nil {
			words = append(words, e)
		}
	}
	slices.SortFunc(words, func(a, b *ownEntry) int { return strings.Compare(string(a.service), string(b.service)) })
	return words
}

// renew signs anew what is due at now, and returns when the next is due; zero: nothing is.
func (c *Client) renew(now time.Time) (next time.Time) {
	c.own.writing.Lock()
	defer c.own.writing.Unlock()
	c.mu.Lock()
	due := make(map[announce.Service]*ownEntry)
	for service, e := range c.own.entries {
		switch {
		case e.say == nil || e.due.IsZero():
		case e.due.After(now):
			next = earlier(e.due, next)
		default:
			due[service] = e
		}
	}
	c.mu.Unlock()
	for service, e := range due {
		if err := c.sign(service, e.say, e.turn); err != nil {
			c.opts.Logger.Warn("an announcement cannot be renewed", "service", service, "why", err.Error(), "next try in", retrySigning)
			c.mu.Lock()
			e.due = now.Add(retrySigning)
			next = earlier(e.due, next)
			c.mu.Unlock()
		}
	}
	return next
}

// Package mirror is a subscriber's copy of what an introducer knows: which announcements are current,
// and where in the introducer's log that was. It keeps digests only, and is enough to resume, also in a
// later run of the program, and to tell whether the copy is exactly the introducer's set.
//
// # The file
//
// One JSON object, kept from one run to the next:
//
//	format     1
//	services   the services subscribed to, by name; empty: every one
//	log_id     32 hexadecimal digits; "" before the first token
//	revision   where in that log the subscriber stands
//	peers      a list of objects, by service and peer id:
//	             service
//	             peer_id   "v0-…"
//	             digest    64 hexadecimal digits: SHA-256(peer id || message)
//
// The file may be older than what the subscriber was shown, so a run that resumes from it can be told
// some changes twice; it misses none.
package mirror

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2/maybe"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// Errors of reading a file.
var (
	ErrDamaged  = errors.New("not a subscriber's state")
	ErrServices = errors.New("it is of a subscription to other services")
)

// Mirror is the copy. It is for one goroutine.
type Mirror struct {
	services []announce.Service // sorted, each once; empty: every one
	token    *introducerv1.ResumeToken
	peers    map[peer][32]byte // :: peer → digest of its current announcement
	digest   [32]byte          // XOR of those
}

type peer struct {
	service string
	id      string // the bytes
}

// New returns an empty Mirror of the services given, none for every one.
func New(services []announce.Service) *Mirror {
	m := &Mirror{services: slices.Compact(slices.Sorted(slices.Values(services)))}
	m.Forget()
	return m
}

// Token is where to resume; nil: from nothing.
func (m *Mirror) Token() *introducerv1.ResumeToken { return m.token }

// Len is how many peers are held; a node counts once for each service.
func (m *Mirror) Len() int { return len(m.peers) }

// Forget gives up token and peers, as a subscriber has to when its set is not the introducer's.
func (m *Mirror) Forget() {
	m.token, m.peers, m.digest = nil, make(map[peer][32]byte), [32]byte{}
}

// Digest is the digest of what is held, as an introducer says its own at synced and progress.
func (m *Mirror) Digest() [32]byte { return m.digest }

// Change takes in one change.
func (m *Mirror) Change(c *introducerv1.Change) {
	switch {
	case c.GetAnnounced() != nil:
		p := c.GetAnnounced()
		k := peer{p.GetService(), string(p.GetPeerId())}
		m.drop(k)
		m.add(k, p.GetAnnouncement().Signed().Digest())
	case c.GetGone() != nil:
		m.drop(peer{c.GetGone().GetService(), string(c.GetGone().GetPeerId())})
	}
}

// Stand notes where the set stands after what was taken in. A nil token says nothing.
func (m *Mirror) Stand(token *introducerv1.ResumeToken) {
	if token != nil {
		m.token = token
	}
}

func (m *Mirror) add(k peer, digest [32]byte) {
	m.peers[k] = digest
	m.xor(digest)
}

func (m *Mirror) drop(k peer) {
	if digest, ok := m.peers[k]; ok {
		m.xor(digest)
		delete(m.peers, k)
	}
}

func (m *Mirror) xor(digest [32]byte) {
	for i := range m.digest {
		m.digest[i] ^= digest[i]
	}
}

// file is the form on disk.
type file struct {
	Format   int                `json:"format"`
	Services []announce.Service `json:"services"`
	LogID    string             `json:"log_id"`
	Revision uint64             `json:"revision"`
	Peers    []entry            `json:"peers"`
}

type entry struct {
	Service announce.Service `json:"service"`
	PeerID  announce.PeerID  `json:"peer_id"`
	Digest  string           `json:"digest"`
}

// Text returns what the file holds.
func (m *Mirror) Text() ([]byte, error) {
	f := file{Format: 1, Services: m.services, Peers: []entry{}}
	if f.Services == nil {
		f.Services = []announce.Service{}
	}
	if m.token != nil {
		f.LogID, f.Revision = hex.EncodeToString(m.token.GetLogId()), m.token.GetRevision()
	}
	for k, digest := range m.peers {
		id, badID := announce.PeerIDFromBytes([]byte(k.id))
		service, badService := announce.ParseService(k.service)
		if badID != nil || badService != nil {
			continue // only a liar announces it; without it the digest differs, and the next run begins anew
		}
		f.Peers = append(f.Peers, entry{service, id, hex.EncodeToString(digest[:])})
	}
	slices.SortFunc(f.Peers, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.PeerID.Compare(b.PeerID))
	})
	text, err := json.Marshal(f, jsontext.Multiline(true), jsontext.WithIndent(" "))
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// Save writes the file at path, which is replaced whole.
func (m *Mirror) Save(path string) error {
	text, err := m.Text()
	if err == nil {
		err = maybe.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("saving what is subscribed to: %w", err)
	}
	return nil
}

// Load reads the file at path, which must be of the services given. One that does not exist gives an
// empty Mirror.
func Load(path string, services []announce.Service) (*Mirror, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return New(services), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was subscribed to: %w", err)
	}
	m, err := Parse(text, services)
	if err != nil {
		return nil, fmt.Errorf("reading what was subscribed to from %s: %w", path, err)
	}
	return m, nil
}

// Parse is [Load] of what a file holds.
func Parse(text []byte, services []announce.Service) (*Mirror, error) {
	m := New(services)
	if err := m.parse(text); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mirror) parse(text []byte) error {
	var f file
	if err := json.Unmarshal(text, &f, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if f.Format != 1 {
		return fmt.Errorf("%w: its format is %d, 1 is known", ErrDamaged, f.Format)
	}
	if !slices.Equal(f.Services, m.services) {
		return fmt.Errorf("%w: %v; resume with those, or with another file", ErrServices, f.Services)
	}
	if f.LogID != "" {
		id, err := decodeHex(f.LogID, 16)
		if err != nil {
			return fmt.Errorf("%w: log_id: %w", ErrDamaged, err)
		}
		m.token = &introducerv1.ResumeToken{LogId: id, Revision: f.Revision}
	}
	for i, e := range f.Peers {
		digest, err := decodeHex(e.Digest, 32)
		if err != nil {
			return fmt.Errorf("%w: peers[%d].digest: %w", ErrDamaged, i, err)
		}
		k := peer{string(e.Service), string(e.PeerID[:])}
		if _, ok := m.peers[k]; ok {
			return fmt.Errorf("%w: peers[%d] was there before", ErrDamaged, i)
		}
		m.add(k, [32]byte(digest))
	}
	return nil
}

func decodeHex(s string, size int) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("must be %d hexadecimal digits", 2*size)
	}
	return b, nil
}

package mirror_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/mirror"
)

var logID = []byte("0123456789abcdef")

func token(revision uint64) *introducerv1.ResumeToken {
	return &introducerv1.ResumeToken{LogId: logID, Revision: revision}
}

// said is what a node says; the mirror does not look at signatures.
func said(node byte, words string) *introducerv1.SignedAnnouncement {
	id := announce.NewKeyFromSeed([32]byte{node}).PeerID()
	return &introducerv1.SignedAnnouncement{Message: []byte(words), PeerId: id[:]}
}

func announced(node byte, words string) *introducerv1.Change {
	s := said(node, words)
	return &introducerv1.Change{Change: &introducerv1.Change_Announced{
		Announced: &introducerv1.Peer{Service: "storage", PeerId: s.PeerId, Announcement: s},
	}}
}

func gone(node byte) *introducerv1.Change {
	return &introducerv1.Change{Change: &introducerv1.Change_Gone{
		Gone: &introducerv1.Gone{Service: "storage", PeerId: said(node, "").PeerId},
	}}
}

// step is what happens to a mirror.
type step func(m *mirror.Mirror)

func changes(revision uint64, all ...*introducerv1.Change) step {
	return func(m *mirror.Mirror) {
		for _, c := range all {
			m.Change(c)
		}
		m.Stand(token(revision))
	}
}

// digest is that of an introducer that holds these announcements.
func digest(held ...*introducerv1.SignedAnnouncement) (sum [32]byte) {
	for _, s := range held {
		for i, b := range s.Signed().Digest() {
			sum[i] ^= b
		}
	}
	return sum
}

func standing(revision uint64) step { return func(m *mirror.Mirror) { m.Stand(token(revision)) } }

// follow does the steps, and saves and loads the mirror between any two.
func follow(t *testing.T, m *mirror.Mirror, services []announce.Service, steps ...step) *mirror.Mirror {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	for _, do := range steps {
		do(m)
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		var err error
		if m, err = mirror.Load(path, services); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestFollow(t *testing.T) {
	services := []announce.Service{"storage", "helper", "storage"}
	holds := func(m *mirror.Mirror, when string, at *introducerv1.ResumeToken, held ...*introducerv1.SignedAnnouncement) {
		t.Helper()
		if diff := cmp.Diff(at, m.Token(), protocmp.Transform()); diff != "" || m.Len() != len(held) || m.Digest() != digest(held...) {
			t.Errorf("%s: got %d peers with digest %x, want %d with %x, and a token (-want +got):\n%s",
				when, m.Len(), m.Digest(), len(held), digest(held...), diff)
		}
	}
	m := follow(t, mirror.New(services), services,
		standing(0),
		changes(1, announced(1, "one")),
		changes(3, announced(2, "two"), announced(3, "three")),
	)
	holds(m, "first", token(3), said(1, "one"), said(2, "two"), said(3, "three"))
	m = follow(t, m, services,
		changes(5, announced(2, "two again"), gone(1)),
		changes(6, gone(9), &introducerv1.Change{}), // whom this subscriber never heard of, and nothing
		standing(8),
		func(m *mirror.Mirror) { m.Stand(nil) },
	)
	holds(m, "then", token(8), said(2, "two again"), said(3, "three"))
	m.Forget()
	holds(m, "after Forget", nil)
	holds(follow(t, m, services, changes(2, announced(4, "four"))), "anew", token(2), said(4, "four"))
}

func TestGoldenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	m := mirror.New([]announce.Service{"storage"})
	changes(7, announced(1, "one"))(m)
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "format": 1,
 "services": [
  "storage"
 ],
 "log_id": "30313233343536373839616263646566",
 "revision": 7,
 "peers": [
  {
   "service": "storage",
   "peer_id": "v0-z3gbkb64dxoxffmvdquqrchqsww3sbcndnz5nfxg34df22b32t6a",
   "digest": "498382a40959ca5fd2e53d2ca3a603d18a6bba39aa3c681e4a1abb12272eea4f"
  }
 ]
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

func TestDamagedFile(t *testing.T) {
	const id = "v0-z3gbkb64dxoxffmvdquqrchqsww3sbcndnz5nfxg34df22b32t6a"
	digest := strings.Repeat("00", 32)
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", mirror.ErrDamaged},
		{"null", "null", mirror.ErrDamaged},
		{"cut", `{"format":1,"services":[`, mirror.ErrDamaged},
		{"newer format", `{"format":2,"services":[]}`, mirror.ErrDamaged},
		{"other member", `{"format":1,"services":[],"x":1}`, mirror.ErrDamaged},
		{"short log id", `{"format":1,"services":[],"log_id":"00"}`, mirror.ErrDamaged},
		{"short digest", `{"format":1,"services":[],"peers":[{"service":"a","peer_id":"` + id + `","digest":"00"}]}`, mirror.ErrDamaged},
		{"bad peer id", `{"format":1,"services":[],"peers":[{"service":"a","peer_id":"v0-","digest":"` + digest + `"}]}`, mirror.ErrDamaged},
		{"a peer twice", `{"format":1,"services":[],"peers":[` +
			`{"service":"a","peer_id":"` + id + `","digest":"` + digest + `"},` +
			`{"service":"a","peer_id":"` + id + `","digest":"` + digest + `"}]}`, mirror.ErrDamaged},
		{"other services", `{"format":1,"services":["helper"]}`, mirror.ErrServices},
	} {
		path := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mirror.Load(path, nil); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %v and the path", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"services":[],"log_id":"","revision":0,"peers":[]}`))
	f.Add([]byte(`{"format":1,"services":[],"log_id":"30313233343536373839616263646566","revision":7,"peers":[{"service":"a","peer_id":"v0-z3gbkb64dxoxffmvdquqrchqsww3sbcndnz5nfxg34df22b32t6a","digest":"0000000000000000000000000000000000000000000000000000000000000000"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := mirror.Parse(text, nil)
		if err != nil {
			return
		}
		first, err := m.Text()
		if err != nil {
			t.Fatalf("of %q: %v", text, err)
		}
		again, err := mirror.Parse(first, nil)
		if err != nil {
			t.Fatalf("of %q: %v", text, err)
		}
		second, err := again.Text()
		if diff := cmp.Diff(string(first), string(second)); err != nil || diff != "" {
			t.Fatalf("of %q: written, read and written again: %v (-first +second):\n%s", text, err, diff)
		}
	})
}

// A liar's peer that cannot be one counts while it is held, and does not keep the rest from being saved.
func TestImpossiblePeers(t *testing.T) {
	short, unnamed := announced(2, "short"), announced(3, "no service")
	short.GetAnnounced().PeerId = []byte{1}
	unnamed.GetAnnounced().Service = "No Service"
	m := mirror.New(nil)
	changes(7, announced(1, "good"), short, unnamed)(m)
	if got, want := m.Len(), 3; got != want {
		t.Errorf("held: got %d, want %d", got, want)
	}
	path := filepath.Join(t.TempDir(), "state")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := mirror.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(digest(said(1, "good")), loaded.Digest()); diff != "" {
		t.Errorf("the digest after loading (-want +got):\n%s", diff)
	}
}

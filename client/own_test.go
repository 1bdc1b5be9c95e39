package client_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/registry/registrytest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goldenOwn = "testdata/own.json"

// The bytes of the file, as a client of this release writes and reads them.
func TestGoldenOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir())
		dir := t.TempDir()
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Dir: dir})
		o := offer()
		o.Nickname, o.TTL = "Ärger & \"Co\"", time.Hour
		publish(t, c, o)
		if err := c.Withdraw(t.Context(), "helper"); err != nil {
			t.Fatal(err)
		}
		closeClient(t, c)
		got, err := os.ReadFile(filepath.Join(dir, "own"))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(goldenOwn, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(goldenOwn)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("file (-want +got):\n%s", diff)
		}
		info, err := os.Stat(filepath.Join(dir, "own"))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read it: %v, %v", info.Mode(), err)
		}
	})
}

// A file that cannot be believed is as good as none, and that is said; one that cannot be read is an
// error.
func TestDamagedOwn(t *testing.T) {
	golden, err := os.ReadFile(goldenOwn)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":       "",
		"cut":         string(golden[:len(golden)/2]),
		"newer":       strings.Replace(string(golden), `"format": 1`, `"format": 2`, 1),
		"changed":     strings.Replace(string(golden), "alder.test", "elder.test", 1),
		"more":        strings.Replace(string(golden), `"format": 1`, `"format": 1, "x": 1`, 1),
		"no key text": strings.Replace(string(golden), `"key": "v0-`, `"key": "`, 1),
		"another key": string(golden),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "own"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				a := w.serve(urlA, t.TempDir())
				a.put(t, sign(t, "alder", 6))
				key := registrytest.Key("alder")
				if name == "another key" {
					key = registrytest.Key("birch")
				}
				logger, lines := logged()
				c := w.open(client.Options{Introducers: []string{urlA}, Key: key, Dir: dir, Logger: logger})
				if !strings.Contains(lines.String(), "of earlier runs are lost") && !strings.Contains(lines.String(), "of another key") {
					t.Errorf("the log says %q", lines)
				}
				publish(t, c, offer())
			})
		})
	}
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "own"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := client.Open(t.Context(), client.Options{Key: registrytest.Key("alder"), Dir: dir, Transport: w.transport})
	if err == nil {
		c.Close()
		t.Error("a directory is read as a file")
	}
	// The cache was let go.
	if err := os.Remove(filepath.Join(dir, "own")); err != nil {
		t.Fatal(err)
	}
	w.open(client.Options{Key: registrytest.Key("alder"), Dir: dir})
}

// What cannot be saved is not published.
func TestUnwritableOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		dir := t.TempDir()
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Dir: dir})
		if err := os.Mkdir(filepath.Join(dir, "own"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), offer()); err == nil || !strings.Contains(err.Error(), "saving the announcement of storage") {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
		a.holds(t, "A", "")
		if err := os.Remove(filepath.Join(dir, "own")); err != nil {
			t.Fatal(err)
		}
		publish(t, c, offer())
		a.holds(t, "A", "alder 1")
	})
}

// No text makes the reader of the file fail otherwise than with an error, and what it reads it writes.
func FuzzOwn(f *testing.F) {
	golden, err := os.ReadFile(goldenOwn)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"format":1,"announcements":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := client.ParseOwn(text)
		if err != nil {
			return
		}
		twice, err := client.ParseOwn(once)
		if diff := cmp.Diff(string(once), string(twice)); err != nil || diff != "" {
			t.Fatalf("of %q: written, read and written again: %v (-first +second):\n%s", text, err, diff)
		}
	})
}

// An offer of all that an announcement can say.
func TestOfferSaysAll(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve(urlA, t.TempDir())
		c := w.open(client.Options{Introducers: []string{urlA}, Key: registrytest.Key("alder"), Nickname: "from the options"})
		o := client.Offer{
			Service: storage, FURL: "pb://a@b/c", NURLs: []string{"pb://d@e/f#v=1"}, Endpoints: []string{"https://x.test"},
			PermutationSeed: []byte("seed"), TTL: time.Hour, Extra: map[string]json.RawMessage{"my-version": json.RawMessage(`"x"`)},
		}
		publish(t, c, o)
		if err := c.WaitPeers(t.Context(), storage, 1); err != nil {
			t.Fatal(err)
		}
		p := c.Peers(storage)[0]
		said, err := announce.Parse(p.Signed.Message)
		if err != nil {
			t.Fatal(err)
		}
		got := []any{p.Service, p.ID, p.Seqnum, p.Nickname, p.Endpoints, p.PermutationSeed, p.TTL, p.Digest(), said.FURL}
		want := []any{storage, registrytest.Key("alder").PeerID(), uint64(1), "from the options",
			[]string{"pb://a@b/c", "pb://d@e/f#v=1", "https://x.test"}, []byte("seed"), time.Hour, p.Signed.Digest(), "pb://a@b/c"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("peer (-want +got):\n%s", diff)
		}
		if !strings.Contains(string(p.Signed.Message), `"my-version":"x"`) {
			t.Errorf("message %s", p.Signed.Message)
		}
	})
}

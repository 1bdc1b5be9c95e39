package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/client"
)

// A node that embeds the client links neither of the server's stores, nor any of its floors.
func TestLinksNoServer(t *testing.T) {
	for _, target := range []string{"linux/arm64", "darwin/arm64", "windows/amd64", "freebsd/amd64"} {
		goos, arch, _ := strings.Cut(target, "/")
		cmd := exec.Command("go", "list", "-deps", ".", "./follow")
		cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			for _, not := range []string{"pebble", "bbolt", "introducer/registry", "introducer/rpc", "introducer/wal", "introducer/store", "introducer/web", "introducer/cmd", "spf13"} {
				if strings.Contains(dep, not) {
					t.Errorf("%s: it links %s", target, dep)
				}
			}
		}
	}
}

// A cache with flipped bits, or cut short, costs what was hit, and the introducers mend it.
func TestDamagedCache(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)*2/3] },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b },
		"emptied": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a := w.serve(urlA, t.TempDir())
				a.put(t, sign(t, "alder", 1), sign(t, "birch", 1))
				logger, lines := logged()
				opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir(), Logger: logger}
				c := w.open(opts)
				expect(t, c, "first", "alder 1, birch 1")
				a.put(t, sign(t, "cedar", 1))
				expect(t, c, "then", "alder 1, birch 1, cedar 1")
				closeClient(t, c)
				path := filepath.Join(opts.Dir, "peers")
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(b), 0o600); err != nil {
					t.Fatal(err)
				}
				c = w.open(opts)
				if !strings.Contains(lines.String(), "the cache of peers was damaged") {
					t.Errorf("the log says %q", lines)
				}
				time.Sleep(time.Minute)
				expect(t, c, "mended", "alder 1, birch 1, cedar 1")
				if s := status(t, c, urlA); s.State != client.Synced || s.Mismatches > 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "peers"), bytes.Repeat([]byte("something else\n"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := client.Open(t.Context(), client.Options{Dir: dir, Transport: w.transport}); err == nil {
		c.Close()
		t.Error("it takes another program's file for its cache")
	}
}

// When the disk fails the client goes on in memory, and says so.
func TestCacheStops(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.serve(urlA, t.TempDir())
		opts := client.Options{Introducers: []string{urlA}, Dir: t.TempDir()}
		c := w.open(opts)
		a.put(t, sign(t, "alder", 1))
		expect(t, c, "before", "alder 1")
		if c.Status().CacheErr != nil {
			t.Error(c.Status().CacheErr)
		}
		if err := c.StopCache(); err != nil {
			t.Fatal(err)
		}
		a.put(t, sign(t, "birch", 1))
		expect(t, c, "after", "alder 1, birch 1")
		if c.Status().CacheErr == nil {
			t.Error("nothing is said")
		}
		a.put(t, sign(t, "cedar", 1))
		expect(t, c, "later", "alder 1, birch 1, cedar 1")
		closeClient(t, c)
		w.stop(urlA)
		expect(t, w.open(opts), "from the cache", "alder 1")
	})
}

// The same bytes from several introducers at the same time are verified once, and not again when they
// are known; the same bytes with a bad signature are another matter.
func TestVerifiedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		players := map[string]*played{urlA: newPlayed(), urlB: newPlayed()}
		for url, p := range players {
			w.play(url, p)
		}
		c := w.open(client.Options{Introducers: []string{urlA, urlB}})
		alder, birch := sign(t, "alder", 1), sign(t, "birch", 1)
		forged := announce.Signed{Message: birch.Message, Signature: make([]byte, 64), PeerID: birch.PeerID}
		begin := func(url string, all ...*introducerv1.Change) {
			t.Helper()
			if err := c.Begin(url, all); err != nil {
				t.Fatal(err)
			}
		}
		begin(urlA, announced(alder), announced(birch), announced(alder))
		begin(urlB, announced(birch), announced(alder))
		if n := c.Checks(); n != 2 {
			t.Errorf("%d verifications of two announcements", n)
		}
		begin(urlB, announced(forged))
		if n := c.Checks(); n != 3 {
			t.Errorf("%d verifications of two announcements and a forged one", n)
		}
		players[urlA].tell(t, changes('x', 1, announced(forged), announced(alder), announced(birch)))
		players[urlB].tell(t, changes('y', 1, announced(birch), announced(forged)))
		expect(t, c, "said", "alder 1, birch 1")
		if a, b := status(t, c, urlA), status(t, c, urlB); a.Rejected != 1 || b.Rejected > 1 {
			t.Errorf("%+v, %+v", a, b)
		}
		w.kill(urlA)
		w.kill(urlB)
		synctest.Wait()
		if n := c.Checks(); n != 0 {
			t.Errorf("%d verifications are left when the streams have ended", n)
		}
		begin(urlA, announced(alder), announced(birch))
		if n := c.Checks(); n != 0 {
			t.Errorf("%d verifications of what is known", n)
		}
	})
}

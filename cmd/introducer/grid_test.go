package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A grid of three introducers and five nodes, all of them processes, through the worst days of its life:
// introducers killed one after the other, one that comes back with nothing, one that comes back from an
// old backup, a node cut off, all introducers gone at once, and between all that nodes that move, join,
// leave and restart. At no moment does any node lose a live peer or show one that has withdrawn, and in
// the end all show the same.
func TestGrid(t *testing.T) {
	g := newGrid(t)
	a, b, c := g.introduce("a"), g.introduce("b"), g.introduce("c")
	for _, name := range []string{"n1", "n2", "n3"} {
		g.join(name, "enabled = true", a.url, b.url, c.url)
	}
	g.join("n4", "enabled = true\nread-only = true", a.url, b.url, c.url)
	wires := []*wire{newWire(t, a.url), newWire(t, b.url), newWire(t, c.url)}
	g.join("n5", "enabled = false", wires[0].url, wires[1].url, wires[2].url)
	g.converge()

	// A backup, taken as an operator does who can spare the introducer for a moment.
	if err := b.stop(); err != nil {
		t.Fatalf("stopping b: %v\n%s", err, b.stderr)
	}
	backup := filepath.Join(g.dir, "backup")
	if err := copyTree(g.data("b"), backup); err != nil {
		t.Fatal(err)
	}
	b = g.reintroduce("b", b)

	// a comes back with nothing: its nodes fill it again, and take its emptiness for no news.
	a.kill()
	g.move("n1")
	g.converge()
	if err := os.RemoveAll(g.data("a")); err != nil {
		t.Fatal(err)
	}
	a = g.reintroduce("a", a)
	g.holds(a)

	// b comes back from its backup, which knows n3 as one that takes uploads, and n1 where it was.
	b.kill()
	g.withdrawUploads("n3")
	g.move("n2")
	g.converge()
	if err := errors.Join(os.RemoveAll(g.data("b")), copyTree(backup, g.data("b"))); err != nil {
		t.Fatal(err)
	}
	if _, _, code := runTool("", "recover", "--data", g.data("b")); code != exitOK {
		tool(t, "recover", "--data", g.data("b"), "--accept-loss")
	}
	b = g.reintroduce("b", b)
	g.holds(b)

	// c is killed and comes back as it was.
	c.kill()
	g.move("n4")
	g.converge()
	c = g.reintroduce("c", c)
	g.holds(c)

	// n5 hears nothing for a while, in which the grid changes.
	for _, w := range wires {
		w.cut()
	}
	g.nodes["n5"].waitFor("that no introducer answers", func(v *seen) bool { return v.answering == 0 })
	g.join("n6", "enabled = true", a.url, b.url, c.url)
	g.move("n1")
	g.converge("n1", "n2", "n3", "n4", "n6")
	for _, w := range wires {
		w.mend()
	}
	g.converge()

	// Nobody is left. A node that starts now knows the grid from its own disk.
	g.nodes["n5"].waitFor("that all introducers answer", func(v *seen) bool { return v.answering == len(wires) })
	for _, p := range []*process{a, b, c} {
		p.kill()
	}
	g.restart("n5")
	g.nodes["n5"].waitFor("the grid from its cache", func(v *seen) bool { return maps.Equal(v.shown, g.want) })
	a, b, c = g.reintroduce("a", a), g.reintroduce("b", b), g.reintroduce("c", c)
	g.move("n3")
	g.converge()
	for _, p := range []*process{a, b, c} {
		g.holds(p)
	}
	g.end()
}

// grid is introducers, nodes, and what every node should show.
type grid struct {
	t     *testing.T
	dir   string
	nodes map[string]*member
	want  map[string]string // :: "service peer-id" → nickname
	gone  map[string]bool   // those of former wants that were withdrawn
}

func newGrid(t *testing.T) *grid {
	return &grid{t: t, dir: t.TempDir(), nodes: make(map[string]*member), want: make(map[string]string), gone: make(map[string]bool)}
}

func (g *grid) data(name string) string { return filepath.Join(g.dir, "introducer-"+name) }

func (g *grid) introduce(name string) *process {
	g.t.Helper()
	return serve(g.t, "--data", g.data(name), "--listen", "127.0.0.1:0")
}

// reintroduce starts an introducer where one was.
func (g *grid) reintroduce(name string, was *process) *process {
	g.t.Helper()
	return serve(g.t, "--data", g.data(name), "--listen", address(was))
}

// member is a node of the grid.
type member struct {
	t       *testing.T
	name    string
	config  string // path
	storage string // of its configuration
	urls    []string
	id      string
	moves   int
	process *process
	read    int // how much of its output is in seen
	seen    *seen
}

// join starts a node that wants all storage.
func (g *grid) join(name, storage string, urls ...string) {
	g.t.Helper()
	n := &member{t: g.t, name: name, config: filepath.Join(g.dir, name+".toml"), storage: storage, urls: urls}
	n.id = strings.TrimSpace(tool(g.t, "keygen", "--out", filepath.Join(g.dir, name+".privkey")))
	g.nodes[name] = n
	n.write()
	n.start(g)
	g.expect(n)
}

func (n *member) nickname() string { return fmt.Sprintf("%s at its place %d", n.name, n.moves) }

func (n *member) write() {
	n.t.Helper()
	var urls []string
	for _, u := range n.urls {
		urls = append(urls, fmt.Sprintf("%q", u))
	}
	text := fmt.Sprintf(`
nickname = %q
key = "%s.privkey"
introducers = [%s]
wants = ["upload_storage", "download_storage"]
[storage]
%s
endpoints = ["https://192.0.2.%d:3457/"]
`, n.nickname(), n.name, strings.Join(urls, ", "), n.storage, n.moves)
	if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *member) start(g *grid) {
	n.t.Helper()
	var err error
	if n.process, err = startProcess(binary(n.t), os.Environ(), "node", "--config", n.config, "-o", "json", "--log-format", "text"); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.process.kill)
	n.read, n.seen = 0, newSeen(g.gone)
}

// expect notes what the node's configuration makes every node show.
func (g *grid) expect(n *member) {
	key := func(service string) string { return service + " " + n.id }
	if strings.Contains(n.storage, "enabled = true") {
		g.want[key("download_storage")] = n.nickname()
		if strings.Contains(n.storage, "read-only") {
			if _, was := g.want[key("upload_storage")]; was {
				g.gone[key("upload_storage")] = true // said before it happens: from now on it may go
			}
			delete(g.want, key("upload_storage"))
		} else {
			g.want[key("upload_storage")] = n.nickname()
		}
	}
}

// reload changes the node's configuration and tells it.
func (g *grid) reload(name string, change func(*member)) {
	g.t.Helper()
	n := g.nodes[name]
	change(n)
	g.expect(n)
	n.write()
	from := len(n.process.stderr.String())
	if err := n.process.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		g.t.Fatal(err)
	}
	if _, _, err := n.process.stderr.wait("read the configuration again", from); err != nil {
		g.t.Fatal(err)
	}
}

func (g *grid) move(name string) {
	g.t.Helper()
	g.reload(name, func(n *member) { n.moves++ })
}

func (g *grid) withdrawUploads(name string) {
	g.t.Helper()
	g.reload(name, func(n *member) { n.storage = "enabled = true\nread-only = true" })
}

// restart stops a node in order, so that its disk has all that it heard, and starts it again.
func (g *grid) restart(name string) {
	g.t.Helper()
	n := g.nodes[name]
	if err := n.process.stop(); err != nil {
		g.t.Fatalf("stopping %s: %v\n%s", name, err, n.process.stderr)
	}
	n.take()
	n.start(g)
}

// converge waits until the nodes named, or all, show what they should, and compares their digests.
func (g *grid) converge(names ...string) {
	g.t.Helper()
	if names == nil {
		for name := range g.nodes {
			names = append(names, name)
		}
	}
	digests := make(map[string][]string)
	for _, name := range names {
		n := g.nodes[name]
		n.waitFor("what the others show", func(v *seen) bool { return v.settled && maps.Equal(v.shown, g.want) })
		digests[n.seen.digest] = append(digests[n.seen.digest], name)
	}
	if len(digests) != 1 {
		g.t.Fatalf("the same peers have several digests: %v", digests)
	}
}

// holds waits until an introducer itself has what every node should show.
func (g *grid) holds(p *process) {
	g.t.Helper()
	watch, err := startProcess(binary(g.t), os.Environ(), "subscribe", "upload_storage", "download_storage", "-o", "json", "--server", p.url)
	if err != nil {
		g.t.Fatal(err)
	}
	defer watch.kill()
	// Of what an introducer from a backup says, much is old.
	n := &member{t: g.t, name: "the introducer at " + p.url, process: watch, seen: newSeen(nil)}
	n.seen.trusting = true
	n.waitFor("what the nodes show", func(v *seen) bool { return maps.Equal(v.shown, g.want) })
}

// end stops all nodes and looks at what they showed at last.
func (g *grid) end() {
	for _, n := range g.nodes {
		if err := n.process.stop(); err != nil {
			g.t.Errorf("stopping %s: %v\n%s", n.name, err, n.process.stderr)
		}
		n.take()
		if diff := cmp.Diff(g.want, n.seen.shown); diff != "" {
			g.t.Errorf("%s at the end (-want +got):\n%s", n.name, diff)
		}
	}
}

// waitFor reads what the node shows until it is as wanted.
func (n *member) waitFor(what string, wanted func(*seen) bool) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		n.take()
		if wanted(n.seen) {
			return
		}
		_, _, err := n.process.stdout.wait(`\n`, n.read)
		if err != nil || time.Now().After(deadline) {
			n.t.Fatalf("%s does not show %s; it shows %v\nstderr:\n%s", n.name, what, n.seen.shown, n.process.stderr)
		}
	}
}

// take reads the lines that are whole.
func (n *member) take() {
	n.t.Helper()
	text := n.process.stdout.String()[n.read:]
	text = text[:strings.LastIndexByte(text, '\n')+1]
	n.read += len(text)
	for line := range strings.Lines(text) {
		if err := n.seen.take(line); err != nil {
			n.t.Errorf("%s: %v", n.name, err)
		}
	}
}

// seen is what a node has shown: every event is looked at.
type seen struct {
	shown     map[string]string // :: "service peer-id" → nickname
	mayGo     map[string]bool   // those that were withdrawn; of the grid, and growing
	trusting  bool              // this one may show and lose what it likes
	settled   bool              // the last event was a state, of the whole picture
	digest    string            // of the last state
	answering int               // how many introducers did then
}

func newSeen(mayGo map[string]bool) *seen {
	return &seen{shown: make(map[string]string), mayGo: mayGo}
}

// take looks at one event, and tells what it breaks.
func (v *seen) take(line string) error {
	var e struct {
		Event       string
		Service     string
		PeerID      string `json:"peer_id"`
		Nickname    string
		Synced      bool
		SetDigest   string `json:"set_digest"`
		Introducers []struct{ State string }
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return fmt.Errorf("%w in %s", err, line)
	}
	key := e.Service + " " + e.PeerID
	v.settled = e.Event == "state" && e.Synced
	switch e.Event {
	case "announced":
		_, had := v.shown[key]
		v.shown[key] = e.Nickname
		// Until it has heard of the withdrawal it may show what it knows, but never again after.
		if v.mayGo[key] && !had && !v.trusting {
			return fmt.Errorf("it shows one that has withdrawn: %s", line)
		}
	case "gone":
		delete(v.shown, key)
		if !v.mayGo[key] && !v.trusting {
			return fmt.Errorf("it lost a live peer: %s", line)
		}
	case "state":
		v.digest, v.answering = e.SetDigest, 0
		for _, in := range e.Introducers {
			if in.State == "synced" {
				v.answering++
			}
		}
	}
	return nil
}

// wire is a way to an introducer that can be cut.
type wire struct {
	url  string
	to   string
	mu   sync.Mutex
	down bool
	open map[net.Conn]struct{}
}

func newWire(t *testing.T, url string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + l.Addr().String(), to: strings.TrimPrefix(url, "http://"), open: make(map[net.Conn]struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		all.Wait()
	})
	return w
}

// carry carries one connection until either end or the wire breaks.
func (w *wire) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	if w.down {
		w.mu.Unlock()
		return
	}
	w.open[near], w.open[far] = struct{}{}, struct{}{}
	w.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			io.Copy(way[0], way[1])
			near.Close()
			far.Close()
		})
	}
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, near)
	delete(w.open, far)
}

// cut breaks every connection, and each new one.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for c := range w.open {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// address returns a host and port that an introducer can come back to.
func address(p *process) string { return strings.TrimPrefix(p.url, "http://") }

// What a stranger tries first: publish, list, permute, subscribe, kill -9, start again. Everything is
// there byte for byte, and the subscriber goes on without a reset.
func TestKillRestartResume(t *testing.T) {
	dir := t.TempDir()
	data, keyFile := filepath.Join(dir, "data"), filepath.Join(dir, "node.privkey")
	server := serve(t, "--data", data, "--listen", "127.0.0.1:0")
	at := []string{"--server", server.url}
	on := func(args ...string) string { return tool(t, append(args, at...)...) }

	say := func(nickname string) string {
		return on("publish", "--key", keyFile, "upload_storage", "--nickname", nickname, "--endpoint", "https://192.0.2.7:3457/")
	}
	tool(t, "keygen", "--out", keyFile)
	say("before")
	other := filepath.Join(dir, "other.privkey")
	tool(t, "keygen", "--out", other)
	on("publish", "--key", other, "upload_storage", "--nickname", "other", "--ttl", "1h")
	on("publish", "--key", other, "helper")

	watch, err := startProcess(binary(t), os.Environ(), append([]string{"subscribe", "-o", "json"}, at...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.kill)
	_, seen, err := watch.stdout.wait(`"event":"synced",[^\n]*"revision":3,"peers":3}\n`, 0)
	if err != nil {
		t.Fatal(err)
	}

	questions := [][]string{
		{"peers", "upload_storage", "-o", "json"},
		{"peers", "helper", "-o", "json"},
		{"permute", "upload_storage", demoStorageIndex, "-o", "json"},
		{"log", "-o", "json"},
		{"services", "-o", "json"},
	}
	ask := func() (answers []string) {
		for _, q := range questions {
			answers = append(answers, on(q...))
		}
		return answers
	}
	before := ask()
	listen := address(server)
	server.kill()
	if _, seen, err = watch.stdout.wait(`"event":"disconnected"[^\n]*\n`, seen); err != nil {
		t.Fatal(err)
	}
	server = serve(t, "--data", data, "--listen", listen)
	if !strings.Contains(server.ready, "revision 3, 3 peers") {
		t.Errorf("after kill -9 it is %q", server.ready)
	}
	// The subscriber is counted, once it is back.
	if _, seen, err = watch.stdout.wait(`"event":"resumed",[^\n]*"revision":3}\n[^\n]*"event":"synced"[^\n]*\n`, seen); err != nil {
		t.Fatal(err)
	}
	// A time to live goes on where it was, so its end has moved by the time that the introducer was away.
	expires := regexp.MustCompile(`"expires":"[^"]*"`)
	steady := func(answers []string) (out []string) {
		for _, a := range answers {
			out = append(out, expires.ReplaceAllString(a, `"expires":"…"`))
		}
		return out
	}
	if diff := cmp.Diff(steady(before), steady(ask())); diff != "" {
		t.Errorf("after kill -9 (-before +after):\n%s", diff)
	}

	say("after")
	if _, _, err := watch.stdout.wait(`"event":"announced",[^\n]*"nickname":"after","seqnum":2,"revision":4,[^\n]*"verified":true`, seen); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(watch.stdout.String(), `"event":"reset"`); got != 1 {
		t.Errorf("the subscriber was reset %d times, want once, at its beginning:\n%s", got, watch.stdout)
	}
	if err := server.stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, server.stderr)
	}
}

// Following the log shows what is written as it is written, and says how to go on when it breaks off.
func TestFollowLog(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "node.privkey")
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", keyFile)
	var follows []*process
	for range 2 {
		p, err := startProcess(binary(t), os.Environ(), "log", "--follow", "--service", "storage", "-o", "json", "--server", server.url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		follows = append(follows, p)
	}
	for i, service := range []string{"storage", "helper", "storage"} {
		tool(t, "publish", "--key", keyFile, service, "--server", server.url)
		for _, p := range follows {
			if service != "storage" {
				continue
			}
			if _, _, err := p.stdout.wait(fmt.Sprintf(`{"revision":%d,.*"service":"storage"`, i+1), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := follows[0].stop(); err != nil {
		t.Errorf("interrupted: it ended with %v\n%s", err, follows[0].stderr)
	}
	if got := strings.Count(follows[0].stdout.String(), "\n"); got != 2 {
		t.Errorf("got %d records, want 2:\n%s", got, follows[0].stdout)
	}
	server.kill()
	if got := exitCode(follows[1].wait()); got != exitUnreachable || !strings.Contains(follows[1].stderr.String(), "Go on with --from 4") {
		t.Errorf("the introducer is gone: got exit code %d and %q", got, follows[1].stderr)
	}
}

// The subscriber's own kill -9: with its file it goes on where it was.
func TestKilledSubscriberResumes(t *testing.T) {
	dir := t.TempDir()
	keyFile, state := filepath.Join(dir, "node.privkey"), filepath.Join(dir, "state")
	server := serve(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	tool(t, "keygen", "--out", keyFile)
	tool(t, "publish", "--key", keyFile, "storage", "--server", server.url)
	args := []string{"subscribe", "storage", "--resume-file", state, "--server", server.url}
	watch, err := startProcess(binary(t), os.Environ(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.kill)
	if _, _, err := watch.stdout.wait(`= synced at revision 1, 1 peer\n`, 0); err != nil {
		t.Fatal(err)
	}
	// Shown once what came before is saved.
	tool(t, "publish", "--key", keyFile, "storage", "--server", server.url)
	if _, _, err := watch.stdout.wait(`seqnum 2, revision 2`, 0); err != nil {
		t.Fatal(err)
	}
	watch.kill()
	tool(t, "withdraw", "--key", keyFile, "storage", "--server", server.url)
	got := tool(t, append(args, "--once")...)
	if ok, err := regexp.MatchString(`^= resumed at revision [12], 1 peer held\n(\+ .*\n)?- .* withdrawn, revision 3\n= synced at revision 3, 0 peers\n$`, got); !ok || err != nil {
		t.Errorf("after kill -9 it was shown:\n%s", got)
	}
}

// Kills at random moments while publishers run: whatever was acknowledged before is there after, and a
// subscriber that comes back each time ends up with what the introducer has.
func TestCrashLoop(t *testing.T) {
	kills := 5
	if text := os.Getenv("INTRODUCER_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("INTRODUCER_KILLS: %v", err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("INTRODUCER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("INTRODUCER_SEED: %v", err)
		}
	}
	t.Logf("%d kills, INTRODUCER_SEED=%d", kills, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--data", data, "--listen", "127.0.0.1:0"}
	server := serve(t, args...)
	args[3] = address(server)
	watch, err := startProcess(binary(t), os.Environ(), "subscribe", "-o", "json", "--server", server.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.kill)
	if _, _, err := watch.stdout.wait(`"event":"synced"`, 0); err != nil {
		t.Fatal(err)
	}

	crowd := newCrowd(4)
	for range kills {
		c := crowd.publish(t, server.url)
		// At least one more is acknowledged before the kill, and some are under way.
		for range 1 + random.IntN(20) {
			<-c.acknowledged
		}
		time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, func() { server.cmd.Process.Kill() })
		<-server.ended
		c.wait()
		server = serve(t, args...)
		crowd.check(t, server.url)
	}

	// The subscriber hears of one more, and holds what there is.
	c := crowd.publish(t, server.url)
	<-c.acknowledged
	c.stop()
	if err := server.stop(); err != nil {
		t.Fatalf("stopping: %v\n%s", err, server.stderr)
	}
	server = serve(t, args...)
	crowd.check(t, server.url)
	var info info
	if err := json.Unmarshal([]byte(tool(t, "info", "-o", "json", "--server", server.url)), &info); err != nil {
		t.Fatal(err)
	}
	if _, _, err := watch.stdout.wait(fmt.Sprintf(`"event":"(synced|progress)",[^\n]*"revision":%d,"peers":%d}`, info.LastRevision, info.Peers), 0); err != nil {
		t.Error(err)
	}
	if text := watch.stdout.String(); strings.Contains(text, "mismatch") || strings.Count(text, `"event":"reset"`) != 1 {
		t.Errorf("the subscriber lost its way:\n%s", text)
	}
}

// crowd is publishers that remember what they were promised.
type crowd struct {
	nodes []*crowdNode
}

type crowdNode struct {
	key      *announce.Key
	seqnum   uint64            // the last one tried
	promised uint64            // the last one acknowledged
	said     map[uint64]string // :: seqnum → message
	at       map[uint64]uint64 // :: acknowledged seqnum → its revision
}

func newCrowd(n int) *crowd {
	c := new(crowd)
	for i := range n {
		c.nodes = append(c.nodes, &crowdNode{
			key: announce.NewKeyFromSeed([32]byte{byte(i), 1}), said: make(map[uint64]string), at: make(map[uint64]uint64),
		})
	}
	return c
}

// running is a crowd that publishes until its introducer is gone.
type running struct {
	acknowledged chan struct{}
	all          sync.WaitGroup
	end          chan struct{}
	ending       sync.Once
}

func (r *running) stop() {
	r.ending.Do(func() { close(r.end) })
	r.wait()
}

// wait waits for the publishers, who see for themselves that the introducer is gone.
func (r *running) wait() {
	done := make(chan struct{})
	go func() { r.all.Wait(); close(done) }()
	for {
		select {
		case <-r.acknowledged:
		case <-done:
			return
		}
	}
}

func (c *crowd) publish(t *testing.T, url string) *running {
	r := &running{acknowledged: make(chan struct{}), end: make(chan struct{})}
	for _, n := range c.nodes {
		r.all.Go(func() {
			conn, err := newConnection(url, patience)
			if err != nil {
				t.Error(err)
				return
			}
			for {
				select {
				case <-r.end:
					return
				default:
				}
				if !n.publishOne(t, conn) {
					return
				}
				r.acknowledged <- struct{}{}
			}
		})
	}
	return r
}

// publishOne says the next thing and remembers the promise; false when the introducer is gone.
func (n *crowdNode) publishOne(t *testing.T, conn *connection) bool {
	n.seqnum++
	a := announce.Announcement{Service: "storage", Seqnum: n.seqnum, Nickname: fmt.Sprintf("said %d", n.seqnum)}
	message, err := a.Message()
	if err != nil {
		t.Error(err)
		return false
	}
	n.said[n.seqnum] = string(message)
	req := &introducerv1.PublishRequest{Announcements: []*introducerv1.SignedAnnouncement{
		introducerv1.NewSignedAnnouncement(n.key.Sign(message)),
	}}
	res, err := conn.Publish(t.Context(), req)
	if err != nil {
		return false
	}
	if got := res.GetResults()[0]; got.GetOutcome() != introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED {
		t.Errorf("seqnum %d of %v: got %v", n.seqnum, n.key.PeerID(), got)
		return false
	}
	n.promised, n.at[n.seqnum] = n.seqnum, res.GetResults()[0].GetRevision()
	return true
}

// check compares the log and the peers with what was promised.
func (c *crowd) check(t *testing.T, url string) {
	t.Helper()
	logged := make(map[string]uint64) // :: message of whom → revision
	var last uint64
	for line := range strings.Lines(tool(t, "log", "-o", "json", "--server", url)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Revision != last+1 {
			t.Fatalf("the log has a hole: revision %d after %d", r.Revision, last)
		}
		last = r.Revision
		logged[r.PeerID+r.Announcement.Message] = r.Revision
	}
	current := make(map[string]uint64) // :: peer id → seqnum
	for line := range strings.Lines(tool(t, "peers", "storage", "-o", "json", "--server", url)) {
		var p struct {
			PeerID string `json:"peer_id"`
			Seqnum uint64 `json:"seqnum"`
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		current[p.PeerID] = p.Seqnum
	}
	for _, n := range c.nodes {
		id := n.key.PeerID().String()
		for seqnum, revision := range n.at {
			if got := logged[id+n.said[seqnum]]; got != revision {
				t.Errorf("seqnum %d of %s was acknowledged at revision %d and is at %d", seqnum, id, revision, got)
			}
		}
		// The last one tried may have made it without its answer.
		if got := current[id]; got < n.promised || got > n.seqnum {
			t.Errorf("%s: seqnum %d is current; %d was promised and %d the last one tried", id, got, n.promised, n.seqnum)
		}
	}
}

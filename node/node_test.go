package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/node"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/rpc"
)

// patience bounds every wait. Nothing takes nearly so long, except on a machine that is busy with
// something else.
const patience = time.Minute

func withPatience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// introducer is a real one.
type introducer struct {
	*registry.Registry
	url  string
	stop func()
}

func startIntroducer(t testing.TB) *introducer {
	t.Helper()
	in := &introducer{Registry: registrytest.New(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.New(in.Registry, rpc.Options{}).NewServer(rpc.ServerOptions{})
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	in.url = "http://" + l.Addr().String()
	in.stop = func() { server.Close(); <-served }
	t.Cleanup(in.stop)
	return in
}

// live are the services that a peer offers there, by name.
func (in *introducer) live(id announce.PeerID) []announce.Service {
	var all []announce.Service
	services, _ := in.Services()
	for _, s := range services {
		if _, ok := in.View(s.Service).Peers.Get(id); ok {
			all = append(all, s.Service)
		}
	}
	slices.Sort(all)
	return all
}

// site is a directory with a key, where a node can live.
type site struct {
	t   testing.TB
	dir string
	key *announce.Key
}

func newSite(t testing.TB, name string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), key: registrytest.Key(name)}
	if err := announce.CreateKeyFile(filepath.Join(s.dir, "node.privkey"), s.key); err != nil {
		t.Fatal(err)
	}
	return s
}

// config is one that offers and wants nothing.
func (s *site) config(introducers ...*introducer) *node.Config {
	c := &node.Config{Key: filepath.Join(s.dir, "node.privkey"), State: filepath.Join(s.dir, "state")}
	for _, in := range introducers {
		c.Introducers = append(c.Introducers, in.url)
	}
	return c
}

func (s *site) open(c *node.Config) *node.Node {
	s.t.Helper()
	n, err := node.Open(s.t.Context(), c, node.Options{Version: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			s.t.Errorf("closing the node: %v", err)
		}
	})
	return n
}

// settle waits until every introducer holds what the node says.
func settle(t testing.TB, n *node.Node) {
	t.Helper()
	for s := range n.Introducer.Statuses(withPatience(t)) {
		if settled(&s) {
			return
		}
	}
	t.Fatalf("it did not settle: %+v", n.Introducer.Status())
}

func settled(s *client.Status) bool {
	for _, in := range s.Introducers {
		for _, o := range s.Own {
			if !o.Outcomes[in.URL].Accepted {
				return false
			}
		}
	}
	return true
}

// wants are the services that the node subscribes to.
func wants(n *node.Node) []announce.Service {
	var all []announce.Service
	for _, s := range n.Introducer.Status().Services {
		all = append(all, s.Service)
	}
	return all
}

var somewhere = node.Place{Endpoints: []string{"https://192.0.2.7:3457/"}}

// change is a part of a configuration.
type change func(*node.Config)

func enabled(c *node.Config)   { c.Storage = node.Storage{Enabled: true, Place: somewhere} }
func readOnly(c *node.Config)  { enabled(c); c.Storage.ReadOnly = true }
func switchOff(c *node.Config) { readOnly(c); c.Storage.Enabled = false }
func nothing(*node.Config)     {}
func wanting(all ...announce.Service) change {
	return func(c *node.Config) { c.Wants = all }
}
func offering(s announce.Service) change {
	return func(c *node.Config) { c.Offers = append(c.Offers, node.Offer{Service: s, Place: somewhere}) }
}
func both(a, b change) change { return func(c *node.Config) { a(c); b(c) } }

// transitions are what a node does under a configuration and after a change of it, be it by Reload or
// over a restart.
var transitions = []struct {
	name          string
	before, after change
	first         []announce.Service // that it offers before
	then          []announce.Service // and after
	gone          []announce.Service // withdrawn
	wants         []announce.Service // subscribed to after
}{
	{"a client install", nothing, nothing, nil, nil, nil, nil},
	{"a client", wanting("upload_storage", "download_storage"), wanting("download_storage"), nil, nil, nil,
		[]announce.Service{"download_storage"}},
	{"a client that wants more", nothing, wanting("storage", "helper"), nil, nil, nil, []announce.Service{"helper", "storage"}},
	{"storage wants nothing", enabled, enabled, []announce.Service{"download_storage", "upload_storage"},
		[]announce.Service{"download_storage", "upload_storage"}, nil, nil},
	{"storage that is also a client", both(enabled, wanting("upload_storage")), both(enabled, wanting("upload_storage")),
		[]announce.Service{"download_storage", "upload_storage"}, []announce.Service{"download_storage", "upload_storage"}, nil,
		[]announce.Service{"upload_storage"}},
	{"storage is switched on", nothing, enabled, nil, []announce.Service{"download_storage", "upload_storage"}, nil, nil},
	{"switched to read-only", enabled, readOnly, []announce.Service{"download_storage", "upload_storage"},
		[]announce.Service{"download_storage"}, []announce.Service{"upload_storage"}, nil},
	{"read-only from the start", readOnly, readOnly, []announce.Service{"download_storage"}, []announce.Service{"download_storage"}, nil, nil},
	{"no longer read-only", readOnly, enabled, []announce.Service{"download_storage"},
		[]announce.Service{"download_storage", "upload_storage"}, nil, nil},
	{"switched off", enabled, switchOff, []announce.Service{"download_storage", "upload_storage"}, nil,
		[]announce.Service{"download_storage", "upload_storage"}, nil},
	{"Tahoe-LAFS's storage beside it", both(enabled, offering("storage")), both(readOnly, offering("storage")),
		[]announce.Service{"download_storage", "storage", "upload_storage"}, []announce.Service{"download_storage", "storage"},
		[]announce.Service{"upload_storage"}, nil},
	{"an offer goes and another comes", offering("helper"), offering("introducer"), []announce.Service{"helper"},
		[]announce.Service{"introducer"}, []announce.Service{"helper"}, nil},
}

func TestTransitions(t *testing.T) {
	for _, way := range []string{"reload", "restart"} {
		for _, c := range transitions {
			t.Run(way+"/"+c.name, func(t *testing.T) {
				in, s := startIntroducer(t), newSite(t, "n")
				before, after := s.config(in), s.config(in)
				c.before(before)
				c.after(after)

				n := s.open(before)
				settle(t, n)
				if diff := cmp.Diff(c.first, in.live(s.key.PeerID())); diff != "" {
					t.Fatalf("offered before (-want +got):\n%s", diff)
				}
				if way == "reload" {
					if err := n.Reload(t.Context(), after); err != nil {
						t.Fatal(err)
					}
				} else {
					if err := n.Close(); err != nil {
						t.Fatal(err)
					}
					n = s.open(after)
				}
				settle(t, n)
				if diff := cmp.Diff(c.then, in.live(s.key.PeerID())); diff != "" {
					t.Errorf("offered after (-want +got):\n%s", diff)
				}
				var gone []announce.Service
				for _, o := range n.Introducer.Status().Own {
					if o.Withdrawn {
						gone = append(gone, o.Service)
					}
				}
				if diff := cmp.Diff(c.gone, gone); diff != "" {
					t.Errorf("withdrawn (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.wants, wants(n)); diff != "" {
					t.Errorf("subscribed to (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What has not changed is not said again: a restart or a reload must not grow the log.
func TestNothingNewIsNotSaid(t *testing.T) {
	in, s := startIntroducer(t), newSite(t, "n")
	config := s.config(in)
	enabled(config)
	n := s.open(config)
	settle(t, n)
	said := in.Info().Last
	if err := n.Reload(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = s.open(config)
	settle(t, n)
	if got := in.Info().Last; got != said {
		t.Errorf("the log is at revision %d, and was at %d", got, said)
	}

	changed := *config
	changed.Storage.Endpoints = []string{"https://192.0.2.8:3457/"}
	if err := n.Reload(t.Context(), &changed); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if got := in.Info().Last; got != said+2 {
		t.Errorf("the server moved: the log is at revision %d, want %d, both services announced anew", got, said+2)
	}
}

// A reload takes introducers away and adds others, which then hear everything.
func TestReloadIntroducers(t *testing.T) {
	one, two, s := startIntroducer(t), startIntroducer(t), newSite(t, "n")
	config := s.config(one)
	readOnly(config)
	config.Wants = []announce.Service{"storage"}
	registrytest.Publish(t, two.Registry, registrytest.Sign(t, registrytest.Key("other"), announce.Announcement{Service: "storage", Seqnum: 1}))
	n := s.open(config)
	settle(t, n)

	config = s.config(two)
	readOnly(config)
	config.Wants = []announce.Service{"storage"}
	if err := n.Reload(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	settle(t, n)
	if diff := cmp.Diff([]announce.Service{"download_storage"}, two.live(s.key.PeerID())); diff != "" {
		t.Errorf("at the new one (-want +got):\n%s", diff)
	}
	if err := n.Introducer.WaitPeers(withPatience(t), "storage", 1); err != nil {
		t.Errorf("from the new one: %v", err)
	}
}

// What a running node cannot follow, or nobody could, leaves everything as it was.
func TestRefusedReload(t *testing.T) {
	in, s := startIntroducer(t), newSite(t, "n")
	good := func() *node.Config {
		c := s.config(in)
		readOnly(c)
		c.Nickname, c.Wants = "n", []announce.Service{"storage"}
		return c
	}
	if err := announce.CreateKeyFile(filepath.Join(s.dir, "other.privkey"), registrytest.Key("other")); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := s.open(good())
	settle(t, n)
	for _, c := range []struct {
		name   string
		change change
		want   error // nil: any
	}{
		{"no introducer", func(c *node.Config) { c.Introducers = nil }, node.ErrInvalid},
		{"no key file", func(c *node.Config) { c.Key = filepath.Join(s.dir, "none") }, node.ErrInvalid},
		{"another key", func(c *node.Config) { c.Key = filepath.Join(s.dir, "other.privkey") }, node.ErrRestart},
		{"no key", func(c *node.Config) { c.Key, c.Storage.Enabled = "", false }, node.ErrRestart},
		{"another state directory", func(c *node.Config) { c.State += "2" }, node.ErrRestart},
		{"no nickname", func(c *node.Config) { c.Nickname = "" }, node.ErrRestart},
		{"a port that is taken", func(c *node.Config) { c.Listen = taken.Addr().String() }, nil},
	} {
		config := good()
		config.Storage.ReadOnly, config.Wants = false, nil
		c.change(config)
		if err := n.Reload(t.Context(), config); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if own := n.Introducer.Status().Own; len(own) != 1 || own[0].Service != "download_storage" {
			t.Errorf("%s: it says %+v", c.name, own)
		}
		if diff := cmp.Diff([]announce.Service{"storage"}, wants(n)); diff != "" {
			t.Errorf("%s: subscribed to (-want +got):\n%s", c.name, diff)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(t.Context(), good()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

// A node opens while nobody answers, and says what it has to say once somebody does.
func TestOpensAlone(t *testing.T) {
	s := newSite(t, "n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := s.config(&introducer{url: "http://" + l.Addr().String()})
	readOnly(config)
	config.Wants = []announce.Service{"storage"}
	n := s.open(config)
	if own := n.Introducer.Status().Own; len(own) != 1 || !own[0].Current {
		t.Errorf("it says %+v, want download_storage", own)
	}

	reg := registrytest.New(t)
	registrytest.Publish(t, reg, registrytest.Sign(t, registrytest.Key("other"), announce.Announcement{Service: "storage", Seqnum: 1}))
	server := rpc.New(reg, rpc.Options{}).NewServer(rpc.ServerOptions{})
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	settle(t, n)
	if err := n.Introducer.WaitSynced(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	// The next run knows the grid though nobody answers.
	n = s.open(config)
	if got := n.Introducer.Peers("storage"); len(got) != 1 || got[0].ID != registrytest.Key("other").PeerID() {
		t.Errorf("from its state directory it knows %v", got)
	}
}

// A node that leaves takes back what it said, everywhere.
func TestWithdraw(t *testing.T) {
	one, two, s := startIntroducer(t), startIntroducer(t), newSite(t, "n")
	config := s.config(one, two)
	enabled(config)
	n := s.open(config)
	settle(t, n)
	if err := n.Withdraw(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	for i, in := range []*introducer{one, two} {
		if got := in.live(s.key.PeerID()); got != nil {
			t.Errorf("introducer %d still has %v", i, got)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	// A later run announces again, with numbers that beat the withdrawals.
	settle(t, s.open(config))
	if diff := cmp.Diff([]announce.Service{"download_storage", "upload_storage"}, one.live(s.key.PeerID())); diff != "" {
		t.Errorf("announced again (-want +got):\n%s", diff)
	}

	// Nobody answers: it ends with its context.
	one.stop()
	two.stop()
	s = newSite(t, "m")
	config = s.config(one, two)
	enabled(config)
	n = s.open(config)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := n.Withdraw(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: got %v", err)
	}
}

// Closed while one introducer has not heard yet, Withdraw does not say that all have.
func TestWithdrawClosed(t *testing.T) {
	one, s := startIntroducer(t), newSite(t, "n")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	config := s.config(one, &introducer{url: "http://" + silent.Addr().String()})
	readOnly(config)
	n := s.open(config)
	withdrawn := make(chan error, 1)
	go func() { withdrawn <- n.Withdraw(withPatience(t)) }()
	for status := range n.Introducer.Statuses(withPatience(t)) {
		if o := status.Own[0]; o.Withdrawn && o.Outcomes[one.url].Accepted {
			break
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-withdrawn; !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	in, s := startIntroducer(t), newSite(t, "n")
	if _, err := node.Open(t.Context(), &node.Config{}, node.Options{}); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("an empty configuration: got %v", err)
	}
	config := s.config(in)
	s.open(config)
	if n, err := node.Open(t.Context(), config, node.Options{}); err == nil {
		n.Close()
		t.Error("two nodes opened one state directory")
	}
	// A port that is taken gives the state directory back.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config = s.config(in)
	config.State, config.Listen = filepath.Join(s.dir, "state2"), taken.Addr().String()
	if _, err := node.Open(t.Context(), config, node.Options{}); err == nil {
		t.Error("a port that is taken was opened")
	}
	taken.Close()
	s.open(config)
}

// A program that embeds a node links nothing of the server's.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path := range strings.FieldsSeq(string(out)) {
		for _, not := range []string{"cockroachdb/pebble", "bbolt", "introducer/registry", "introducer/rpc", "introducer/store", "introducer/wal", "introducer/datadir"} {
			if strings.Contains(path, not) {
				t.Errorf("it links %s", path)
			}
		}
	}
}

// A client of the grid, as a file has it.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "node.toml")
	if err := os.WriteFile(path, []byte(`
introducers = ["http://127.0.0.1:7271"]
wants = ["upload_storage"]
`), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	config, err := node.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := node.Open(context.Background(), config, node.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Close()
	storageIndex := make([]byte, 16)
	for peer := range n.Introducer.PermutedPeers(announce.UploadStorage, storageIndex) {
		fmt.Println("would ask", peer)
	}
	fmt.Println("knows", len(n.Introducer.Peers(announce.UploadStorage)), "peers")
	// Output: knows 0 peers
}

// An introducer that was down when it was last tried, and is up again, hears of the withdrawal too: that
// an earlier attempt failed says nothing of this one.
func TestWithdrawFromOneThatCameBack(t *testing.T) {
	one, s, reg := startIntroducer(t), newSite(t, "n"), registrytest.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	two := &introducer{Registry: reg, url: "http://" + l.Addr().String()}
	start := func(answer <-chan struct{}) (stop func()) { // it answers once answer is closed
		server := rpc.New(reg, rpc.Options{}).NewServer(rpc.ServerOptions{})
		next := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-answer; next.ServeHTTP(w, r) })
		served := make(chan struct{})
		go func() { defer close(served); server.Serve(l) }()
		return func() { server.Close(); <-served }
	}
	now := make(chan struct{})
	close(now)
	stop := start(now)
	config := s.config(one, two)
	readOnly(config)
	n := s.open(config)
	settle(t, n)
	stop()
	moved := *config
	moved.Storage.Endpoints = []string{"https://192.0.2.8:3457/"}
	if err := n.Reload(t.Context(), &moved); err != nil {
		t.Fatal(err)
	}
	for status := range n.Introducer.Statuses(withPatience(t)) {
		if status.Introducers[1].PublishErr != nil {
			break
		}
	}

	answer := make(chan struct{})
	if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer start(answer)()
	withdrawn := make(chan error, 1)
	go func() { withdrawn <- n.Withdraw(withPatience(t)) }()
	for status := range n.Introducer.Statuses(withPatience(t)) {
		if o := status.Own[0]; o.Withdrawn && o.Outcomes[one.url].Accepted {
			break
		}
	}
	close(answer)
	if err := <-withdrawn; err != nil {
		t.Fatal(err)
	}
	if got := two.live(s.key.PeerID()); got != nil {
		t.Errorf("Withdraw returned, and one that answers still has %v", got)
	}
}

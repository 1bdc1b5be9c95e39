package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/web"
)

// grid is a Source of fixed content.
type grid struct {
	status   web.Status
	services []web.Service
	peers    []web.Peer // of the service "storage"
	err      error
	asked    []string // what Peers was asked for
	visitors web.Visitors
}

func (g *grid) Status() web.Status      { return g.status }
func (g *grid) Services() []web.Service { return g.services }

func (g *grid) Visitors(limit int) web.Visitors {
	g.asked = append(g.asked, fmt.Sprint("visitors limit ", limit))
	return g.visitors
}

func (g *grid) Peers(service, after string, limit int) (web.Page, error) {
	g.asked = append(g.asked, fmt.Sprint(service, " after ", after, " limit ", limit))
	if g.err != nil {
		return web.Page{}, g.err
	}
	if service != "storage" {
		return web.Page{}, nil
	}
	page := web.Page{Total: len(g.peers)}
	for _, p := range g.peers {
		if p.ID <= after {
			continue
		}
		if len(page.Peers) == limit {
			page.More = true
			break
		}
		page.Peers = append(page.Peers, p)
	}
	return page, nil
}

var started = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func newGrid() *grid {
	return &grid{
		status: web.Status{
			Version: "v1.2.3", LogID: "00112233445566778899aabbccddeeff", FirstRevision: 1, LastRevision: 1234567,
			Started: started, Uptime: 26*time.Hour + 5*time.Minute, ReplayTime: 3200 * time.Microsecond, Peers: 3,
		},
		services: []web.Service{{Name: "helper", Subscribers: 1}, {Name: "storage", Peers: 3, Subscribers: 1200}},
		peers: []web.Peer{
			{ID: "v0-aaaa", Nickname: "first", Seqnum: 7, Announced: started, Endpoints: []string{"pb://tub@tcp:192.0.2.7:3457/swissnum"}},
			{ID: "v0-bbbb", Seqnum: 1 << 62, Announced: started, Expires: started.Add(time.Hour)},
			{ID: "v0-cccc", Announced: started, Damaged: "revision 9: checksum"},
		},
	}
}

func get(t *testing.T, src web.Source, method, target string) *http.Response {
	t.Helper()
	rec := httptest.NewRecorder()
	web.Handler(src, nil).ServeHTTP(rec, httptest.NewRequest(method, target, nil))
	return rec.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
	return text
}

// text is a page without its markup, its white space folded.
func text(page string) string {
	page = regexp.MustCompile(`(?s)<style>.*</style>|<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(page), " ")
}

func TestStatusPage(t *testing.T) {
	res := get(t, newGrid(), "GET", "/plain")
	if res.StatusCode != 200 {
		t.Fatalf("got status %d", res.StatusCode)
	}
	got := text(body(t, res))
	want := "Introducer Introducer Nodes announce their services here, and find each other. Live page This introducer " +
		"Version v1.2.3 Peers 3 Revisions 1 to 1,234,567 Started 2026-11-23 09:00:00 UTC Running for 1 d 2 h " +
		"Last replay took 3.2ms Log id 00112233445566778899aabbccddeeff " +
		"Services Service Peers Subscribers helper 0 1 storage 3 1,200"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func TestPeersOfAService(t *testing.T) {
	got := text(body(t, get(t, newGrid(), "GET", "/plain?service=storage")))
	_, got, _ = strings.Cut(got, "1,200 ")
	want := "Peers of storage 3 of 3, by peer id. Endpoints show their host only. " +
		"Nickname Peer id Seqnum Announced (UTC) Expires (UTC) Endpoints " +
		"first v0-aaaa 7 2026-11-23 09:00:00 never pb://192.0.2.7:3457/… " +
		"none v0-bbbb 4,611,686,018,427,387,904 2026-11-23 09:00:00 2026-11-23 10:00:00 none " +
		"none v0-cccc 0 2026-11-23 09:00:00 never damaged: revision 9: checksum"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}

func TestPaging(t *testing.T) {
	g := newGrid()
	g.peers = nil
	for i := range web.PageSize + 5 {
		g.peers = append(g.peers, web.Peer{ID: fmt.Sprintf("v0-%05d", i), Announced: started})
	}
	first := body(t, get(t, g, "GET", "/plain?service=storage"))
	if got := strings.Count(first, `class="id"`); got != web.PageSize {
		t.Errorf("first page: got %d peers, want %d", got, web.PageSize)
	}
	next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(first)
	if next == nil {
		t.Fatal("the first page has no link to the next")
	}
	target, _, _ := strings.Cut(strings.ReplaceAll(next[1], "&amp;", "&"), "#")
	second := body(t, get(t, g, "GET", target))
	if got := strings.Count(second, `class="id"`); got != 5 {
		t.Errorf("second page: got %d peers, want 5", got)
	}
	if strings.Contains(second, `rel="next"`) {
		t.Error("the last page has a link to a next one")
	}
	want := []string{"storage after  limit 200", "storage after v0-00199 limit 200"}
	if diff := cmp.Diff(want, g.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// What strangers announce stays text: no markup, no link, no turned reading direction.
func TestHostileText(t *testing.T) {
	plain := body(t, get(t, newGrid(), "GET", "/plain?service=storage"))
	check := func(name string, g *grid) {
		page := body(t, get(t, g, "GET", "/plain?service=storage"))
		for _, tag := range []string{"<script", "<img", "<style", "<a ", "<iframe", "<svg", "<form"} {
			if got, want := strings.Count(page, tag), strings.Count(plain, tag); got != want {
				t.Errorf("%s: %d of %s, want %d", name, got, tag, want)
			}
		}
		for _, r := range page {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: %U reached the page", name, r)
			}
		}
		if strings.Contains(page, strings.Repeat("\u0301", 120)) {
			t.Errorf("%s: combining marks pile up on the page", name)
		}
	}
	for _, a := range hostile(t) {
		said, err := announce.Parse([]byte(a.Message))
		if (err == nil) != a.Accepted {
			t.Errorf("%s: got %v, want it accepted: %t", a.Name, err, a.Accepted)
		}
		if err != nil {
			continue
		}
		g := newGrid()
		g.peers = []web.Peer{{ID: "v0-aaaa", Nickname: said.Nickname, Seqnum: said.Seqnum, Announced: started, Endpoints: said.AllEndpoints()}}
		check(a.Name, g)
		// The introducer's own words may quote a stranger's.
		g = newGrid()
		g.status.Quarantined = said.Nickname
		g.peers = []web.Peer{{ID: "v0-bbbb", Announced: started, Damaged: said.Nickname}}
		check(a.Name+", quoted", g)
	}
	g := newGrid()
	g.peers = []web.Peer{{ID: "v0-aaaa", Nickname: "\xff\xfe", Announced: started, Endpoints: []string{"\xff", "pb://\xff/"}}}
	check("not UTF-8", g)
}

// hostileAnnouncement is one of testdata/hostile.json: what somebody could sign and publish to do harm to
// whoever looks at it. The tests in browser/ have the same.
type hostileAnnouncement struct {
	Name     string `json:"name"`
	Accepted bool   `json:"accepted"` // an introducer takes it
	Message  string `json:"message"`  // what is signed
}

func hostile(t *testing.T) []hostileAnnouncement {
	t.Helper()
	b, err := os.ReadFile("testdata/hostile.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []hostileAnnouncement
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// The policy allows the page's own style and nothing else, and the page needs nothing else.
func TestPolicy(t *testing.T) {
	res := get(t, newGrid(), "GET", "/plain?service=storage")
	page := body(t, res)
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("no style in the page")
	}
	sum := sha256.Sum256([]byte(style[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if diff := cmp.Diff(want, res.Header.Get("Content-Security-Policy")); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"style=", "src=", "@import", "url(", "<link", "<script", "on="} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q, which the policy forbids", bad)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	bad := newGrid()
	bad.err = fmt.Errorf("no service name: %w", web.ErrNotFound)
	broken := newGrid()
	broken.err = errors.New("the secret reason")
	stopping := newGrid()
	stopping.status.NotReady = "stopping"
	quarantined := newGrid()
	quarantined.status.Quarantined = "records are missing"
	quarantined.status.NotReady = quarantined.status.Quarantined
	empty := &grid{status: newGrid().status}
	empty.status.LastRevision = 0
	for _, c := range []struct {
		name, method, target string
		src                  web.Source
		code                 int
		has                  string
	}{
		{"health", "GET", "/healthz", stopping, 200, "ok\n"},
		{"ready", "GET", "/readyz", newGrid(), 200, "ready\n"},
		{"stopping", "GET", "/readyz", stopping, 503, "stopping\n"},
		{"quarantined", "GET", "/readyz", quarantined, 503, "records are missing\n"},
		{"quarantined page", "GET", "/plain", quarantined, 200, "<strong>Quarantined.</strong> records are missing"},
		{"stopping page", "GET", "/plain", stopping, 200, "<strong>Not ready.</strong> stopping"},
		{"nothing announced", "GET", "/plain", empty, 200, "Nobody has announced anything yet."},
		{"nothing written", "GET", "/plain", empty, 200, "<dt>Revisions</dt><dd>none yet</dd>"},
		{"service nobody offers", "GET", "/plain?service=nobody", newGrid(), 200, "No peers."},
		{"after the last", "GET", "/plain?service=storage&after=v0-z", newGrid(), 200, "No peers after this one."},
		{"no service name", "GET", "/plain?service=A%20B", bad, 404, "404 page not found\n"},
		{"fault", "GET", "/plain?service=storage", broken, 500, "internal error\n"},
		{"other path", "GET", "/index.html", newGrid(), 404, "404 page not found\n"},
		{"post", "POST", "/plain", newGrid(), 405, "only GET and HEAD\n"},
		{"delete", "DELETE", "/healthz", newGrid(), 405, "only GET and HEAD\n"},
		{"head", "HEAD", "/plain", newGrid(), 200, ""},
	} {
		res := get(t, c.src, c.method, c.target)
		page := body(t, res)
		if res.StatusCode != c.code || !strings.Contains(page, c.has) {
			t.Errorf("%s: got %d, want %d with %q in\n%s", c.name, res.StatusCode, c.code, c.has, page)
		}
		if strings.Contains(page, "secret reason") {
			t.Errorf("%s: the caller was told %q", c.name, page)
		}
	}
}

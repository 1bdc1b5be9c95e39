package web_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/web"
)

// fetch is get with a header, "name: value".
func fetch(t *testing.T, src web.Source, target string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req := httptest.NewRequest("GET", target, nil)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	web.Handler(src, nil).ServeHTTP(rec, req)
	b, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result(), b
}

var liveFiles = map[string]string{
	"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
	"/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
}

func TestLivePageFiles(t *testing.T) {
	whole := 0
	for path, contentType := range liveFiles {
		res, plain := fetch(t, newGrid(), path)
		zippedRes, zipped := fetch(t, newGrid(), path, "Accept-Encoding: br;q=1, gzip;q=0.8")
		whole += len(zipped)
		z, err := gzip.NewReader(strings.NewReader(string(zipped)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		unzipped, err := io.ReadAll(z)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if string(unzipped) != string(plain) || len(plain) == 0 {
			t.Errorf("%s: compressed it is another file", path)
		}
		for name, want := range map[string]string{
			"Content-Type": contentType, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache",
			"Vary": "Accept-Encoding", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			for _, r := range []*http.Response{res, zippedRes} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
				}
			}
		}
		if res.Header.Get("Content-Encoding") != "" || zippedRes.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: encodings %q and %q", path, res.Header.Get("Content-Encoding"), zippedRes.Header.Get("Content-Encoding"))
		}
		// Whoever has it already is told so; the two forms do not stand for one another.
		if r, b := fetch(t, newGrid(), path, "If-None-Match: "+res.Header.Get("Etag")); r.StatusCode != 304 || len(b) > 0 {
			t.Errorf("%s: with its tag: got %d and %d bytes, want 304", path, r.StatusCode, len(b))
		}
		if r, _ := fetch(t, newGrid(), path, "If-None-Match: "+zippedRes.Header.Get("Etag")); r.StatusCode != 200 {
			t.Errorf("%s: with the other form's tag: got %d, want 200", path, r.StatusCode)
		}
		for _, refused := range []string{"", "gzip;q=0", "gzip; q=0.000", "br, deflate", "xgzip"} {
			if r, _ := fetch(t, newGrid(), path, "Accept-Encoding: "+refused); r.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s: sent compressed to a reader of %q", path, refused)
			}
		}
	}
	if whole > 200_000 {
		t.Errorf("the page weighs %d bytes compressed, want less than 200,000", whole)
	}
}

// What index.html asks for is there, from here, and allowed; it has no script or style of its own.
func TestLivePolicy(t *testing.T) {
	res, page := fetch(t, newGrid(), "/")
	policy := strings.Split(res.Header.Get("Content-Security-Policy"), "; ")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'",
		"form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !slices.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(page), -1) {
		if r, _ := fetch(t, newGrid(), m[1]); r.StatusCode != 200 {
			t.Errorf("index.html names %s, which is answered with %d", m[1], r.StatusCode)
		}
	}
	for _, bad := range []string{"<style", "style=", "://", "<script>", "onclick"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("index.html has %q", bad)
		}
	}
	if !strings.Contains(string(page), `<noscript><p class="alarm">`) {
		t.Error("index.html says nothing to browsers without a script")
	}
}

func TestStatusJSON(t *testing.T) {
	g := newGrid()
	g.status.Quarantined, g.status.NotReady = "records are missing", "records are missing"
	many := make([]string, 20)
	for i := range many {
		many[i] = "s" + strings.Repeat("x", i)
	}
	g.visitors = web.Visitors{
		Connected:   300,
		Subscribers: []web.Subscriber{{Nickname: "<b>", Version: "1", Services: many, Since: started}, {Since: started.Add(time.Second)}},
		Publishers:  []web.Publisher{{ID: "v0-aaaa", Published: started, Announcements: 7}},
	}
	res, b := fetch(t, g, "/status.json")
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("it is %q", got)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("it may be kept: %q", got)
	}
	want := `{"version":"v1.2.3","log_id":"00112233445566778899aabbccddeeff","first_revision":1,"last_revision":1234567,` +
		`"started":"2026-11-23T09:00:00Z","uptime_seconds":93900,"replay_seconds":0.0032,"peers":3,` +
		`"quarantined":"records are missing","not_ready":"records are missing",` +
		`"services":[{"service":"helper","peers":0,"subscribers":1},{"service":"storage","peers":3,"subscribers":1200}],"more_services":0,` +
		`"visitors":{"connected":300,"subscribers":[{"nickname":"\u003cb\u003e","version":"1","services":` + jsonText(t, many[:16]) +
		`,"more_services":4,"since":"2026-11-23T09:00:00Z"},{"nickname":"","version":"","services":[],"more_services":0,"since":"2026-11-23T09:00:01Z"}],` +
		`"publishers":[{"peer_id":"v0-aaaa","published":"2026-11-23T09:00:00Z","announcements":7}]}}` + "\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("status.json (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"visitors limit 200"}, g.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	// Anybody can make up services.
	g = newGrid()
	g.services = make([]web.Service, 1003)
	_, b = fetch(t, g, "/status.json")
	if got := strings.Count(string(b), `{"service":`); got != 1000 || !strings.Contains(string(b), `"more_services":3,`) {
		t.Errorf("of 1,003 services %d are listed: %s", got, b)
	}
	if _, b := fetch(t, g, "/plain"); !strings.Contains(string(b), "And 3 more services.") {
		t.Error("the plain page does not say that there are more services")
	}
	// What there is none of is an empty list, never null.
	if _, b := fetch(t, &grid{status: newGrid().status}, "/status.json"); strings.Contains(string(b), "null") {
		t.Errorf("of an empty introducer: %s", b)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

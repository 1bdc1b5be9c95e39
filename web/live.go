package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// dist is the live page as `make web` builds it from page/.
//
//go:embed dist/index.html dist/app.js dist/style.css dist/icon.svg
var dist embed.FS

// livePolicy allows the page its own script, style and icon, and calls to the introducer that it came
// from. No text can become script, or markup, by whatever mistake of ours: trusted types forbid the
// ways there are.
const livePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// liveFiles are the files of the live page :: path → file.
func liveFiles() map[string]*file {
	return map[string]*file{
		"/{$}":       newFile("index.html", "text/html; charset=utf-8"),
		"/app.js":    newFile("app.js", "text/javascript; charset=utf-8"),
		"/style.css": newFile("style.css", "text/css; charset=utf-8"),
		"/icon.svg":  newFile("icon.svg", "image/svg+xml"),
	}
}

// file is a file of the live page, in the two forms that it is sent in.
type file struct {
	contentType string
	tag         string // of what is in it
	plain       []byte
	zipped      func() []byte // made when it is asked for first
}

func newFile(name, contentType string) *file {
	body, err := dist.ReadFile("dist/" + name)
	if err != nil {
		panic(err) // the compiler has put it there
	}
	sum := sha256.Sum256(body)
	return &file{
		contentType: contentType,
		tag:         hex.EncodeToString(sum[:12]),
		plain:       body,
		zipped: sync.OnceValue(func() []byte {
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
			if err != nil {
				panic(err) // there is such a level
			}
			z.Write(body) // a buffer takes all
			z.Close()
			return b.Bytes()
		}),
	}
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, tag := f.plain, f.tag
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		body, tag = f.zipped(), f.tag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	// The browser keeps it and asks each time whether it is still this: the names stay when the
	// introducer is upgraded.
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", `"`+tag+`"`)
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", livePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip looks for gzip among the codings of RFC 9110, section 12.5.3. Whoever has a weight for it
// gets it too, unless that is 0.
func acceptsGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if name == "gzip" {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// How many services, and subscribers, and publishers, status.json lists at most. Anybody can make some up.
const (
	ListedServices = 1000
	ListedVisitors = 200
)

// statusJSON is what status.json holds; see the package comment.
type statusJSON struct {
	Version       string    `json:"version"`
	LogID         string    `json:"log_id"`
	FirstRevision uint64    `json:"first_revision"`
	LastRevision  uint64    `json:"last_revision"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	ReplaySeconds float64   `json:"replay_seconds"`
	Peers         int       `json:"peers"`
	Quarantined   string    `json:"quarantined"`
	NotReady      string    `json:"not_ready"`
	Services      []Service `json:"services"`
	More          int       `json:"more_services"`
	Visitors      Visitors  `json:"visitors"`
}

// servicesOfOne is how many services of one subscriber are listed: it may name a thousand.
const servicesOfOne = 16

func (s *Subscriber) bound() {
	s.Services, s.More = first(s.Services, servicesOfOne)
}

// first is a copy of the first few of all, never nil, and how many are left out.
func first[T any](all []T, limit int) ([]T, int) {
	n := min(len(all), limit)
	return append([]T{}, all[:n]...), len(all) - n
}

func serveStatus(w http.ResponseWriter, _ *http.Request, src Source, logger *slog.Logger) {
	s := src.Status()
	out := statusJSON{
		Version: s.Version, LogID: s.LogID, FirstRevision: s.FirstRevision, LastRevision: s.LastRevision,
		Started: s.Started.UTC(), UptimeSeconds: s.Uptime.Seconds(), ReplaySeconds: s.ReplayTime.Seconds(),
		Peers: s.Peers, Quarantined: s.Quarantined, NotReady: s.NotReady,
		Visitors: src.Visitors(ListedVisitors),
	}
	out.Services, out.More = first(src.Services(), ListedServices)
	out.Visitors.Subscribers, _ = first(out.Visitors.Subscribers, ListedVisitors)
	out.Visitors.Publishers, _ = first(out.Visitors.Publishers, ListedVisitors)
	for i := range out.Visitors.Subscribers {
		out.Visitors.Subscribers[i].bound()
	}
	body, err := json.Marshal(out)
	if err != nil {
		logger.Error("writing status.json", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	respond(w, "application/json", append(body, '\n'), logger)
}

// Package web is the status page of an introducer: which introducer this is, where its log stands, which
// services it knows and who offers them. It is for a person with a browser, on whatever screen.
//
//	GET /                     the introducer, and its services
//	GET /?service=NAME        the same, and the first peers of a service
//	GET /?service=NAME&after=PEERID
//	                          the peers after that one, by peer id
//	GET /healthz              200 while the process answers
//	GET /readyz               200, or 503 and the reason: it is stopping, or refuses to publish
//
// Anything else is not found, and any method but GET and HEAD is refused.
//
// What it promises: nothing that an announcement says runs in the browser, loads anything, is a link, or
// changes how the page around it reads. The page is plain HTML with its style in it; its
// Content-Security-Policy allows that style, by hash, and nothing else. Endpoints are shown as scheme and
// host alone, since a FURL is a secret. No page holds more than [PageSize] peers.
package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
)

// PageSize is how many peers one page lists.
const PageSize = 200

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Handler returns the page of src, and the two health checks. Errors of src that are not the caller's
// fault go to logger (nil: nowhere) and show as 500 without their text.
func Handler(src Source, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	hash := sha256.Sum256([]byte(pageCSS))
	return &handler{
		src:    src,
		logger: logger,
		page:   template.Must(template.New("page").Funcs(functions()).Parse(pageHTML)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

type handler struct {
	src    Source
	logger *slog.Logger
	page   *template.Template
	policy string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/":
		h.serveStatus(w, r)
	case "/healthz":
		fmt.Fprintln(w, "ok")
	case "/readyz":
		if reason := h.src.Status().NotReady; reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	default:
		http.NotFound(w, r)
	}
}

func (h *handler) serveStatus(w http.ResponseWriter, r *http.Request) {
	v := view{Style: template.CSS(pageCSS), Status: h.src.Status(), Services: h.src.Services()}
	if name := r.URL.Query().Get("service"); name != "" {
		page, err := h.src.Peers(name, r.URL.Query().Get("after"), PageSize)
		switch {
		case errors.Is(err, ErrNotFound):
			http.NotFound(w, r)
			return
		case err != nil:
			h.logger.Error("reading peers for the status page", "service", name, "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		v.Service, v.Page = name, &page
	}
	// Into memory first: an error half-way through a page could not be told any more.
	var b bytes.Buffer
	if err := h.page.Execute(&b, v); err != nil {
		h.logger.Error("rendering the status page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", h.policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	if _, err := w.Write(b.Bytes()); err != nil {
		h.logger.Debug("sending the status page", "err", err)
	}
}

// view is what page.html is given.
type view struct {
	Style    template.CSS
	Status   Status
	Services []Service
	Service  string // whose peers are listed; "" for none
	Page     *Page  // nil for none
}

// NextURL leads to the page after this one.
func (v view) NextURL() string {
	last := v.Page.Peers[len(v.Page.Peers)-1]
	return "/?" + url.Values{"service": {v.Service}, "after": {last.ID}}.Encode()
}

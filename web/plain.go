package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
)

// PageSize is how many peers one plain page lists.
const PageSize = 200

//go:embed plain.html
var plainHTML string

//go:embed plain.css
var plainCSS string

// plain is the page for browsers without a script, and for those who read it in a terminal.
type plain struct {
	src    Source
	logger *slog.Logger
	page   *template.Template
	policy string
}

func newPlain(src Source, logger *slog.Logger) *plain {
	hash := sha256.Sum256([]byte(plainCSS))
	return &plain{
		src:    src,
		logger: logger,
		page:   template.Must(template.New("page").Funcs(functions()).Parse(plainHTML)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

func (h *plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := view{Style: template.CSS(plainCSS), Status: h.src.Status()}
	v.Services, v.More = first(h.src.Services(), ListedServices)
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
	w.Header().Set("Content-Security-Policy", h.policy)
	respond(w, "text/html; charset=utf-8", b.Bytes(), h.logger)
}

// view is what plain.html is given.
type view struct {
	Style    template.CSS
	Status   Status
	Services []Service
	More     int    // services that are left out
	Service  string // whose peers are listed; "" for none
	Page     *Page  // nil for none
}

// NextURL leads to the page after this one.
func (v view) NextURL() string {
	last := v.Page.Peers[len(v.Page.Peers)-1]
	return "/plain?" + url.Values{"service": {v.Service}, "after": {last.ID}}.Encode()
}

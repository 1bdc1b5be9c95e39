// Package web is the status page of an introducer: which introducer this is, where its log stands, which
// services it knows and who offers them. It is for a person with a browser, on whatever screen.
//
//	GET /                     the live page, and its parts beside it:
//	GET /app.js, /style.css, /icon.svg
//	GET /status.json          what the live page asks for and the wire contract does not have
//	GET /plain                the page without a script: the introducer, and its services
//	GET /plain?service=NAME   the same, and the first peers of a service
//	GET /plain?service=NAME&after=PEERID
//	                          the peers after that one, by peer id
//	GET /healthz              200 while the process answers
//	GET /readyz               200, or 503 and the reason: it is stopping, or refuses to publish
//
// Anything else is not found, and any method but GET and HEAD is refused.
//
// The live page subscribes as every node does, and believes as little: it verifies each announcement in
// the browser. Its source is in page/, its build in dist/ and in this binary.
//
// What it promises: nothing that an announcement says runs in the browser, loads anything, is a link, or
// changes how the page around it reads, and nothing is asked of another host. The Content-Security-Policy
// allows the page's own files and nothing else; that of the plain page its own style alone, by hash.
// Endpoints are shown as scheme and host alone, since a FURL is a secret; the live page shows the rest to
// whoever asks for it. No plain page holds more than [PageSize] peers, no list more than [ListedServices]
// services or [ListedVisitors] visitors of each kind.
//
// # status.json
//
// One object. Times are RFC 3339, UTC; what is not there is "" or [].
//
//	version, log_id (hex)           strings
//	first_revision, last_revision   numbers; last_revision is 0 for an empty log
//	started                         time
//	uptime_seconds, replay_seconds  numbers
//	peers                           number: live, over all services
//	quarantined, not_ready          strings: why; "" when it is not so
//	services, more_services         [{service, peers, subscribers}], by name; how many are left out
//	visitors                        {connected,
//	                                 subscribers: [{nickname, version, services, more_services, since}],
//	                                 publishers: [{peer_id, published, announcements}]}
package web

import (
	"log/slog"
	"net/http"
)

// Handler returns the pages of src, and the two health checks. Errors of src that are not the caller's
// fault go to logger (nil: nowhere) and show as 500 without their text.
func Handler(src Source, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	for path, f := range liveFiles() {
		mux.Handle(path, f)
	}
	mux.HandleFunc("/status.json", func(w http.ResponseWriter, r *http.Request) { serveStatus(w, r, src, logger) })
	mux.Handle("/plain", newPlain(src, logger))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, "text/plain; charset=utf-8", []byte("ok\n"), logger)
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := src.Status().NotReady; reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		respond(w, "text/plain; charset=utf-8", []byte("ready\n"), logger)
	})
	return readOnly(mux)
}

// readOnly refuses what would change something, and says what is so of every answer.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// respond sends an answer that is whole already.
func respond(w http.ResponseWriter, contentType string, body []byte, logger *slog.Logger) {
	w.Header().Set("Content-Type", contentType)
	if _, err := w.Write(body); err != nil {
		logger.Debug("sending an answer", "err", err)
	}
}

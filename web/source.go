package web

import (
	"errors"
	"time"
)

// Source is what the page shows. Its methods are called concurrently, once for each request, and should
// not block. Text may be anything: the page takes care of it.
type Source interface {
	Status() Status
	// Services are those known, by name.
	Services() []Service
	// Peers are the peers of a service, by peer id, at most limit of those after the peer id given
	// ("" for the first). A service that nobody offers has none. A name or a peer id that cannot be
	// one wraps ErrNotFound.
	Peers(service, after string, limit int) (Page, error)
	// Visitors are those who talk to the introducer, at most limit of each kind.
	Visitors(limit int) Visitors
}

// ErrNotFound says that there can be no such page.
var ErrNotFound = errors.New("no such page")

// Status says what introducer this is and how it is.
type Status struct {
	Version       string
	LogID         string
	FirstRevision uint64
	LastRevision  uint64
	Started       time.Time
	Uptime        time.Duration
	ReplayTime    time.Duration // what the start took to know every peer
	Peers         int           // live, over all services

	// Quarantined is why publishing is refused until the operator has looked; "" when it is not.
	Quarantined string
	// NotReady is why publishers should go elsewhere or wait; "" when they need not.
	NotReady string
}

// Service is one service type.
type Service struct {
	Name        string `json:"service"`
	Peers       int    `json:"peers"`       // live
	Subscribers int    `json:"subscribers"` // connected now
}

// Visitors are those who talk to the introducer.
type Visitors struct {
	Connected   int          `json:"connected"`   // subscribers, those that are not listed included
	Subscribers []Subscriber `json:"subscribers"` // newest first
	Publishers  []Publisher  `json:"publishers"`  // latest first
}

// Subscriber is one open stream of changes.
type Subscriber struct {
	Nickname string    `json:"nickname"`
	Version  string    `json:"version"`
	Services []string  `json:"services"`      // the first few; none: every one
	More     int       `json:"more_services"` // how many are left out
	Since    time.Time `json:"since"`
}

// Publisher is one whose announcements were taken lately.
type Publisher struct {
	ID            string    `json:"peer_id"` // "v0-…"
	Published     time.Time `json:"published"`
	Announcements uint64    `json:"announcements"` // since the introducer started, or since it was listed
}

// Page is some peers of a service.
type Page struct {
	Peers []Peer
	More  bool // others come after them
	Total int  // of the service
}

// Peer is one peer of a service.
type Peer struct {
	ID        string // "v0-…"
	Nickname  string
	Seqnum    uint64
	Announced time.Time
	Expires   time.Time // zero: never
	Endpoints []string
	// Damaged is why the announcement cannot be shown, "" when it can; nickname and endpoints are not
	// known then.
	Damaged string
}

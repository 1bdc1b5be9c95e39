package client

import (
	"net/http"
	"time"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// ParseOwn reads the file of this node's own announcements and writes it again.
func ParseOwn(text []byte) ([]byte, error) {
	entries, err := parseOwn(text, announce.NewVerifier(0))
	if err != nil {
		return nil, err
	}
	var all []*ownEntry
	for _, e := range entries {
		all = append(all, e)
	}
	return formatOwn(all)
}

// NewHTTPClient is the HTTP client that a Client makes for itself, but for how soon it asks whether a
// connection is alive.
func NewHTTPClient(alive time.Duration) *http.Client { return newHTTPClient(alive) }

// Checks is how many signatures are being verified, or are and have not been applied.
func (c *Client) Checks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.checks)
}

// StopCache makes the cache refuse what follows, as it does when the disk has failed.
func (c *Client) StopCache() error { return c.cache.Close() }

// Begin begins to verify changes of one introducer, as when they have been received.
func (c *Client) Begin(url string, changes []*introducerv1.Change) error {
	for _, x := range c.introducers {
		if x.url == url {
			_, err := x.begin(changes)
			return err
		}
	}
	return ErrNoIntroducer
}

// SetMaxFloors bounds the floors of peers that are gone.
func (c *Client) SetMaxFloors(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.maxFloors = n
}

package client

import (
	"context"
	"fmt"

	"github.com/introducer/introducer/announce"
)

// WaitSynced waits for the first complete picture of each of the services (none: of all that are
// subscribed to): until some introducer has told all it knows of it in this run. What the cache knew does
// not count. It stays so from then on, whatever becomes of the introducer, until the service is no
// longer subscribed to. The error is ErrNotSubscribed, ErrClosed, or ctx's.
func (c *Client) WaitSynced(ctx context.Context, services ...announce.Service) error {
	var missing announce.Service
	err := c.await(ctx, func() (bool, error) {
		wanted := services
		if len(wanted) == 0 {
			wanted = c.services
		}
		for _, s := range wanted {
			if c.ledger.views[s] == nil {
				missing = s
				return true, ErrNotSubscribed
			}
			if !c.synced[s] {
				missing = s
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for all peers of %s: %w", missing, err)
	}
	return nil
}

// WaitPeers waits until the service has at least n peers, from wherever they are known. The error is as
// from [Client.WaitSynced].
func (c *Client) WaitPeers(ctx context.Context, service announce.Service, n int) error {
	known := 0
	err := c.await(ctx, func() (bool, error) {
		v := c.ledger.views[service]
		if v == nil {
			return true, ErrNotSubscribed
		}
		known = v.peers.Len()
		return known >= n, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %d peers of %s, of which %d are known: %w", n, service, known, err)
	}
	return nil
}

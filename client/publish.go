package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/introducer/introducer/announce"
)

// Publish makes the offer known to every introducer, in place of what this node offered of the service
// before, and keeps it known: after reconnects, restarts of introducers, loss of their state or of
// ours, and when its time to live ends, until it is withdrawn, replaced, or the Client closed. It is
// durable in Options.Dir before it is sent. An offer that an earlier run made in the same words is not
// signed again.
//
// Publish returns nil when the first introducer has accepted it. The error wraps [ErrRefused] when
// every introducer has refused it, and ctx's when that ends first; either way the Client goes on trying.
// With a ctx that has ended already it declares the offer and does not wait. Of calls for one service the
// later counts.
// An offer that breaks a rule of package announce wraps announce.ErrInvalid, and is not tried. Others are
// ErrNoKey, ErrNoIntroducer (it is kept for those to come), ErrReplaced, ErrClosed, and those of the
// disk.
func (c *Client) Publish(ctx context.Context, o Offer) error {
	if o.Nickname == "" {
		o.Nickname = c.opts.Nickname
	}
	o = o.clone()
	return c.publish(ctx, o.Service, o.announcement)
}

// Withdraw takes back what this node, in this run or an earlier one, offered of the service, and keeps
// it withdrawn. It returns as Publish does.
func (c *Client) Withdraw(ctx context.Context, service announce.Service) error {
	return c.publish(ctx, service, withdrawal(service))
}

func (c *Client) publish(ctx context.Context, service announce.Service, say func(uint64) announce.Announcement) error {
	if c.own == nil {
		return ErrNoKey
	}
	a := say(0) // the rules of form do not depend on the number
	if _, err := a.Message(); err != nil {
		return err
	}
	if c.closing.Err() != nil {
		return ErrClosed
	}
	t, err := c.say(service, say)
	if err != nil {
		return err
	}
	err = c.await(ctx, func() (bool, error) { return c.verdictLocked(service, t) })
	if err != nil {
		return fmt.Errorf("publishing %s: %w", service, err)
	}
	return nil
}

// verdictLocked tells whether it is decided what became of a turn, and what.
func (c *Client) verdictLocked(service announce.Service, t *turn) (bool, error) {
	e := c.own.entries[service]
	switch {
	case e.turn != t:
		return true, ErrReplaced
	case len(c.introducers) == 0:
		return true, ErrNoIntroducer
	}
	var refusals []string
	for _, x := range c.introducers {
		o, known := e.outcomes[x.url]
		switch {
		case o.Accepted:
			return true, nil
		case known:
			refusals = append(refusals, x.url+": "+o.Reason)
		}
	}
	if len(refusals) < len(c.introducers) {
		return false, nil
	}
	slices.Sort(refusals)
	return true, fmt.Errorf("%w: %s", ErrRefused, strings.Join(refusals, "; "))
}

// await waits until done says so, and returns its error. It is asked with Client.mu held, now and
// whenever something has changed. Other errors are ctx's and ErrClosed.
func (c *Client) await(ctx context.Context, done func() (bool, error)) error {
	for {
		c.mu.Lock()
		ok, err := done()
		changed := c.changed
		c.mu.Unlock()
		if ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.closing.Done():
			return ErrClosed
		}
	}
}

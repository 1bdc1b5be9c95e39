package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/client/internal/cache"
)

// SubscribeTo adds services to those that are subscribed to. What an earlier run heard of them is shown
// at once; the introducers are asked for all of them anew, so name those that are known beforehand in
// Options.Services. The error is of a name that is none, and wraps announce.ErrInvalid, or ErrClosed.
func (c *Client) SubscribeTo(services ...announce.Service) error {
	return c.resubscribe(func(now []announce.Service) ([]announce.Service, error) { return merged(now, services) })
}

// Unsubscribe takes services from those that are subscribed to. Their peers are forgotten. The error is
// ErrClosed.
func (c *Client) Unsubscribe(services ...announce.Service) error {
	return c.resubscribe(func(now []announce.Service) ([]announce.Service, error) {
		return slices.DeleteFunc(slices.Clone(now), func(s announce.Service) bool { return slices.Contains(services, s) }), nil
	})
}

func (c *Client) resubscribe(change func([]announce.Service) ([]announce.Service, error)) error {
	c.configuring.Lock()
	defer c.configuring.Unlock()
	c.mu.Lock()
	now, closed := c.services, c.closed
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	services, err := change(now)
	if err != nil || slices.Equal(services, now) {
		return err
	}
	c.apply(func(*ledger) { c.subscribeLocked(services) })
	return nil
}

// subscribeLocked makes the services those that are subscribed to, and every introducer's stream begin
// anew with them.
func (c *Client) subscribeLocked(services []announce.Service) {
	if c.replace != nil {
		c.replace()
	}
	c.otherServices, c.replace = context.WithCancel(c.closing)
	c.services = services
	for _, x := range c.introducers {
		x.state = Idle
		if len(services) > 0 {
			x.state = Connecting
		}
	}
	for s := range c.synced {
		if !slices.Contains(services, s) {
			delete(c.synced, s)
		}
	}
	c.ledger.subscribe(services)
}

// merged is the union of services, sorted, if those that are added are well-formed.
func merged(services, more []announce.Service) ([]announce.Service, error) {
	services = slices.Clone(services)
	for _, s := range more {
		s, err := announce.ParseService(string(s))
		if err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	slices.Sort(services)
	return slices.Compact(services), nil
}

// SetIntroducers replaces the introducers. Peers that only those taken away announced are gone; streams
// to those that stay are not touched. The error is of a URL that is none, or ErrClosed.
func (c *Client) SetIntroducers(urls []string) error {
	urls, err := cleanURLs(urls)
	if err != nil {
		return err
	}
	c.configuring.Lock()
	defer c.configuring.Unlock()
	c.mu.Lock()
	closed, old := c.closed, c.introducers
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	// Those that go are silent before they are struck off: what they said afterwards would be nobody's.
	for _, x := range old {
		if !slices.Contains(urls, x.url) {
			x.stop()
			x.running.Wait()
		}
	}
	c.apply(func(l *ledger) {
		c.introducers, l.books = nil, nil
		for _, url := range urls {
			if i := slices.IndexFunc(old, func(x *introducer) bool { return x.url == url }); i >= 0 {
				c.introducers, l.books = append(c.introducers, old[i]), append(l.books, old[i].books)
			} else {
				c.addLocked(url, new(cache.State))
			}
		}
		for _, x := range old {
			if slices.Contains(urls, x.url) {
				continue
			}
			l.note(cache.Forget{Introducer: x.url})
			for k, e := range x.entries {
				l.lose(k, e.peer, false)
			}
			c.own.forgetLocked(x.url)
		}
	})
	return nil
}

// addLocked adds an introducer, with what the cache held of it.
func (c *Client) addLocked(url string, state *cache.State) {
	x := &introducer{
		c:     c,
		url:   url,
		api:   introducerv1connect.NewIntroducerServiceClient(connect.NewClient(c.transport(url))),
		log:   c.opts.Logger.With("introducer", url),
		kick:  make(chan struct{}, 1),
		books: newBooks(url, state),
	}
	if len(c.services) > 0 {
		x.state = Connecting
	}
	var ctx context.Context
	ctx, x.stop = context.WithCancel(c.closing)
	c.introducers, c.ledger.books = append(c.introducers, x), append(c.ledger.books, x.books)
	c.goFor(x, func() { x.run(ctx) })
	if c.own != nil {
		c.goFor(x, func() { x.publish(ctx) })
	}
}

// goFor runs f on a goroutine that both Close and whoever strikes x off wait for.
func (c *Client) goFor(x *introducer, f func()) {
	x.running.Add(1)
	c.running.Go(func() {
		defer x.running.Done()
		f()
	})
}

// cleanURLs checks base URLs, and leaves out repeats.
func cleanURLs(urls []string) ([]string, error) {
	var clean []string
	for _, s := range urls {
		u, err := cleanURL(s)
		if err != nil {
			return nil, fmt.Errorf("introducer %q: %w", s, err)
		}
		if !slices.Contains(clean, u) {
			clean = append(clean, u)
		}
	}
	return clean, nil
}

func cleanURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return "", errors.New("names no host")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", errors.New("must be scheme, host and port, and at most a path")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

const (
	dialTimeout = 10 * time.Second
	callTimeout = 30 * time.Second // until an answer begins
	pingAfter   = 30 * time.Second // of silence on a connection
	// maxMessage bounds a message of an introducer, which is not trusted; the contract has its streams
	// stay below.
	maxMessage = 4 << 20
)

// newHTTPClient is for introducers. A connection on which nothing was heard for alive is asked whether it
// is, and given up after half as long again.
func newHTTPClient(alive time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: callTimeout, // a stream may be silent for long, but not before it began
			IdleConnTimeout:       90 * time.Second,
			ForceAttemptHTTP2:     true,
			// A way that has gone silent would be taken again by every new stream, until TCP gives it up.
			HTTP2: &http.HTTP2Config{SendPingTimeout: alive, PingTimeout: alive / 2},
		},
		// An introducer is where it is configured to be, and cannot send us elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// httpTransport makes the ways to introducers over one HTTP client.
func httpTransport(client *http.Client) func(string) connect.Transport {
	return func(url string) connect.Transport {
		return connecthttp.NewTransport(client, url, connecthttp.WithReadMaxBytes(maxMessage))
	}
}

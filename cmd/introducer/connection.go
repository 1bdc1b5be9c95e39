package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/spf13/cobra"

	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/web/visible"
)

const (
	defaultServer  = "http://127.0.0.1:7271"
	serverVariable = "INTRODUCER_SERVER"

	// maxAnswer bounds one message of an introducer, which is not trusted: a service of a million
	// peers fits.
	maxAnswer = 1 << 30
)

// connection is the way to one introducer.
type connection struct {
	url     string
	timeout time.Duration // of a call, and of a stream until it begins
	introducerv1connect.IntroducerServiceClient
}

// addServerFlags registers what all client commands have; many allows --server to be repeated.
func (a *app) addServerFlags(cmd *cobra.Command, many bool) {
	const help = "URL of the introducer (default " + defaultServer + ", or " + serverVariable + " from the environment)"
	if many {
		cmd.Flags().StringArray("server", nil, help+"; may be repeated")
	} else {
		cmd.Flags().String("server", "", help)
	}
	cmd.Flags().Duration("timeout", 30*time.Second, "how long to wait for an answer")
	addOutputFlag(cmd)
}

// connect returns the way to the introducer that --server or the environment names. It does not
// open anything yet.
func (a *app) connect(cmd *cobra.Command) (*connection, error) {
	server, err := cmd.Flags().GetString("server")
	if err != nil {
		return nil, err
	}
	all, err := a.connections(cmd, []string{server})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// reader returns what a command needs that asks one introducer and shows the answer.
func (a *app) reader(cmd *cobra.Command) (*printer, *connection, error) {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.connect(cmd)
	return out, c, err
}

// connectAll is connect for commands whose --server may be repeated.
func (a *app) connectAll(cmd *cobra.Command) ([]*connection, error) {
	servers, err := cmd.Flags().GetStringArray("server")
	if err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		servers = []string{""}
	}
	return a.connections(cmd, servers)
}

func (a *app) connections(cmd *cobra.Command, servers []string) ([]*connection, error) {
	timeout, err := cmd.Flags().GetDuration("timeout")
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, usagef("--timeout %v: must be above zero", timeout)
	}
	var all []*connection
	for _, server := range servers {
		where := "--server"
		if server == "" {
			server, where = a.getenv(serverVariable), serverVariable
		}
		if server == "" {
			server = defaultServer
		}
		c, err := newConnection(server, timeout)
		if err != nil {
			return nil, usagef("%s %q: %w", where, server, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// newConnection takes a URL, or host and port alone.
func newConnection(server string, timeout time.Duration) (*connection, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("must be scheme, host and port, and at most a path")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// A stream may be silent for long, but not before it began.
	transport.ResponseHeaderTimeout = timeout
	// A way that has gone silent would be taken again by every new stream, until TCP gives it up.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	transport.DialContext = (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext
	base := strings.TrimRight(u.String(), "/")
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, base, connecthttp.WithReadMaxBytes(maxAnswer)))
	return &connection{
		url:                     base,
		timeout:                 timeout,
		IntroducerServiceClient: introducerv1connect.NewIntroducerServiceClient(client),
	}, nil
}

// limited is ctx with the time that one call may take.
func (c *connection) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// explain is the error of a call, as a person should read it and with its exit code. Nil stays nil.
func (c *connection) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	remote, _ := errors.AsType[*connect.Error](err)
	if remote == nil || !remote.IsRemote() {
		return c.explainLocal(err)
	}
	said := visible.Clip(remote.Message(), 1000)
	switch remote.Code() {
	case connect.CodeUnavailable:
		return exitf(exitUnreachable, "the introducer at %s is not available now: %s", c.url, said)
	case connect.CodeUnimplemented, connect.CodeUnknown, connect.CodeNotFound:
		return exitf(exitUnreachable, "what answers at %s is not an introducer, or a much older one (%s)", c.url, said)
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return exitf(exitRefused, "the introducer at %s refuses: %s", c.url, said)
	case connect.CodeDeadlineExceeded:
		return c.late()
	}
	return exitf(exitFailed, "the introducer at %s says %s: %s", c.url, remote.Code(), said)
}

// explainLocal is for what happened on this side, or on the way.
func (c *connection) explainLocal(err error) error {
	const remedy = "Is it running? 'introducer serve' starts one here, --server or " + serverVariable + " names another."
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return exitf(exitUnreachable, "no introducer answers at %s: %w\n%s", c.url, op.Err, remedy)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return exitf(exitUnreachable, "no introducer answers at %s: %w\n%s", c.url, dns, remedy)
	}
	timeout, ok := errors.AsType[net.Error](err)
	if ok && timeout.Timeout() || connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		return c.late()
	}
	return exitf(exitUnreachable, "the connection to %s failed: %s", c.url, visible.Clip(err.Error(), 1000))
}

func (c *connection) late() error {
	return exitf(exitUnreachable, "the introducer at %s did not answer within %s (--timeout)", c.url, visible.Duration(c.timeout))
}

// finish adds to an error of a stream that what came before it has been shown.
func (c *connection) finish(err error, shown int, what string) error {
	if err = c.explain(err); err != nil && shown > 0 {
		return fmt.Errorf("after %d %s: %w", shown, what, err)
	}
	return err
}

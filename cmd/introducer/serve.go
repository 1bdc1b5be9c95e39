package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/rpc"
)

const (
	defaultData   = "./introducer-data"
	defaultListen = "127.0.0.1:7271"
)

const serveHelp = `Runs an introducer until it is told to stop.

It answers Connect, gRPC and gRPC-Web on one port, over HTTP/1.1 and HTTP/2, and shows its status to a
browser at /. /healthz answers while it runs, /readyz while it takes announcements, as does the gRPC
health service for "publish". When it is ready it says so in one line on stdout; its log goes to
stderr.

SIGTERM or SIGINT stops it in order: subscribers are told where they stand and when to come back, and
publishes under way are finished. A second one stops it at once, which loses nothing that was
acknowledged. SIGHUP has it read --tls-cert, --tls-key, --ban and --allow again.

Files for --ban and --allow hold one peer id a line; what follows a # is a comment. A banned peer's
announcements are removed and its new ones refused; with --allow only those listed are taken.`

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run an introducer",
		Long:    serveHelp,
		Example: "  introducer serve --data /var/lib/introducer --listen :7271",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := parseServe(cmd)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), c, nil)
		},
	}
	addServeFlags(cmd)
	return cmd
}

func addServeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("data", defaultData, "directory for all that is kept; made where there is none")
	f.String("listen", defaultListen, "address and port; port 0 chooses one")
	f.String("tls-cert", "", "file with the certificate chain, PEM; serves HTTPS (with --tls-key)")
	f.String("tls-key", "", "file with the certificate's key, PEM")
	f.StringArray("cors-origin", nil, "website whose pages may call from a browser, such as https://app.example; may be repeated; * for every one (default none)")
	f.String("ban", "", "file of peer ids that may not publish")
	f.String("allow", "", "file of the only peer ids that may publish")
	f.Int("max-peers", 0, "how many peers to keep at most, those that left included (default 1,000,000)")
	addRetentionFlags(cmd)
	f.String("witness", "", "file that tells how far the log had come, best on another disk (default within --data)")
	f.Bool("strict-witness", false, "have every publish wait for the witness too: safe against a disk that loses the log's end unnoticed, at about twice the time")
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("log-format", "", "text or json (default text on a terminal, json elsewhere)")
	f.Duration("drain-timeout", 10*time.Second, "how long to wait for streams and calls when stopping")
}

// serveConfig is what the flags of serve say.
type serveConfig struct {
	data, listen        string
	tlsCert, tlsKey     string
	origins             []string // of websites whose pages may call
	ban, allow          string
	witness             string
	maxPeers            int
	retain              retention
	strictWitness       bool
	logLevel, logFormat string
	drainTimeout        time.Duration
}

func parseServe(cmd *cobra.Command) (serveConfig, error) {
	var c serveConfig
	f := cmd.Flags()
	var errs []error
	for name, to := range map[string]*string{
		"data": &c.data, "listen": &c.listen, "tls-cert": &c.tlsCert, "tls-key": &c.tlsKey, "ban": &c.ban,
		"allow": &c.allow, "witness": &c.witness, "log-level": &c.logLevel, "log-format": &c.logFormat,
	} {
		var err error
		*to, err = f.GetString(name)
		errs = append(errs, err)
	}
	var err error
	c.origins, err = f.GetStringArray("cors-origin")
	errs = append(errs, err)
	c.maxPeers, err = f.GetInt("max-peers")
	errs = append(errs, err)
	c.strictWitness, err = f.GetBool("strict-witness")
	errs = append(errs, err)
	c.drainTimeout, err = f.GetDuration("drain-timeout")
	if err := errors.Join(append(errs, err)...); err != nil {
		return c, err
	}
	if c.retain, err = parseRetention(cmd); err != nil {
		return c, err
	}
	for _, origin := range c.origins {
		if err := rpc.CheckOrigin(origin); err != nil {
			return c, usagef("--cors-origin %q: %w", origin, err)
		}
	}
	switch {
	case c.data == "":
		return c, usagef("--data: must name a directory")
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return c, usagef("--tls-cert and --tls-key belong together")
	case c.maxPeers < 0:
		return c, usagef("--max-peers %d: must not be below zero", c.maxPeers)
	case c.drainTimeout < 0:
		return c, usagef("--drain-timeout %v: must not be below zero", c.drainTimeout)
	}
	return c, nil
}

// serve runs an introducer. Once it is ready, beside runs beside it (nil: nothing does) until it is
// done or its context ends; if it fails, the introducer stops.
func (a *app) serve(ctx context.Context, c serveConfig, beside func(context.Context, *daemon) error) error {
	logger, err := newLogger(a.stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	signals := watchSignals()
	defer signals.stop()
	d, err := startDaemon(ctx, c, logger)
	if err != nil {
		return err
	}
	a.announceReady(d)
	return d.run(ctx, signals, beside)
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/rpc"
	"github.com/introducer/introducer/web"
	"github.com/introducer/introducer/web/visible"
)

// daemon is a running introducer: the data directory, the registry on it, and the server before it.
type daemon struct {
	config   serveConfig
	logger   *slog.Logger
	registry *registry.Registry
	rules    *rules
	cert     *certificate // nil: no TLS
	server   *http.Server
	listener net.Listener
	stopping atomic.Bool
	served   chan error // what Serve returned
}

// startDaemon returns when the introducer answers.
func startDaemon(ctx context.Context, c serveConfig, logger *slog.Logger) (_ *daemon, err error) {
	d := &daemon{config: c, logger: logger, rules: new(rules), served: make(chan error, 1)}
	// Whatever the files say wrong is said before anything is opened.
	if err := d.rules.read(c.ban, c.allow); err != nil {
		return nil, err
	}
	if c.tlsCert != "" {
		if d.cert, err = loadCertificate(c.tlsCert, c.tlsKey); err != nil {
			return nil, err
		}
	}
	if err := d.openRegistry(ctx); err != nil {
		return nil, err
	}
	if err := d.enforce(ctx); err != nil {
		return nil, errors.Join(err, d.registry.Close())
	}
	if d.listener, err = net.Listen("tcp", c.listen); err != nil {
		return nil, errors.Join(fmt.Errorf("--listen %s: %w", c.listen, err), d.registry.Close())
	}
	if slices.Contains(c.origins, rpc.AnyOrigin) {
		logger.Warn("--cors-origin *: every website may call this introducer through the browsers of its visitors, also where only they can reach it")
	}
	service := rpc.New(d.registry, rpc.Options{Version: newBuild().Version})
	d.server = service.NewServer(rpc.ServerOptions{Logger: logger, Origins: c.origins, Root: web.Handler(&status{d, service}, logger)})
	go func() { d.served <- d.accept() }()
	return d, nil
}

func (d *daemon) openRegistry(ctx context.Context) error {
	c := d.config
	dir, err := datadir.Open(c.data, datadir.Options{
		Logger: d.logger, Fatal: d.fatal, Witness: c.witness, StrictWitness: c.strictWitness,
	})
	if err != nil {
		return &exitError{exitDataDir, err}
	}
	opts := registry.Options{Logger: d.logger, Allow: d.rules.refuse, MaxPeers: c.maxPeers}
	c.retain.set(&opts)
	d.registry, err = registry.Open(ctx, dir, opts)
	if err != nil {
		return exitf(exitDataDir, "data directory %s: %w", c.data, err)
	}
	return nil
}

// fatal ends the process when the log can no longer be written. A failed sync must not be tried
// again: what the disk has is found out by the next start. It is called with locks of the log held,
// so nothing is closed.
func (d *daemon) fatal(err error) {
	d.logger.Error("the log can no longer be written: ending; acknowledged announcements are safe, start again when the disk is well", "err", err)
	os.Exit(exitDisk)
}

func (d *daemon) accept() error {
	if d.cert == nil {
		return d.server.Serve(d.listener)
	}
	d.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.cert.get}
	return d.server.ServeTLS(d.listener, "", "")
}

// url is where the introducer answers.
func (d *daemon) url() string {
	scheme := "http"
	if d.cert != nil {
		scheme = "https"
	}
	return scheme + "://" + d.listener.Addr().String()
}

// announceReady says in one line that clients may come. Scripts wait for it.
func (a *app) announceReady(d *daemon) {
	i := d.registry.Info()
	fmt.Fprintf(a.stdout, "introducer ready at %s: log %v, revision %d, %s, replayed in %s\n",
		d.url(), i.LogID, i.Last, counted(i.Peers, "peer"), visible.Duration(i.ReplayTime))
}

// run serves until a signal, or until beside fails.
func (d *daemon) run(ctx context.Context, s *signals, beside func(context.Context, *daemon) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	aside := make(chan error, 1)
	if beside == nil {
		beside = func(context.Context, *daemon) error { return nil }
	}
	go func() { aside <- beside(ctx, d) }()
	joined := false
	var err error
	for end := false; !end; {
		select {
		case sig := <-s.stops:
			d.logger.Info("stopping", "signal", sig.String())
			end = true
		case <-s.reloads:
			d.reload()
		case err = <-aside:
			joined, aside = true, nil
			end = err != nil
		case err = <-d.served:
			err = fmt.Errorf("serving at %s: %w", d.url(), err)
			end = true
		}
	}
	cancel()
	if !joined {
		<-aside
	}
	return errors.Join(err, d.stop(s))
}

// stop ends everything in order: no new callers, streams drained, calls under way finished, stores
// closed. Another signal meanwhile ends the process where it stands, as a crash does.
func (d *daemon) stop(s *signals) error {
	d.stopping.Store(true)
	stopped := make(chan struct{})
	defer close(stopped)
	go s.stopAtOnce(d.logger, stopped)
	ctx, cancel := context.WithTimeout(context.Background(), d.config.drainTimeout)
	defer cancel()
	err := d.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		d.logger.Warn("some connections did not end in time: closing them", "after", d.config.drainTimeout)
		err = d.server.Close()
	}
	if err = errors.Join(err, d.registry.Close()); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	d.logger.Info("stopped")
	return nil
}

// reload reads the files again that may change while the introducer runs. What is wrong in one leaves
// it as it was.
func (d *daemon) reload() {
	if d.cert != nil {
		if err := d.cert.reload(); err != nil {
			d.logger.Error("reading the certificate again: the old one stays", "err", err)
		}
	}
	if err := d.rules.read(d.config.ban, d.config.allow); err != nil {
		d.logger.Error("reading --ban and --allow again: the old rules stay", "err", err)
		return
	}
	if err := d.enforce(context.Background()); err != nil {
		d.logger.Error("removing peers that may not publish", "err", err)
		return
	}
	d.logger.Info("read the files again")
}

// enforce removes the live peers that the rules refuse.
func (d *daemon) enforce(ctx context.Context) error {
	if d.registry.Info().Lost != nil {
		return nil // nothing can be written, and nothing new is taken either
	}
	services, _ := d.registry.Services()
	refused := make(map[announce.PeerID]string) // :: peer id → reason
	for _, s := range services {
		for id := range d.registry.View(s.Service).Peers.All() {
			if reason := d.rules.refuse(s.Service, id); reason != "" {
				refused[id] = reason
			}
		}
	}
	for id, reason := range refused {
		n, err := d.registry.Evict(ctx, id)
		if err != nil {
			return fmt.Errorf("removing peer %v: %w", id, err)
		}
		d.logger.Info("removed a peer", "peer", id, "announcements", n, "reason", reason)
	}
	return nil
}

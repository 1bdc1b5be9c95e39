package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/node"
	"github.com/introducer/introducer/web/visible"
)

const nodeHelp = `Runs a node beside a storage server, or any other program, written in whatever language: it announces
what the configuration offers, withdraws what it no longer offers, subscribes to what it wants, and
keeps what it hears, so that it knows the grid while no introducer can be reached. 'node example'
prints a configuration, 'node check FILE' says what one means.

What it hears is shown on stdout, its log goes to stderr. With listen in the configuration it answers
lookups too, as an introducer does: 'introducer peers upload_storage --server http://127.0.0.1:7272'.

SIGHUP has it read the configuration again; one that is wrong changes nothing. SIGTERM or SIGINT ends
it, and leaves its announcements as they are unless --withdraw-on-exit is given. A second one ends it
at once.

With -o json, one object a line (see 'help output' for members that are not explained here):

  ready       peer_id of the node; lookups, where it answers them
  announced   a peer came or changed: service, peer_id, seqnum, nickname, endpoints, permutation_seed,
              announcement, which the node has verified
  gone        a peer went: service, peer_id, seqnum
  state       something else has changed. peers and set_digest (hexadecimal: XOR of SHA-256(peer id
              and message)) are those of the peers shown so far; synced, whether that is the whole
              picture; services, introducers and own, what this node says itself, in particular`

const nodeExample = `  introducer keygen --out node.privkey
  introducer node example > node.toml
  introducer node check node.toml
  introducer node --config node.toml`

func (a *app) nodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "node --config FILE",
		Short:   "Run a node that follows a configuration",
		Long:    nodeHelp,
		Example: nodeExample,
		Args:    cobra.NoArgs,
		RunE:    a.node,
	}
	f := cmd.Flags()
	f.String("config", "", "the configuration file, TOML")
	f.Bool("withdraw-on-exit", false, "take all announcements back before the end")
	f.Duration("withdraw-timeout", 10*time.Second, "how long --withdraw-on-exit may take")
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("log-format", "", "text or json (default text on a terminal, json elsewhere)")
	addOutputFlag(cmd)
	cmd.AddCommand(a.nodeCheckCommand(), a.nodeExampleCommand())
	return cmd
}

func (a *app) nodeExampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print a configuration with every key explained",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, node.Example)
			return err
		},
	}
}

// sidecar is a running node of the command line.
type sidecar struct {
	path   string // of the configuration
	out    *printer
	logger *slog.Logger
	node   *node.Node
}

func (a *app) node(cmd *cobra.Command, _ []string) error {
	s := new(sidecar)
	var level, format string
	f := cmd.Flags()
	var errs []error
	for name, to := range map[string]*string{"config": &s.path, "log-level": &level, "log-format": &format} {
		var err error
		*to, err = f.GetString(name)
		errs = append(errs, err)
	}
	withdraw, err := f.GetBool("withdraw-on-exit")
	errs = append(errs, err)
	patience, err := f.GetDuration("withdraw-timeout")
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	switch {
	case s.path == "":
		return usagef("--config: which configuration? 'introducer node example' prints one")
	case patience <= 0:
		return usagef("--withdraw-timeout %v: must be above zero", patience)
	}
	if s.out, err = a.newPrinter(cmd); err != nil {
		return err
	}
	if s.logger, err = newLogger(a.stderr, level, format); err != nil {
		return err
	}
	cfg, err := node.Load(s.path)
	if err != nil {
		return usage(err)
	}
	signals := watchSignals()
	defer signals.stop()
	if s.node, err = node.Open(cmd.Context(), cfg, node.Options{Logger: s.logger, Version: newBuild().Version}); err != nil {
		if errors.Is(err, node.ErrInvalid) {
			err = usage(err)
		}
		return err
	}
	err = s.run(cmd.Context(), signals)
	return errors.Join(err, s.stop(signals, withdraw, patience))
}

// lastLine is how long the line may take that is being written when the node is to stop. A reader that
// is stuck must not keep the node from withdrawing and ending.
const lastLine = time.Second

// run shows what the node hears until a signal ends it.
func (s *sidecar) run(ctx context.Context, signals *signals) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shown := make(chan error, 1)
	go func() { shown <- s.show(ctx) }()
	for {
		select {
		case sig := <-signals.stops:
			s.logger.Info("stopping", "signal", sig.String())
			cancel()
			select {
			case err := <-shown:
				return err
			case <-time.After(lastLine):
				s.logger.Warn("nobody reads what is shown on stdout: its end is lost")
				return nil
			}
		case <-signals.reloads:
			s.reload(ctx)
		case err := <-shown:
			return err
		}
	}
}

// show shows that the node runs, and then what it hears until ctx ends.
func (s *sidecar) show(ctx context.Context) error {
	if err := s.showReady(); err != nil {
		return err
	}
	return newNodeView(s.out).follow(ctx, s.node.Introducer)
}

// reload reads the configuration again. What is wrong in it leaves the node as it was.
func (s *sidecar) reload(ctx context.Context) {
	cfg, err := node.Load(s.path)
	if err != nil {
		s.logger.Error("reading the configuration again: the old one stays", "err", err)
		return
	}
	switch err := s.node.Reload(ctx, cfg); {
	case errors.Is(err, node.ErrInvalid), errors.Is(err, node.ErrRestart):
		s.logger.Error("the old configuration stays", "err", err)
	case err != nil:
		s.logger.Error("following the configuration", "err", err)
	default:
		s.logger.Info("read the configuration again", "config", s.path)
	}
}

// stop ends the node. Another signal meanwhile ends the process where it stands, as a crash does.
func (s *sidecar) stop(signals *signals, withdraw bool, patience time.Duration) error {
	stopped := make(chan struct{})
	defer close(stopped)
	go signals.stopAtOnce(s.logger, stopped)
	var err error
	if withdraw {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		switch err = s.node.Withdraw(ctx); {
		case errors.Is(err, context.DeadlineExceeded):
			err = exitf(exitUnreachable, "not every announcement could be withdrawn within %s (--withdraw-timeout)", visible.Duration(patience))
		case errors.Is(err, client.ErrRefused):
			err = &exitError{exitRefused, err}
		}
	}
	if err = errors.Join(err, s.node.Close()); err != nil {
		return err
	}
	s.logger.Info("stopped")
	return nil
}

// readyEvent says that the node runs, for programs.
type readyEvent struct {
	Event   string `json:"event"`
	PeerID  string `json:"peer_id,omitempty"` // "": the node has no key
	Lookups string `json:"lookups,omitempty"`
}

func (s *sidecar) showReady() error {
	e := readyEvent{Event: "ready", Lookups: s.node.LookupURL()}
	if id := s.node.PeerID(); id != (announce.PeerID{}) {
		e.PeerID = id.String()
	}
	if s.out.json {
		return s.out.object(e)
	}
	line := []string{"node ready"}
	if e.PeerID != "" {
		line = append(line, "peer id "+e.PeerID)
	}
	if e.Lookups != "" {
		line = append(line, "lookups at "+e.Lookups)
	}
	return s.out.line("%s", strings.Join(line, ", "))
}

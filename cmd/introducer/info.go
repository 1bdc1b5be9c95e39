package main

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/web/visible"
)

func (a *app) infoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Say what introducer answers, and where its log stands",
		Args:  cobra.NoArgs,
		RunE:  a.info,
	}
	a.addServerFlags(cmd, false)
	return cmd
}

// info is what GetInfo says, for programs.
type info struct {
	Server        string    `json:"server"`
	Version       string    `json:"version"`
	LogID         string    `json:"log_id"`
	FirstRevision uint64    `json:"first_revision"`
	LastRevision  uint64    `json:"last_revision"`
	Peers         uint64    `json:"peers"`
	Started       time.Time `json:"started"`
	ReplaySeconds float64   `json:"replay_seconds"`
}

func (a *app) info(cmd *cobra.Command, _ []string) error {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	c, err := a.connect(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	ctx, stopTimer := c.limited(ctx)
	defer stopTimer()
	res, err := c.GetInfo(ctx, &introducerv1.GetInfoRequest{})
	if err != nil {
		return c.explain(err)
	}
	i := info{
		Server: c.url, Version: res.GetVersion(), LogID: hex.EncodeToString(res.GetLogId()),
		FirstRevision: res.GetFirstRevision(), LastRevision: res.GetLastRevision(), Peers: res.GetPeers(),
		Started: res.GetStarted().AsTime(), ReplaySeconds: res.GetReplayTime().AsDuration().Seconds(),
	}
	if out.json {
		return out.object(i)
	}
	revisions := "none yet"
	if i.LastRevision > 0 {
		revisions = visible.Count(i.FirstRevision) + " to " + visible.Count(i.LastRevision)
	}
	return out.table([]string{"introducer", i.Server}, [][]string{
		{"version", visible.Clip(i.Version, 100)},
		{"log id", i.LogID},
		{"revisions", revisions},
		{"peers", visible.Count(i.Peers)},
		{"started", moment(i.Started) + ", " + ago(&i.Started, time.Now())},
		{"replayed in", visible.Duration(res.GetReplayTime().AsDuration())},
	})
}

func (a *app) servicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services that are known",
		Args:  cobra.NoArgs,
		RunE:  a.services,
	}
	a.addServerFlags(cmd, false)
	return cmd
}

// serviceCount is one service, for programs.
type serviceCount struct {
	Service     string `json:"service"`
	Peers       uint64 `json:"peers"`
	Subscribers uint64 `json:"subscribers"`
}

func (a *app) services(cmd *cobra.Command, _ []string) error {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	c, err := a.connect(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	ctx, stopTimer := c.limited(ctx)
	defer stopTimer()
	res, err := c.ListServices(ctx, &introducerv1.ListServicesRequest{})
	if err != nil {
		return c.explain(err)
	}
	var rows [][]string
	for _, s := range res.GetServices() {
		if out.json {
			if err := out.object(serviceCount{s.GetService(), s.GetPeers(), s.GetSubscribers()}); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{
			visible.Clip(s.GetService(), 64), strconv.FormatUint(s.GetPeers(), 10), strconv.FormatUint(s.GetSubscribers(), 10),
		})
	}
	switch {
	case out.json:
		return nil
	case len(rows) == 0:
		return out.line("Nobody has announced anything yet.")
	}
	return out.table([]string{"SERVICE", "PEERS", "SUBSCRIBERS"}, rows)
}

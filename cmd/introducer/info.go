package main

import (
	"encoding/hex"
	"fmt"
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
	Log           *logState `json:"log,omitempty"` // absent: an older introducer's
}

// logState is what the log holds, for programs.
type logState struct {
	HistoryRevision uint64      `json:"history_revision"`
	Records         uint64      `json:"records"`
	Superseded      uint64      `json:"superseded"`
	Bytes           uint64      `json:"bytes"`
	Compaction      *compaction `json:"compaction,omitempty"`
}

// compaction is the newest one, for programs.
type compaction struct {
	Running      bool       `json:"running"`
	Revision     uint64     `json:"revision"`
	LastRevision uint64     `json:"last_revision"`
	Dropped      uint64     `json:"dropped"`
	Ended        *time.Time `json:"ended,omitempty"`
	Seconds      float64    `json:"seconds"`
	Failed       bool       `json:"failed"`
}

func newLogState(l *introducerv1.LogState) *logState {
	if l == nil {
		return nil
	}
	out := &logState{
		HistoryRevision: l.GetHistoryRevision(), Records: l.GetRecords(), Superseded: l.GetSuperseded(), Bytes: l.GetBytes(),
	}
	if c := l.GetCompaction(); c != nil {
		out.Compaction = &compaction{
			Running: c.GetRunning(), Revision: c.GetRevision(), LastRevision: c.GetLastRevision(), Dropped: c.GetDropped(),
			Seconds: c.GetTook().AsDuration().Seconds(), Failed: c.GetFailed(),
		}
		if c.Ended != nil {
			ended := c.Ended.AsTime()
			out.Compaction.Ended = &ended
		}
	}
	return out
}

// rows says it to people.
func (l *logState) rows(now time.Time) [][]string {
	if l == nil {
		return nil
	}
	log := fmt.Sprintf("%s, %s of them replaced", counted(int(l.Records), "record"), visible.Count(l.Superseded))
	if l.Bytes > 0 {
		log = visible.Bytes(l.Bytes) + ", " + log
	}
	rows := [][]string{{"log", log}}
	c := l.Compaction
	switch {
	case c == nil:
		return rows
	case c.Running:
		rows = append(rows, []string{"compaction", fmt.Sprintf("under way: at revision %s of %s, %s dropped",
			visible.Count(c.Revision), visible.Count(c.LastRevision), visible.Count(c.Dropped))})
	default:
		how := fmt.Sprintf("dropped %s in %s", visible.Count(c.Dropped), visible.Duration(time.Duration(c.Seconds*float64(time.Second))))
		if c.Failed {
			how += " and went no further: the introducer's log says why"
		}
		rows = append(rows, []string{"compacted", moment(*c.Ended) + ", " + ago(c.Ended, now) + ": " + how})
	}
	return rows
}

func (a *app) info(cmd *cobra.Command, _ []string) error {
	out, c, err := a.reader(cmd)
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
		Log: newLogState(res.GetLog()),
	}
	if out.json {
		return out.object(i)
	}
	revisions := "none yet"
	if i.LastRevision > 0 {
		from := i.FirstRevision
		if i.Log != nil {
			from = i.Log.HistoryRevision
		}
		revisions = visible.Count(from) + " to " + visible.Count(i.LastRevision)
	}
	now := time.Now()
	return out.table([]string{"introducer", i.Server}, append([][]string{
		{"version", visible.Clip(i.Version, 100)},
		{"log id", i.LogID},
		{"revisions", revisions},
		{"resumed from", visible.Count(i.FirstRevision) + " on"},
		{"peers", visible.Count(i.Peers)},
		{"started", moment(i.Started) + ", " + ago(&i.Started, now)},
		{"replayed in", visible.Duration(res.GetReplayTime().AsDuration())},
	}, i.Log.rows(now)...))
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
	out, c, err := a.reader(cmd)
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

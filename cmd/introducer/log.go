package main

import (
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/web/visible"
)

const logHelp = `Replays the introducer's log as it was written: each announcement, withdrawal, expiry and eviction.

Signatures are verified here; a record whose signature is not good is marked, and the exit code is 1.
With --follow new records are shown as they are written, until you interrupt it.`

func (a *app) logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "log",
		Short:   "Replay the log",
		Long:    logHelp,
		Example: "  introducer log --service storage --follow\n  introducer log --from 1000 -o json",
		Args:    cobra.NoArgs,
		RunE:    a.replay,
	}
	a.addServerFlags(cmd, false)
	f := cmd.Flags()
	f.Uint64("from", 0, "first revision to show (default the first that is held)")
	f.Bool("follow", false, "go on with new records")
	f.String("service", "", "only records of this service")
	f.String("peer", "", "only records of this peer id")
	return cmd
}

func parseReplay(cmd *cobra.Command) (*introducerv1.ReadLogRequest, error) {
	var req introducerv1.ReadLogRequest
	var err error
	f := cmd.Flags()
	if req.FromRevision, err = f.GetUint64("from"); err != nil {
		return nil, err
	}
	if req.Follow, err = f.GetBool("follow"); err != nil {
		return nil, err
	}
	if req.Service, err = f.GetString("service"); err != nil {
		return nil, err
	}
	if f.Changed("service") {
		if _, err := announce.ParseService(req.Service); err != nil {
			return nil, usagef("--service: %w", err)
		}
	}
	if f.Changed("peer") {
		text, err := f.GetString("peer")
		if err != nil {
			return nil, err
		}
		id, err := announce.ParsePeerID(text)
		if err != nil {
			return nil, usagef("--peer: %w", err)
		}
		req.PeerId = id[:]
	}
	return &req, nil
}

func (a *app) replay(cmd *cobra.Command, _ []string) error {
	req, err := parseReplay(cmd)
	if err != nil {
		return err
	}
	out, c, err := a.reader(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	stream, err := c.ReadLog(ctx, req)
	if err != nil {
		return c.explain(err)
	}
	defer stream.Close()
	l := recordList{out: out, checker: checked.NewChecker()}
	for {
		res, err := stream.Receive()
		switch {
		case errors.Is(err, io.EOF), err != nil && req.Follow && ctx.Err() != nil:
			return l.close()
		case err != nil && req.Follow && l.last > 0:
			return exitf(exitUnreachable, "%w\nGo on with --from %d", c.explain(err), l.last+1)
		case err != nil:
			return c.finish(err, l.n, "records")
		}
		for _, r := range res.GetRecords() {
			if err := l.add(r); err != nil {
				return err
			}
		}
	}
}

// record is one record of the log, for programs.
type record struct {
	Revision     uint64       `json:"revision"`
	Time         time.Time    `json:"time"`
	Kind         string       `json:"kind"` // announced, withdrawn, expired, evicted
	Service      string       `json:"service"`
	PeerID       string       `json:"peer_id"`
	Seqnum       *uint64      `json:"seqnum,omitempty"` // nil: expired or evicted
	Nickname     string       `json:"nickname,omitempty"`
	Verified     *bool        `json:"verified,omitempty"` // nil: nothing is signed
	Problem      string       `json:"problem,omitempty"`
	Announcement *input.Tuple `json:"announcement,omitempty"`
}

// recordList shows records as they come.
type recordList struct {
	out     *printer
	checker *checked.Checker
	n       int
	forged  int
	last    uint64
}

func (l *recordList) add(r *introducerv1.LogRecord) error {
	l.n++
	l.last = r.GetRevision()
	out := l.read(r)
	if out.Problem != "" {
		l.forged++
	}
	if l.out.json {
		return l.out.object(out)
	}
	if l.n == 1 {
		if err := l.out.line("%-10s %-23s %-9s %-20s %-55s %s", "REVISION", "TIME", "KIND", "SERVICE", "PEER ID", "NICKNAME"); err != nil {
			return err
		}
	}
	mark := ""
	if out.Problem != "" {
		mark = "  NOT VERIFIED: " + visible.Clip(out.Problem, 200)
	}
	return l.out.line("%-10d %-23s %-9s %-20s %-55s %s%s", out.Revision, moment(out.Time), visible.Clip(out.Kind, 20),
		visible.Clip(out.Service, 64), visible.Clip(out.PeerID, 60), name(out.Nickname), mark)
}

// read is r for programs. What the peer signed comes from its own message.
func (l *recordList) read(r *introducerv1.LogRecord) record {
	out := record{Revision: r.GetRevision(), Time: r.GetTime().AsTime()}
	if gone := r.GetRemoved(); gone != nil {
		out.Kind, out.Service = checked.Reason(gone.GetReason()), gone.GetService()
		_, _, out.PeerID = announce.Signed{PeerID: gone.GetPeerId()}.Tahoe()
		return out
	}
	signed := r.GetPublished().Signed()
	tuple := input.TupleOf(signed)
	out.Kind, out.PeerID, out.Announcement = "announced", tuple.Key, &tuple
	a, _, err := l.checker.Open(signed)
	verified := err == nil
	out.Verified = &verified
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	out.Service, out.Seqnum, out.Nickname = string(a.Service), &a.Seqnum, a.Nickname
	if a.Withdrawn {
		out.Kind = "withdrawn"
	}
	return out
}

func (l *recordList) close() error {
	if l.n == 0 && !l.out.json {
		if err := l.out.line("No records."); err != nil {
			return err
		}
	}
	if l.forged > 0 {
		return exitf(exitFailed, "%d of %d records could not be verified", l.forged, l.n)
	}
	return nil
}

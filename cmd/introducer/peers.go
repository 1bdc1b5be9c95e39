package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/web/visible"
)

const peersHelp = `Lists the peers that offer a service, by peer id.

Each signature is verified here, and what is shown is what the peer itself signed. Where the
introducer's word differs from the peer's, or nothing good was signed, the peer is marked and the
exit code is 1. Endpoints are shortened to their host, since a FURL is a secret: --full and
-o json show them whole.`

func (a *app) peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "peers SERVICE",
		Short:   "List the peers of a service",
		Long:    peersHelp,
		Example: "  introducer peers storage\n  introducer peers upload_storage -o json | jq -r .peer_id",
		Args:    cobra.ExactArgs(1),
		RunE:    a.peers,
	}
	a.addServerFlags(cmd, false)
	cmd.Flags().Bool("full", false, "all that is known of each")
	return cmd
}

func (a *app) peers(cmd *cobra.Command, args []string) error {
	service, err := announce.ParseService(args[0])
	if err != nil {
		return usage(err)
	}
	full, err := cmd.Flags().GetBool("full")
	if err != nil {
		return err
	}
	out, c, err := a.reader(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	l := peerList{out: out, full: full, checker: checked.NewChecker()}
	if err := l.fetch(ctx, c, service); err != nil {
		return err
	}
	if err := l.close(service); err != nil {
		return err
	}
	return a.reportForged(l.forged, l.n)
}

// reportForged ends a command that has shown n peers.
func (a *app) reportForged(forged, n int) error {
	if forged == 0 {
		return nil
	}
	return exitf(exitFailed, "%d of %d peers could not be verified: the introducer is wrong about them, or lies", forged, n)
}

// peerList shows peers as they come, or as a table at the end.
type peerList struct {
	out      *printer
	full     bool
	checker  *checked.Checker
	n        int
	forged   int
	revision uint64
	rows     [][]string
}

// fetch reads all pages.
func (l *peerList) fetch(ctx context.Context, c *connection, service announce.Service) error {
	req := &introducerv1.GetPeersRequest{Service: string(service), View: introducerv1.PeerView_PEER_VIEW_FULL}
	for {
		limited, stop := c.limited(ctx)
		res, err := c.GetPeers(limited, req)
		stop()
		if err != nil {
			return c.finish(err, l.n, "peers")
		}
		l.revision = res.GetRevision()
		for _, p := range res.GetPeers() {
			if err := l.add(l.checker.Check(p)); err != nil {
				return err
			}
		}
		// An introducer that gives the same token again would keep us here for ever.
		if res.GetNextPageToken() == "" || res.GetNextPageToken() == req.PageToken {
			return nil
		}
		req.PageToken = res.GetNextPageToken()
	}
}

func (l *peerList) add(p checked.Peer) error {
	l.n++
	if !p.Verified {
		l.forged++
	}
	switch {
	case l.out.json:
		return l.out.object(p)
	case l.full:
		return writeWhole(l.out, p, time.Now())
	}
	now := time.Now()
	l.rows = append(l.rows, []string{
		name(p.Nickname), visible.Clip(p.PeerID, 60), strconv.FormatUint(p.Seqnum, 10),
		ago(p.Announced, now), until(p.Expires, now), list(places(p.Endpoints, 3)), verdict(p),
	})
	return nil
}

func (l *peerList) close(service announce.Service) error {
	switch {
	case l.out.json:
		return nil
	case l.n == 0:
		return l.out.line("No peers offer %s, as of revision %s.", service, visible.Count(l.revision))
	case !l.full:
		if err := l.out.table([]string{"NICKNAME", "PEER ID", "SEQNUM", "ANNOUNCED", "EXPIRES", "ENDPOINTS", "VERIFIED"}, l.rows); err != nil {
			return err
		}
	}
	return l.out.line("\n%s of %s at revision %s.", counted(l.n, "peer"), service, visible.Count(l.revision))
}

// writeWhole writes all of a peer, a line for each fact.
func writeWhole(out *printer, p checked.Peer, now time.Time) error {
	rows := [][]string{
		{"  peer id", visible.Clip(p.PeerID, 60)},
		{"  verified", verdict(p)},
		{"  seqnum", strconv.FormatUint(p.Seqnum, 10)},
		{"  revision", strconv.FormatUint(p.Revision, 10)},
		{"  seed", seedText(p)},
		{"  first seen", whole(p.FirstSeen, ago(p.FirstSeen, now))},
		{"  announced", whole(p.Announced, ago(p.Announced, now))},
		{"  expires", whole(p.Expires, until(p.Expires, now))},
	}
	for _, e := range p.Endpoints {
		rows = append(rows, []string{"  endpoint", visible.Text(e)})
	}
	return out.table([]string{name(p.Nickname)}, rows)
}

func whole(t *time.Time, relative string) string {
	if t == nil {
		return relative
	}
	return moment(*t) + ", " + relative
}

// seedText is the permutation seed as announcements have it.
func seedText(p checked.Peer) string {
	text := input.EncodeBase32(p.PermutationSeed)
	switch {
	case p.PeerID == "v0-"+text:
		return text + " (the peer id)"
	case text == "":
		return "empty"
	}
	return text
}

func name(nickname string) string {
	if nickname == "" {
		return "-"
	}
	return visible.Clip(nickname, 32)
}

// places are the first n endpoints, shortened.
func places(endpoints []string, n int) []string {
	var out []string
	for i, e := range endpoints {
		if i == n {
			return append(out, "+"+strconv.Itoa(len(endpoints)-n))
		}
		out = append(out, visible.Endpoint(e))
	}
	return out
}

func verdict(p checked.Peer) string {
	if p.Verified {
		return "yes"
	}
	return "NO: " + visible.Clip(p.Problem, 200)
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return visible.Count(uint64(n)) + " " + thing + "s"
}

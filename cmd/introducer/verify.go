package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/web/visible"
)

const verifyHelp = `Looks whether all of a data directory is what was written, and changes nothing: every record of the log,
its checksum, place and signature; the witness; the index against the log. The introducer must not be
running. With --backup it looks at a backup instead.

What it finds it names, with the revision and the peer concerned where that is known, and what heals it. The
exit code is 1 if it found something.`

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify --data DIR | verify --backup FILE",
		Short:   "Look whether a data directory or a backup is whole",
		Long:    verifyHelp,
		Example: "  introducer verify --data /var/lib/introducer\n  introducer verify --backup grid.backup",
		Args:    cobra.NoArgs,
		RunE:    a.verify,
	}
	addDataFlags(cmd, defaultData, "the data directory")
	addOutputFlag(cmd)
	cmd.Flags().String("backup", "", "look at this backup, or - for stdin, not at a directory")
	return cmd
}

func (a *app) verify(cmd *cobra.Command, _ []string) error {
	data, opts, err := a.dataFlags(cmd)
	if err != nil {
		return err
	}
	file, err := cmd.Flags().GetString("backup")
	if err != nil {
		return err
	}
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	if file != "" {
		if cmd.Flags().Changed("data") {
			return usagef("--data and --backup: which of them?")
		}
		return a.verifyBackup(cmd, out, file, opts)
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	r, err := offline.Verify(ctx, data, opts)
	if err != nil {
		return dataError(err)
	}
	if err := showReport(out, r, data); err != nil {
		return err
	}
	if n := len(r.Findings) + r.More; n > 0 {
		return exitf(exitFailed, "%s: not all of it is as it was written (%s)", data, counted(n, "finding"))
	}
	return nil
}

// finding is one finding, for programs.
type finding struct {
	Event        string `json:"event"` // finding
	File         string `json:"file"`
	Revision     uint64 `json:"revision,omitempty"`
	LastRevision uint64 `json:"last_revision,omitempty"` // absent: the same
	Service      string `json:"service,omitempty"`
	PeerID       string `json:"peer_id,omitempty"`
	Problem      string `json:"problem"`
	Remedy       string `json:"remedy"`
}

// verified is what was looked at, for programs: the last line.
type verified struct {
	Event    string     `json:"event"` // verified
	Findings int        `json:"findings"`
	LogID    string     `json:"log_id"`
	Revision uint64     `json:"revision"`
	Time     *time.Time `json:"time,omitempty"`
	Records  uint64     `json:"records"`
	Peers    int        `json:"peers"`
}

func showReport(out *printer, r offline.Report, data string) error {
	if out.json {
		for _, f := range r.Findings {
			if err := out.object(newFinding(f, data)); err != nil {
				return err
			}
		}
		v := verified{
			Event: "verified", Findings: len(r.Findings) + r.More, LogID: r.LogID.String(),
			Revision: uint64(r.Head), Records: r.Records, Peers: r.Peers,
		}
		if !r.HeadTime.IsZero() {
			v.Time = &r.HeadTime
		}
		return out.object(v)
	}
	if len(r.Findings) > 0 {
		if err := showFindings(out, r, data); err != nil {
			return err
		}
	}
	state := "Nothing is wrong"
	if len(r.Findings) > 0 {
		state = "\nOf the rest"
	}
	written := ""
	if !r.HeadTime.IsZero() {
		written = ", written " + moment(r.HeadTime)
	}
	return out.line("%s: log %v, %s up to revision %s%s, %s.", state, r.LogID, counted(int(r.Records), "record"),
		visible.Count(uint64(r.Head)), written, counted(r.Peers, "peer"))
}

func showFindings(out *printer, r offline.Report, data string) error {
	var rows [][]string
	var remedies []string
	for _, f := range r.Findings {
		n := newFinding(f, data)
		revisions := "-"
		if n.Revision > 0 {
			revisions = strconv.FormatUint(n.Revision, 10)
		}
		if n.LastRevision > 0 {
			revisions += "-" + strconv.FormatUint(n.LastRevision, 10)
		}
		service, peer := n.Service, n.PeerID
		if service == "" {
			service, peer = "-", "-"
		}
		place := 0
		for place < len(remedies) && remedies[place] != n.Remedy {
			place++
		}
		if place == len(remedies) {
			remedies = append(remedies, n.Remedy)
		}
		rows = append(rows, []string{
			filepath.Base(n.File), revisions, service, visible.Clip(peer, 60), "(" + strconv.Itoa(place+1) + ")", visible.Clip(n.Problem, 300),
		})
	}
	if err := out.table([]string{"FILE", "REVISION", "SERVICE", "PEER ID", "REMEDY", "PROBLEM"}, rows); err != nil {
		return err
	}
	if r.More > 0 {
		if err := out.line("… and %s", counted(r.More, "further finding")); err != nil {
			return err
		}
	}
	for i, text := range remedies {
		if err := out.line("\n(%d) %s", i+1, text); err != nil {
			return err
		}
	}
	return nil
}

func newFinding(f offline.Finding, data string) finding {
	n := finding{
		Event: "finding", File: f.File, Revision: uint64(f.Revision),
		Service: string(f.Service), Problem: f.Problem, Remedy: remedyText(f, data),
	}
	if f.Last != f.Revision {
		n.LastRevision = uint64(f.Last)
	}
	if f.PeerID != nil {
		n.PeerID = f.PeerID.String()
	}
	return n
}

// remedyText is what to do, with the commands to do it.
func remedyText(f offline.Finding, data string) string {
	switch f.Remedy {
	case offline.RemedyRestore:
		return fmt.Sprintf("'introducer restore --from BACKUP --data NEW' brings back what a backup has. Without one, "+
			"'introducer export --data %s | introducer import -' saves what is good into another introducer. "+
			"Nodes announce again what is missing.", data)
	case offline.RemedyAcceptLoss:
		return fmt.Sprintf("'introducer recover --data %s --accept-loss' goes on without what is missing, and nodes announce it "+
			"again. 'introducer restore --from BACKUP --data NEW' brings back what a backup has.", data)
	case offline.RemedyRebuild:
		return fmt.Sprintf("'introducer rebuild-index --data %s', and so does the next start. Nothing is lost.", data)
	case offline.RemedyStart:
		return "The next start of the introducer mends it. Whether the log lost its end can't be told till then."
	case offline.RemedySchema:
		return "Put the file back: it says which release wrote the directory, in three lines."
	}
	return "-"
}

func (a *app) verifyBackup(cmd *cobra.Command, out *printer, file string, opts offline.Options) error {
	in, closeFile, err := a.openInput(file)
	if err != nil {
		return err
	}
	defer closeFile()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	r, err := offline.Check(ctx, in, opts)
	if err != nil {
		return backupError(err)
	}
	said := newBackedUp(r.Summary)
	said.Peers = &r.Peers
	if out.json {
		return out.object(said)
	}
	return out.line("Nothing is wrong: a backup of log %s as of %s, %s, %s.", said.LogID, said.asOf(),
		counted(int(said.Records), "record"), counted(r.Peers, "peer"))
}

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/web/visible"
)

const exportHelp = `Writes the announcements that are current at one revision, one a line, in the text forms of Tahoe-LAFS and in
the order in which they were accepted:

  {"message": "{\"service-name\": …}", "signature": "v0-…", "key": "v0-…"}

The message is the text that was signed, so 'introducer import' brings them to another introducer to the byte.
With --withdrawn withdrawals are written too: they keep what was withdrawn from being announced again by
others. What expired or was evicted is not: nobody signed that.

With --data it reads a data directory whose introducer does not run, and there goes on after damage: it says
what could not be read, and the exit code is 1.`

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write the announcements, for people and other programs",
		Long:    exportHelp,
		Example: "  introducer export --service storage\n  introducer export --out grid.jsonl",
		Args:    cobra.NoArgs,
		RunE:    a.export,
	}
	a.addServerFlags(cmd, false)
	addDataFlags(cmd, "", "read this data directory, not a running introducer")
	addOutFlags(cmd, "-", "file to write")
	f := cmd.Flags()
	f.String("service", "", "only announcements of this service")
	f.Bool("withdrawn", false, "withdrawals too")
	// Lines are the one form there is.
	f.MarkHidden("output")
	return cmd
}

func (a *app) export(cmd *cobra.Command, _ []string) error {
	data, opts, err := a.dataFlags(cmd)
	if err != nil {
		return err
	}
	e, err := newExport(cmd)
	if err != nil {
		return err
	}
	file, err := a.createOut(cmd)
	if err != nil {
		return err
	}
	defer file.drop()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if data != "" {
		err = e.readDirectory(ctx, a, data, opts)
	} else {
		err = e.readServer(ctx, a, cmd)
	}
	if err != nil {
		return err
	}
	if err := e.write(file); err != nil {
		return err
	}
	if err := file.keep(cmd); err != nil {
		return err
	}
	a.say("exported %s as of revision %s", counted(e.written, "announcement"), visible.Count(e.revision))
	if e.bad > 0 {
		return exitf(exitFailed, "%s could not be exported", counted(e.bad, "record"))
	}
	return nil
}

// export is what is current, gathered from the log.
type export struct {
	service   announce.Service // "": every one
	withdrawn bool

	newest   map[store.Key]exported // :: the newest that each peer said
	revision uint64
	written  int
	bad      int
}

type exported struct {
	revision  uint64
	withdrawn bool
	signed    announce.Signed
}

func newExport(cmd *cobra.Command) (*export, error) {
	e := &export{newest: make(map[store.Key]exported)}
	service, err := cmd.Flags().GetString("service")
	if err != nil {
		return nil, err
	}
	if cmd.Flags().Changed("service") {
		if e.service, err = announce.ParseService(service); err != nil {
			return nil, usagef("--service: %w", err)
		}
	}
	e.withdrawn, err = cmd.Flags().GetBool("withdrawn")
	return e, err
}

// readDirectory reads what can be read of a data directory.
func (e *export) readDirectory(ctx context.Context, a *app, data string, opts offline.Options) error {
	head, err := offline.Read(ctx, data, opts, func(s registry.Step) {
		switch {
		case s.Err != nil:
			e.bad++
			a.say("revision %d: %s", s.Revision, visible.Clip(s.Err.Error(), 300))
		case e.service != "" && s.Entry.Service != string(e.service):
		case s.Signed == nil:
			delete(e.newest, store.Key{Service: s.Entry.Service, PeerID: s.Entry.PeerID})
		default:
			e.newest[store.Key{Service: s.Entry.Service, PeerID: s.Entry.PeerID}] = exported{
				uint64(s.Revision), s.Entry.State == store.Withdrawn, *s.Signed,
			}
		}
	}, func(err error) {
		e.bad++
		a.say("%s", visible.Clip(err.Error(), 300))
	})
	e.revision = uint64(head)
	return dataError(err)
}

// readServer reads the log of a running introducer, up to the head that it has now.
func (e *export) readServer(ctx context.Context, a *app, cmd *cobra.Command) error {
	c, err := a.connect(cmd)
	if err != nil {
		return err
	}
	stream, err := c.ReadLog(ctx, &introducerv1.ReadLogRequest{Service: string(e.service)})
	if err != nil {
		return c.explain(err)
	}
	defer stream.Close()
	checker := checked.NewChecker()
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.explain(err)
		}
		for _, r := range res.GetRecords() {
			if err := e.take(r, checker); err != nil {
				return fmt.Errorf("the introducer at %s gives a record that can't be verified, revision %d: %w", c.url, r.GetRevision(), err)
			}
		}
	}
}

// take reads a record as an introducer sent it.
func (e *export) take(r *introducerv1.LogRecord, checker *checked.Checker) error {
	e.revision = r.GetRevision()
	if gone := r.GetRemoved(); gone != nil {
		id, err := announce.PeerIDFromBytes(gone.GetPeerId())
		delete(e.newest, store.Key{Service: gone.GetService(), PeerID: id})
		return err
	}
	signed := r.GetPublished().Signed()
	said, id, err := checker.Open(signed)
	if err != nil {
		return err
	}
	e.newest[store.Key{Service: string(said.Service), PeerID: id}] = exported{r.GetRevision(), said.Withdrawn, signed}
	return nil
}

// write writes what was gathered, a line for each.
func (e *export) write(w io.Writer) error {
	all := make([]exported, 0, len(e.newest))
	for _, one := range e.newest {
		if e.withdrawn || !one.withdrawn {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b exported) int { return cmp.Compare(a.revision, b.revision) })
	buffered := bufio.NewWriter(w)
	lines := &printer{w: buffered, json: true}
	for _, one := range all {
		if err := lines.object(input.TupleOf(one.signed)); err != nil {
			return err
		}
	}
	e.written = len(all)
	return buffered.Flush()
}

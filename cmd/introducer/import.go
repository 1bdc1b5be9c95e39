package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/web/visible"
)

const importHelp = `Publishes what 'introducer export' wrote to a running introducer, as it was signed, and says what became of it.

What the introducer knows already, or knows something newer of, is fine. What it refuses is named, and the exit
code is 4; the rest is taken all the same.`

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Publish exported announcements",
		Long:    importHelp,
		Example: "  introducer import grid.jsonl\n  introducer export --server http://old:7271 | introducer import -",
		Args:    cobra.ExactArgs(1),
		RunE:    a.importAll,
	}
	a.addServerFlags(cmd, false)
	return cmd
}

// imported is what became of all, for programs. The members are counts.
type imported struct {
	Server    string `json:"server"`
	Accepted  int    `json:"accepted"`
	Withdrawn int    `json:"withdrawn"` // withdrawals that were accepted
	Duplicate int    `json:"duplicate"` // known already
	Stale     int    `json:"stale"`     // something newer is known
	Refused   int    `json:"refused"`
}

func (a *app) importAll(cmd *cobra.Command, args []string) error {
	out, c, err := a.reader(cmd)
	if err != nil {
		return err
	}
	from, closeFile, err := a.openInput(args[0])
	if err != nil {
		return err
	}
	defer closeFile()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	p := &publisher{servers: []*connection{c}}
	sum := imported{Server: c.url}
	err = inBatches(input.Signed(from), func(batch []announce.Signed) error {
		answer := p.publish(ctx, batch)[0]
		if answer.err != nil {
			return answer.err
		}
		for i, r := range answer.results {
			sum.add(a, batch[i], r)
		}
		return ctx.Err()
	})
	if err := errors.Join(err, sum.show(out)); err != nil {
		return err
	}
	if sum.Refused > 0 {
		return exitf(exitRefused, "%s refused", counted(sum.Refused, "announcement"))
	}
	return nil
}

// add counts one result, and names what is refused.
func (s *imported) add(a *app, signed announce.Signed, r *introducerv1.PublishResult) {
	switch r.GetOutcome() {
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_ACCEPTED:
		s.Accepted++
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_WITHDRAWN:
		s.Withdrawn++
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE:
		s.Duplicate++
	case introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE:
		s.Stale++
	default:
		s.Refused++
		_, _, id := signed.Tahoe()
		a.say("%s: %s: %s", outcomeName(r.GetOutcome()), visible.Clip(id, 60), visible.Clip(r.GetReason(), 300))
	}
}

func (s *imported) show(out *printer) error {
	if out.json {
		return out.object(s)
	}
	return out.line("%s: %s accepted, %s withdrawn, %s known already, %s older than what is known, %s refused.", s.Server,
		visible.Count(uint64(s.Accepted)), visible.Count(uint64(s.Withdrawn)), visible.Count(uint64(s.Duplicate)),
		visible.Count(uint64(s.Stale)), visible.Count(uint64(s.Refused)))
}

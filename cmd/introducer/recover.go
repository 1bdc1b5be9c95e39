package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/wal"
)

const recoverHelp = `Looks at a data directory whose introducer says that acknowledged announcements are missing, because the
disk lost or damaged them or an old copy was put in place. The introducer must not be running.

Without --accept-loss it only says what is wrong. With it, what is there becomes a log of its own, with a
new id, and is no longer missing anything: subscribers then fetch everything anew, and nodes announce
again what was lost.`

func (a *app) recoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover --data DIR",
		Short: "Look at a data directory that lost announcements, and accept the loss",
		Long:  recoverHelp,
		Args:  cobra.NoArgs,
		RunE:  a.recover,
	}
	f := cmd.Flags()
	f.String("data", defaultData, "the data directory")
	f.String("witness", "", "the witness, if serve has it elsewhere")
	f.Bool("accept-loss", false, "go on without what is missing")
	return cmd
}

func (a *app) recover(cmd *cobra.Command, _ []string) (err error) {
	path, err := cmd.Flags().GetString("data")
	if err != nil {
		return err
	}
	witness, err := cmd.Flags().GetString("witness")
	if err != nil {
		return err
	}
	accept, err := cmd.Flags().GetBool("accept-loss")
	if err != nil {
		return err
	}
	logger, err := newLogger(a.stderr, "warn", "text")
	if err != nil {
		return err
	}
	dir, err := datadir.Open(path, datadir.Options{Logger: logger, Witness: witness, MustExist: true})
	if err != nil {
		return &exitError{exitDataDir, err}
	}
	defer func() { err = errors.Join(err, dir.Close()) }()

	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if err := findDamage(ctx, dir.Log); err != nil {
		return exitf(exitDataDir, "data directory %s: %w", path, err)
	}
	head := dir.Log.Head()
	lost := dir.Log.Lost()
	if lost == nil {
		fmt.Fprintf(a.stdout, "Nothing is missing: log %v ends at revision %d, as it should.\n", dir.Log.ID(), head.Revision)
		return nil
	}
	a.describeLoss(dir.Log, lost)
	if !accept {
		return exitf(exitFailed, "nothing was changed; 'introducer recover --data %s --accept-loss' goes on without what is missing", path)
	}
	id, err := wal.NewLogID(rand.Reader)
	if err != nil {
		return err
	}
	if err := dir.Log.Renew(id); err != nil {
		return fmt.Errorf("giving the log a new id: %w", err)
	}
	fmt.Fprintf(a.stdout, "The loss is accepted: this is log %v now, and it ends at revision %d.\n", id, head.Revision)
	return nil
}

// findDamage reads the whole log: a start reads so much of it only where it has no index.
func findDamage(ctx context.Context, log *wal.Log) error {
	for rec, err := range log.Records(0, 0) {
		if damage := (*wal.CorruptError)(nil); errors.As(err, &damage) {
			log.QuarantineDamage(damage)
			return nil
		}
		if err == nil && rec.Revision%4096 == 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) describeLoss(log *wal.Log, lost *wal.Lost) {
	fmt.Fprintf(a.stdout, "Something is missing: %v.\n", lost)
	fmt.Fprintf(a.stdout, "  log       %v, ends at revision %d", log.ID(), lost.Head.Revision)
	if lost.Head.Revision > 0 {
		fmt.Fprintf(a.stdout, ", written %s", moment(lost.Head.Time))
	}
	fmt.Fprintf(a.stdout, "\n  witness   log %v, revision %d", lost.Witness.LogID, lost.Witness.Revision)
	if !lost.Witness.Time.IsZero() {
		fmt.Fprintf(a.stdout, ", written %s", moment(lost.Witness.Time))
	}
	fmt.Fprintln(a.stdout)
	if lost.Damage != nil {
		fmt.Fprintln(a.stdout, "  missing   what is damaged; a backup from before has it")
	}
	if lost.Witness.LogID == log.ID() && lost.Witness.Revision > lost.Head.Revision {
		missing := int(lost.Witness.Revision - lost.Head.Revision)
		fmt.Fprintf(a.stdout, "  missing   at least %s\n", counted(missing, "record"))
	}
}

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/web/visible"
)

const compactHelp = `Drops from the log what need not be retained, and gives back the room: announcements that were replaced, and
who left, both for longer ago than the flags say. The introducer must not be running; one that runs does
the same by itself whenever it is worth it.

What is current stays, and history after what is dropped is complete. Subscribers that were away since
before someone left who is forgotten now start anew when they come back.`

func (a *app) compactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "compact --data DIR",
		Short:   "Drop from the log what need not be retained",
		Long:    compactHelp,
		Example: "  introducer compact --data /var/lib/introducer --retain-history 24h",
		Args:    cobra.NoArgs,
		RunE:    a.compact,
	}
	f := cmd.Flags()
	f.String("data", defaultData, "the data directory")
	f.String("witness", "", "the witness, if serve has it elsewhere")
	addRetentionFlags(cmd)
	return cmd
}

func (a *app) compact(cmd *cobra.Command, _ []string) (err error) {
	retain, err := parseRetention(cmd)
	if err != nil {
		return err
	}
	path, err := cmd.Flags().GetString("data")
	if err != nil {
		return err
	}
	witness, err := cmd.Flags().GetString("witness")
	if err != nil {
		return err
	}
	logger, err := newLogger(a.stderr, "warn", "text")
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	dir, err := datadir.Open(path, datadir.Options{Logger: logger, Witness: witness, MustExist: true})
	if err != nil {
		return &exitError{exitDataDir, err}
	}
	opts := registry.Options{Logger: logger, CompactEvery: -1}
	retain.set(&opts)
	r, err := registry.Open(ctx, dir, opts)
	if err != nil {
		return exitf(exitDataDir, "data directory %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()

	before := r.Storage()
	err = r.Compact(ctx)
	after := r.Storage()
	out := &printer{w: a.stdout}
	err = errors.Join(err, out.table([]string{"", "before", "after"}, [][]string{
		{"records", visible.Count(before.Records), visible.Count(after.Records)},
		{"replaced", visible.Count(before.Superseded), visible.Count(after.Superseded)},
		{"complete from", visible.Count(uint64(before.History)), visible.Count(uint64(after.History))},
		{"forgotten up to", visible.Count(uint64(before.Resume)), visible.Count(uint64(after.Resume))},
	}))
	if errors.Is(err, registry.ErrQuarantined) || errors.Is(err, registry.ErrDamaged) {
		return &exitError{exitDataDir, err}
	}
	return err
}

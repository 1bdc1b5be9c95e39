package main

import (
	"github.com/spf13/cobra"

	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/web/visible"
)

func (a *app) rebuildIndexCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild-index --data DIR",
		Short: "Build the index of a data directory anew",
		Long: `Builds the index anew from the log. The introducer must not be running; it does the same by itself when it
finds its index damaged. The old index is put aside, as index.bad-TIME, when the new one is whole.`,
		Args: cobra.NoArgs,
		RunE: a.rebuildIndex,
	}
	addDataFlags(cmd, defaultData, "the data directory")
	return cmd
}

func (a *app) rebuildIndex(cmd *cobra.Command, _ []string) error {
	data, opts, err := a.dataFlags(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	r, err := offline.RebuildIndex(ctx, data, opts)
	if err != nil {
		return dataError(err)
	}
	out := &printer{w: a.stdout}
	return out.line("The index holds %s at revision %s.", counted(r.Entries, "announcement"), visible.Count(uint64(r.Head)))
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/web/visible"
)

const restoreHelp = `Makes a data directory of a backup, which 'introducer serve --data DIR' then runs on.

The directory must be empty or not be there yet. All of the backup is checked, every signature too, and the
directory is there only when all of it was good. Revisions stay what they were, but it is a log of its own,
with a new id: subscribers fetch everything anew, and nodes announce again what was newer than the backup.`

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "restore --from FILE --data DIR",
		Short:   "Make a data directory of a backup",
		Long:    restoreHelp,
		Example: "  introducer restore --from grid.backup --data /var/lib/introducer",
		Args:    cobra.NoArgs,
		RunE:    a.restore,
	}
	addDataFlags(cmd, "", "the directory to make")
	addOutputFlag(cmd)
	cmd.Flags().String("from", "", "the backup, or - for stdin")
	return cmd
}

func (a *app) restore(cmd *cobra.Command, _ []string) error {
	data, opts, err := a.dataFlags(cmd)
	if err != nil {
		return err
	}
	from, err := cmd.Flags().GetString("from")
	if err != nil {
		return err
	}
	switch {
	case from == "":
		return usagef("--from: which backup?")
	case data == "":
		return usagef("--data: which directory is to be made?")
	}
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	in, closeFile, err := a.openInput(from)
	if err != nil {
		return err
	}
	defer closeFile()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	r, err := offline.Restore(ctx, in, data, opts)
	if err != nil {
		return backupError(err)
	}
	said := newBackedUp(r.Summary)
	said.Peers, said.Restored = &r.Peers, r.LogID.String()
	if out.json {
		return out.object(said)
	}
	return out.table([]string{"restored", data}, [][]string{
		{"as of", said.asOf()},
		{"peers", visible.Count(uint64(r.Peers))},
		{"records", visible.Count(said.Records)},
		{"of log", said.LogID},
		{"new log id", said.Restored},
	})
}

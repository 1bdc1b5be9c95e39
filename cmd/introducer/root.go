package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const rootHelp = `An introducer is the one place that the nodes of a grid know: they publish signed announcements
of their services here and subscribe to those of others. This one keeps them on disk.

  introducer demo                 an introducer with a sample grid, to look around
  introducer serve                an introducer
  introducer peers storage        who offers a service?`

// execute runs one command line.
func (a *app) execute(args []string) error {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	// What cobra refuses before a command runs is a mistake in the command line.
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	err := root.ExecuteContext(context.Background())
	if err != nil && !running {
		return usagef("%w\nRun 'introducer help' for the commands, 'introducer help COMMAND' for one.", err)
	}
	return err
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "introducer",
		Short:         "A durable introducer and its tools",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: "server", Title: "To run an introducer:"},
		&cobra.Group{ID: "keeper", Title: "To look after what it keeps:"},
		&cobra.Group{ID: "node", Title: "To announce something:"},
		&cobra.Group{ID: "reader", Title: "To look something up:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("server", a.serveCommand(), a.demoCommand(), a.recoverCommand())
	add("keeper", a.verifyCommand(), a.rebuildIndexCommand(), a.compactCommand(), a.backupCommand(), a.restoreCommand(), a.exportCommand(), a.importCommand())
	add("node", a.keygenCommand(), a.publishCommand(), a.withdrawCommand(), a.nodeCommand())
	add("reader", a.peersCommand(), a.permuteCommand(), a.subscribeCommand(), a.servicesCommand(), a.logCommand(), a.infoCommand())
	root.AddCommand(a.versionCommand(), exitCodesTopic(), outputTopic())
	return root
}

// interruptible is ctx until the user wants to stop.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

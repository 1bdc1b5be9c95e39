package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/mirror"
)

const subscribeHelp = `Shows the peers of the services given, or of every service, and then each change as it happens, until
you interrupt it.

When the connection breaks it comes back and goes on where it was, without a gap; it waits a little
longer each time, 30 seconds at most. With --resume-file it remembers where it was, so that a later
run goes on from there. Such a run may show again what the last one showed shortly before its end.

Signatures are verified here, and what is held is compared with the introducer's own digest of it; a
set that is not the introducer's is dropped, and fetched anew.

Events: resumed, reset (forget everything; all of it follows), announced, gone, synced (all that was
known has been shown), progress (nothing new; with -o json only), drain (the introducer is about to
stop), disconnected, mismatch (what is held is not what the introducer holds).`

func (a *app) subscribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "subscribe [SERVICE…]",
		Short:   "Watch the peers of services come and go",
		Long:    subscribeHelp,
		Example: "  introducer subscribe storage\n  introducer subscribe -o json --resume-file ~/.grid.json",
		RunE:    a.subscribe,
	}
	a.addServerFlags(cmd, false)
	cmd.Flags().String("resume-file", "", "file that remembers where the subscription stands")
	cmd.Flags().Bool("once", false, "end when all that is known has been shown")
	return cmd
}

func (a *app) subscribe(cmd *cobra.Command, args []string) error {
	s := &subscriber{checker: checked.NewChecker()}
	for _, arg := range args {
		service, err := announce.ParseService(arg)
		if err != nil {
			return usage(err)
		}
		s.services = append(s.services, service)
	}
	var err error
	if s.once, err = cmd.Flags().GetBool("once"); err != nil {
		return err
	}
	if s.path, err = cmd.Flags().GetString("resume-file"); err != nil {
		return err
	}
	if s.out, err = a.newPrinter(cmd); err != nil {
		return err
	}
	if s.server, err = a.connect(cmd); err != nil {
		return err
	}
	if s.held, err = s.load(); err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if err := s.run(ctx); err != nil {
		return err
	}
	if s.once && s.forged > 0 {
		return exitf(exitFailed, "%s could not be verified", counted(s.forged, "announcement"))
	}
	return nil
}

func (s *subscriber) load() (*mirror.Mirror, error) {
	if s.path == "" {
		return mirror.New(s.services), nil
	}
	m, err := mirror.Load(s.path, s.services)
	if err != nil {
		return nil, fmt.Errorf("%w\nWithout that file the subscription begins anew", err)
	}
	return m, nil
}

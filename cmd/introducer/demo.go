package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
)

const demoHelp = `Runs an introducer in which a dozen sample nodes announce themselves over the wire, and says what to try.

The sample nodes' keys follow from their names, so everyone can speak as them: this is for looking
around, not for a grid of your own. What they announce is the same each time, so that starting again
on the same data adds nothing.`

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run an introducer with a sample grid, to look around",
		Long:  demoHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := serveConfig{logLevel: "warn", drainTimeout: 2 * time.Second}
			var err error
			if c.data, err = cmd.Flags().GetString("data"); err != nil {
				return err
			}
			if c.listen, err = cmd.Flags().GetString("listen"); err != nil {
				return err
			}
			return a.serve(cmd.Context(), c, a.showAround)
		},
	}
	cmd.Flags().String("data", defaultData, "directory for all that is kept; made where there is none")
	cmd.Flags().String("listen", defaultListen, "address and port; port 0 chooses one")
	return cmd
}

// demoStorageIndex is the one whose order is shown: 16 bytes, 00 11 22 … ff.
const demoStorageIndex = "aaisem2ekvthpcezvk54zxpo74"

// showAround publishes the sample grid and tells what there is to see. It talks to the introducer as
// everyone else does.
func (a *app) showAround(ctx context.Context, d *daemon) error {
	c, err := newConnection(d.url(), 30*time.Second)
	if err != nil {
		return err
	}
	if err := a.publishSamples(ctx, c); err != nil {
		return err
	}
	if err := a.showPermutation(ctx, c); err != nil {
		return err
	}
	a.showCommands(d)
	return nil
}

func (a *app) publishSamples(ctx context.Context, c *connection) error {
	var batch []announce.Signed
	nodes := sampleGrid()
	for _, n := range nodes {
		signed, err := n.sign()
		if err != nil {
			return err
		}
		batch = append(batch, signed...)
	}
	p := publisher{servers: []*connection{c}}
	answer := p.publish(ctx, batch)[0]
	if answer.err != nil {
		return answer.err
	}
	known := 0
	for i, r := range answer.results {
		switch {
		case r.GetOutcome() == introducerv1.PublishOutcome_PUBLISH_OUTCOME_DUPLICATE:
			known++
		case outcomeRefused(r.GetOutcome()):
			return fmt.Errorf("sample announcement %d is refused as %s: %s", i+1, outcomeName(r.GetOutcome()), r.GetReason())
		}
	}
	_, err := fmt.Fprintf(a.stdout, "\nA sample grid of %d nodes made %d announcements; %d were known from before.\n", len(nodes), len(batch), known)
	return err
}

func (a *app) showPermutation(ctx context.Context, c *connection) error {
	si, err := input.StorageIndex(demoStorageIndex)
	if err != nil {
		return err
	}
	const shown = 5
	if _, err := fmt.Fprintf(a.stdout, "\nA file with the storage index %s asks its %d first peers:\n\n", demoStorageIndex, shown); err != nil {
		return err
	}
	l := permutedList{out: &printer{w: a.stdout}, checker: checked.NewChecker(), limit: shown, order: order{si: si}}
	req := &introducerv1.StreamPermutedPeersRequest{
		Service: string(announce.UploadStorage), StorageIndex: si, View: introducerv1.PeerView_PEER_VIEW_FULL,
	}
	if err := l.fetch(ctx, c, req); err != nil {
		return err
	}
	return l.close(req.Service)
}

func (a *app) showCommands(d *daemon) {
	me := os.Args[0]
	fmt.Fprintf(a.stdout, "\nIn a browser:  %s/\n\nIn a second terminal:\n\n", d.url())
	if d.url() != defaultServer {
		fmt.Fprintf(a.stdout, "  export %s=%s\n", serverVariable, d.url())
	}
	for _, line := range []string{
		"%s keygen",
		"%s publish --key node.privkey upload_storage --nickname mine --endpoint https://192.0.2.99:3457/",
		"%s peers upload_storage",
		"%s permute upload_storage " + demoStorageIndex + " -n 5",
		"%s subscribe                # watches; leave it running",
		"%s services",
		"%s log",
	} {
		fmt.Fprintf(a.stdout, "  "+line+"\n", me)
	}
	fmt.Fprintf(a.stdout, `
And in a third, to see that nothing is lost:

  kill -9 %d                 # then start it again here: the subscriber resumes, every peer is there

Ctrl-C here stops it in order.
`, os.Getpid())
}

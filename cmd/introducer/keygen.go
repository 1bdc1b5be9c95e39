package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
)

const defaultKey = "node.privkey"

func (a *app) keygenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a node's key",
		Long: `Makes a private key in a file of its own, which Tahoe-LAFS reads too, and prints the peer id that
goes with it. A file that is there is never overwritten.

With --out - the private key goes to stdout, and the peer id to stderr.`,
		Args: cobra.NoArgs,
		RunE: a.keygen,
	}
	cmd.Flags().String("out", defaultKey, "file for the private key, or - for stdout")
	return cmd
}

func (a *app) keygen(cmd *cobra.Command, _ []string) error {
	path, err := cmd.Flags().GetString("out")
	if err != nil {
		return err
	}
	key, err := announce.GenerateKey(nil)
	if err != nil {
		return err
	}
	if path == "-" {
		a.say("peer id %s", key.PeerID())
		_, err := io.WriteString(a.stdout, key.Text()+"\n")
		return err
	}
	switch err := announce.CreateKeyFile(path, key); {
	case errors.Is(err, announce.ErrKeyExists):
		return exitf(exitFailed, "%w; keys are never overwritten, choose another name with --out", err)
	case err != nil:
		return err
	}
	a.say("The private key is in %s. Whoever reads it can speak as this peer:", path)
	_, err = fmt.Fprintln(a.stdout, key.PeerID())
	return err
}

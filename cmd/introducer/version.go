package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/permute"
)

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say what program this is",
		Args:  cobra.NoArgs,
		RunE:  a.version,
	}
	addOutputFlag(cmd)
	return cmd
}

// build is what the program knows of itself, for programs.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source; "+dirty" behind it: with changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Kernel   string `json:"permutation_kernel"`
}

func newBuild() build {
	b := build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernel: permute.Kernel()}
	made, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = made.Main.Version
	dirty := ""
	for _, s := range made.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if b.Revision != "" {
		b.Revision += dirty
	}
	return b
}

func (a *app) version(cmd *cobra.Command, _ []string) error {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	b := newBuild()
	if out.json {
		return out.object(b)
	}
	rows := [][]string{{"go", b.Go}, {"platform", b.Platform}, {"permutation", b.Kernel}}
	if b.Revision != "" {
		rows = append([][]string{{"source", b.Revision}}, rows...)
	}
	return out.table([]string{"introducer", b.Version}, rows)
}

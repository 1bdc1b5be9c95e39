package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

// outFile is what a command writes: a file that is there under its name when it is whole and synced, or
// stdout.
type outFile struct {
	io.Writer
	path string
	temp *os.File // nil: stdout
}

// addOutFlags registers --out and --force; see createOut.
func addOutFlags(cmd *cobra.Command, fallback, help string) {
	cmd.Flags().String("out", fallback, help+", or - for stdout")
	cmd.Flags().Bool("force", false, "replace the file if there is one")
}

// createOut begins the file that --out names. Only its owner may read it: announcements hold secrets.
func (a *app) createOut(cmd *cobra.Command) (*outFile, error) {
	path, err := cmd.Flags().GetString("out")
	if err != nil {
		return nil, err
	}
	force, err := cmd.Flags().GetBool("force")
	if err != nil {
		return nil, err
	}
	switch path {
	case "":
		return nil, usagef("--out: which file is to be written? - is stdout")
	case "-":
		return &outFile{Writer: a.stdout, path: path}, nil
	}
	if !force {
		if err := mustNotExist(path); err != nil {
			return nil, err
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	return &outFile{Writer: temp, path: path, temp: temp}, nil
}

func mustNotExist(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return exitf(exitFailed, "--out %s: there is one already; --force replaces it", path)
	}
	return nil
}

// keep puts the file in its place. It must be whole.
func (o *outFile) keep(cmd *cobra.Command) error {
	if o.temp == nil {
		return nil
	}
	force, err := cmd.Flags().GetBool("force")
	if err == nil && !force {
		// Again: what was put there meanwhile is not ours.
		err = mustNotExist(o.path)
	}
	if err == nil {
		err = o.temp.Sync()
	}
	if err == nil {
		err = o.temp.Close()
	}
	if err == nil {
		err = os.Rename(o.temp.Name(), o.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(o.path))
	}
	return err
}

// drop removes what was not kept; after keep it does nothing.
func (o *outFile) drop() {
	if o.temp != nil {
		o.temp.Close()
		os.Remove(o.temp.Name())
	}
}

// syncDir makes a rename durable. Windows has no such call, and does it by itself.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

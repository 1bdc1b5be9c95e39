package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. They are part of what users rely on: see the text below.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitDataDir     = 5
	exitDisk        = 70
)

const exitCodesHelp = `Exit codes:

  0   done
  1   failed, for a reason that the message tells
  2   the command line is wrong, or the configuration file that it names
  3   no introducer answers
  4   the introducer refuses: an announcement is stale, invalid, badly signed or forbidden,
      or the introducer takes none now
  5   the data directory cannot be used: in use, of a newer release, damaged, or not ours
  70  the disk failed while the introducer ran: the log cannot be written, and the process
      has to be started again`

// exitError is an error that has an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return exitf(exitUsage, format, args...) }

// usage is err as a mistake in the command line; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

// errQuiet ends with an exit code when all has been said already.
var errQuiet = errors.New("already reported")

// report tells what went wrong, if anything, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errQuiet) {
		text := err.Error()
		if errors.Is(err, context.Canceled) {
			text = "interrupted"
		}
		a.say("introducer: %s", text)
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailed
}

// exitCodesTopic is `introducer help exit-codes`.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesHelp}
}

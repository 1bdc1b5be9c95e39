// Command introducer is the introducer and its tools in one binary.
//
//	introducer serve       run an introducer
//	introducer demo        the same with a sample grid, to look around
//	introducer node        run a node beside a storage server
//	introducer publish …   what nodes do: keygen, publish, withdraw
//	introducer peers …     what readers do: peers, permute, subscribe, services, log, info
//	introducer recover     look at a data directory that lost announcements
//	introducer backup …    what keepers do: backup, restore, verify, rebuild-index, export, import
//
// It alone reads flags, and wires one part to the next. `introducer help` has the commands,
// `introducer help exit-codes` and `introducer help output` what programs may rely on.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(a.main(os.Args[1:]))
}

// app is what a run of the program has of the world.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// main runs one command line and returns the exit code.
func (a *app) main(args []string) (code int) {
	// A fault of ours is told in one line: a stack trace says nothing to who sees it.
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(a.stderr, "introducer: internal error: %v\nPlease report this with the command line that led to it.\n", v)
			code = exitFailed
		}
	}()
	return a.report(a.execute(args))
}

// say writes a line for the person who looks on. What programs read goes to stdout by printer.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

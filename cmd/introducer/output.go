package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/web/visible"
)

const outputHelp = `With -o table, which is the default, commands write for people, and that may change. With -o json
they write for programs: one JSON object a line, as soon as there is one. Members:

  service           service name              nickname        as announced
  peer_id           "v0-…"                    endpoints       as announced, a list
  seqnum            the peer's own counter    revision        place in the introducer's log
  first_seen, announced, expires, time        times (RFC 3339, UTC); no expires: never
  permutation_seed  base64                    permuted_id     hexadecimal
  log_id            hexadecimal               …_seconds       time spans in seconds
  verified          whether the peer signed what is shown; problem says why not
  announcement      {message, signature, key}, which 'publish --signed' takes
  outcome, reason   of a publish; event       of a subscription; kind of a log record

Members that have nothing to say are left out, and there may come new ones. What does not print, in
either form, is shown as an escape.`

// outputTopic is `introducer help output`.
func outputTopic() *cobra.Command {
	return &cobra.Command{Use: "output", Short: "What programs may read", Long: outputHelp}
}

// printer writes what a command finds, for people or for programs.
type printer struct {
	w    io.Writer
	json bool
}

// addOutputFlag registers -o; the value is checked by newPrinter.
func addOutputFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("output", "o", "table", "table for people, json for programs (see 'help output')")
}

func (a *app) newPrinter(cmd *cobra.Command) (*printer, error) {
	switch form, err := cmd.Flags().GetString("output"); {
	case err != nil:
		return nil, err
	case form == "table":
		return &printer{w: a.stdout}, nil
	case form == "json":
		return &printer{w: a.stdout, json: true}, nil
	default:
		return nil, usagef("--output %q: must be table or json", form)
	}
}

// object writes v as a line of JSON.
func (p *printer) object(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err := io.WriteString(p.w, escapeJSON(b.String()))
	return err
}

// escapeJSON escapes what does not print, so that nothing in JSON can drive a terminal. Outside of
// strings JSON has nothing of the kind but line breaks.
func escapeJSON(s string) string {
	odd := func(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) || r == 0x7f }
	if !strings.ContainsFunc(s, odd) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !odd(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// line writes a line for people. Its arguments must be fit to be looked at.
func (p *printer) line(format string, args ...any) error {
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	return err
}

// table writes rows under a header, in columns.
func (p *printer) table(header []string, rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for text := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(p.w, strings.TrimRight(text, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// ago writes how long a moment lies back.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	d := now.Sub(*t)
	if d < time.Second {
		return "now"
	}
	return visible.Duration(d.Truncate(time.Second)) + " ago"
}

// until writes how far a moment lies ahead.
func until(t *time.Time, now time.Time) string {
	switch {
	case t == nil:
		return "never"
	case t.Before(now):
		return "now"
	}
	return "in " + visible.Duration(t.Sub(now).Truncate(time.Second))
}

// moment writes a time whole.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// list joins what there is, or says that there is nothing.
func list(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, " ")
}

package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/registry"
)

// retention is what the flags of serve and compact say of how long the log keeps what is not current, as
// registry.Options has it.
type retention struct {
	history, tombstones time.Duration
	bytes               int64
}

const defaultRetention = 720 * time.Hour

func addRetentionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Duration("retain-history", defaultRetention, "how long announcements that were replaced stay in the log; only time in which the introducer runs counts")
	f.Int64("retain-history-bytes", 0, "about how many bytes the newest part of the log may take in which nothing is dropped, however young (default any number)")
	f.Duration("retain-tombstones", defaultRetention, "how long it is remembered who left; a subscriber that was away for longer starts anew")
}

func parseRetention(cmd *cobra.Command) (r retention, err error) {
	f := cmd.Flags()
	var errs [3]error
	r.history, errs[0] = f.GetDuration("retain-history")
	r.bytes, errs[1] = f.GetInt64("retain-history-bytes")
	r.tombstones, errs[2] = f.GetDuration("retain-tombstones")
	if err := errors.Join(errs[:]...); err != nil {
		return r, err
	}
	switch {
	case r.history < 0:
		return r, usagef("--retain-history %v: must not be below zero", r.history)
	case r.bytes < 0:
		return r, usagef("--retain-history-bytes %d: must not be below zero", r.bytes)
	case r.tombstones < 0:
		return r, usagef("--retain-tombstones %v: must not be below zero", r.tombstones)
	}
	// There 0 is the default, and below 0 not at all.
	if r.history == 0 {
		r.history = -1
	}
	if r.tombstones == 0 {
		r.tombstones = -1
	}
	return r, nil
}

func (r retention) set(o *registry.Options) {
	o.RetainHistory, o.RetainHistoryBytes, o.RetainTombstones = r.history, r.bytes, r.tombstones
}

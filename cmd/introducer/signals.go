package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signals are those that a program acts on which runs until it is told to stop.
type signals struct {
	stops, reloads chan os.Signal
}

func watchSignals() *signals {
	s := &signals{stops: make(chan os.Signal, 2), reloads: make(chan os.Signal, 1)}
	signal.Notify(s.stops, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(s.reloads, syscall.SIGHUP)
	return s
}

func (s *signals) stop() {
	signal.Stop(s.stops)
	signal.Stop(s.reloads)
}

// sameSignal is how soon after the first a second signal cannot be a second thought: timeout(1) and
// some shells signal a process and its group, and so the process twice.
const sameSignal = 200 * time.Millisecond

// stopAtOnce ends the process at the next signal, unless it stopped before.
func (s *signals) stopAtOnce(logger *slog.Logger, stopped <-chan struct{}) {
	began := time.Now()
	for {
		select {
		case sig := <-s.stops:
			if time.Since(began) < sameSignal {
				continue
			}
			logger.Warn("stopping at once", "signal", sig.String())
			os.Exit(exitFailed)
		case <-stopped:
			return
		}
	}
}

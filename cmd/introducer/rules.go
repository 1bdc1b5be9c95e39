package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
)

// rules say which peers may publish. They may be read again while they are asked.
type rules struct {
	current atomic.Pointer[ruleSet] // nil: everyone may
}

type ruleSet struct {
	banned  map[announce.PeerID]struct{}
	allowed map[announce.PeerID]struct{} // nil: all
}

// read replaces the rules by those of the files at ban and allow; "" is none. On an error they stay.
func (r *rules) read(ban, allow string) error {
	var next ruleSet
	var err error
	if next.banned, err = readPeerIDs("--ban", ban); err != nil {
		return err
	}
	if next.allowed, err = readPeerIDs("--allow", allow); err != nil {
		return err
	}
	r.current.Store(&next)
	return nil
}

func readPeerIDs(flag, path string) (map[announce.PeerID]struct{}, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	defer f.Close()
	ids, err := input.PeerIDs(f)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, path, err)
	}
	return ids, nil
}

// refuse is registry.Options.Allow: "" or why the peer may not publish. Every service is treated alike.
func (r *rules) refuse(_ announce.Service, id announce.PeerID) (reason string) {
	set := r.current.Load()
	if set == nil {
		return ""
	}
	if _, ok := set.banned[id]; ok {
		return "this peer is banned here"
	}
	if set.allowed != nil {
		if _, ok := set.allowed[id]; !ok {
			return "this peer is not among those that may publish here"
		}
	}
	return ""
}

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/web/visible"
)

// nodeView shows what a node hears: every change, and how the node stands.
type nodeView struct {
	out    *printer
	peers  int      // shown so far and not gone
	digest [32]byte // of those
	last   string   // the state shown last, "" for none
}

func newNodeView(out *printer) *nodeView { return &nodeView{out: out} }

// follow shows changes until ctx ends.
func (v *nodeView) follow(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, statuses := make(chan client.Change), make(chan client.Status)
	go send(ctx, changes, c.Changes(ctx))
	go send(ctx, statuses, c.Statuses(ctx))
	var status *client.Status
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case change := <-changes:
			err = v.change(change)
		case s := <-statuses:
			status = &s
		}
		// The two come on ways of their own: a state is shown when the peers that it counts have been.
		if err == nil && status != nil && status.Digest == v.digest {
			err = v.state(status)
		}
		if err != nil {
			return err
		}
	}
}

// send sends what comes until ctx ends.
func send[T any](ctx context.Context, to chan<- T, all func(func(T) bool)) {
	for one := range all {
		select {
		case to <- one:
		case <-ctx.Done():
			return
		}
	}
}

// heardEvent is a change, for programs.
type heardEvent struct {
	Event           string           `json:"event"` // announced, gone
	Service         announce.Service `json:"service"`
	PeerID          announce.PeerID  `json:"peer_id"`
	Seqnum          uint64           `json:"seqnum"`
	Nickname        string           `json:"nickname,omitempty"`
	Endpoints       []string         `json:"endpoints,omitempty"`
	PermutationSeed []byte           `json:"permutation_seed,omitempty"`
	Announcement    *input.Tuple     `json:"announcement,omitempty"`
}

// change shows one and counts it.
func (v *nodeView) change(c client.Change) error {
	if c.Old != nil {
		v.peers--
		v.add(c.Old)
	}
	if c.New != nil {
		v.peers++
		v.add(c.New)
	}
	p := c.Peer()
	if v.out.json {
		e := heardEvent{Event: "gone", Service: p.Service, PeerID: p.ID, Seqnum: p.Seqnum, Nickname: p.Nickname}
		if c.New != nil {
			tuple := input.TupleOf(p.Signed)
			e.Event, e.Endpoints, e.PermutationSeed, e.Announcement = "announced", p.Endpoints, p.PermutationSeed, &tuple
		}
		return v.out.object(e)
	}
	if c.New == nil {
		return v.out.line("- %s  %v  %s", p.Service, p.ID, name(p.Nickname))
	}
	return v.out.line("+ %s  %v  %s  seqnum %d  %s", p.Service, p.ID, name(p.Nickname), p.Seqnum, list(places(p.Endpoints, 3)))
}

// add adds a peer to the digest, or takes it out: XOR is its own inverse.
func (v *nodeView) add(p *client.Peer) {
	for i, b := range p.Digest() {
		v.digest[i] ^= b
	}
}

// The state of a node, for programs.
type (
	stateEvent struct {
		Event       string            `json:"event"`
		Synced      bool              `json:"synced"` // every service is
		Peers       int               `json:"peers"`
		SetDigest   string            `json:"set_digest"`
		Services    []serviceState    `json:"services,omitempty"`
		Introducers []introducerState `json:"introducers,omitempty"`
		Own         []ownState        `json:"own,omitempty"`
	}
	serviceState struct {
		Service   announce.Service `json:"service"`
		Peers     int              `json:"peers"`
		SetDigest string           `json:"set_digest"`
		Synced    bool             `json:"synced"`
	}
	introducerState struct {
		Server string `json:"server"`
		State  string `json:"state"` // idle, connecting, catching up, synced
	}
	ownState struct {
		Service   announce.Service  `json:"service"`
		Seqnum    uint64            `json:"seqnum"`
		Withdrawn bool              `json:"withdrawn,omitempty"`
		Accepted  []string          `json:"accepted"`          // URLs of introducers that hold it
		Refused   map[string]string `json:"refused,omitempty"` // :: URL → why
	}
)

// state shows how the node stands, if that differs from what was shown last.
func (v *nodeView) state(s *client.Status) error {
	e := v.event(s)
	line := e.text()
	if v.out.json {
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		line = string(b)
	}
	if line == v.last {
		return nil
	}
	v.last = line
	if v.out.json {
		return v.out.object(e)
	}
	return v.out.line("= %s", line)
}

func (v *nodeView) event(s *client.Status) *stateEvent {
	e := &stateEvent{Event: "state", Synced: true, Peers: v.peers, SetDigest: hex.EncodeToString(v.digest[:])}
	for _, sv := range s.Services {
		e.Services = append(e.Services, serviceState{sv.Service, sv.Peers, hex.EncodeToString(sv.Digest[:]), sv.Synced})
		e.Synced = e.Synced && sv.Synced
	}
	for _, in := range s.Introducers {
		// Why one does not answer is in the log: it would make a new state of every try.
		e.Introducers = append(e.Introducers, introducerState{in.URL, in.State.String()})
	}
	for _, o := range s.Own {
		if !o.Current {
			continue
		}
		own := ownState{Service: o.Service, Seqnum: o.Seqnum, Withdrawn: o.Withdrawn, Accepted: []string{}}
		for url, outcome := range o.Outcomes {
			switch {
			case outcome.Accepted:
				own.Accepted = append(own.Accepted, url)
			case own.Refused == nil:
				own.Refused = map[string]string{url: outcome.Reason}
			default:
				own.Refused[url] = outcome.Reason
			}
		}
		slices.Sort(own.Accepted)
		e.Own = append(e.Own, own)
	}
	return e
}

// text is the state for people.
func (e *stateEvent) text() string {
	answering := 0
	for _, in := range e.Introducers {
		if in.State == client.Synced.String() {
			answering++
		}
	}
	var parts []string
	for _, s := range e.Services {
		part := fmt.Sprintf("%s of %s", counted(s.Peers, "peer"), s.Service)
		if !s.Synced {
			part += " (so far)"
		}
		parts = append(parts, part)
	}
	if len(e.Services) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s answering", answering, counted(len(e.Introducers), "introducer")))
	}
	for _, o := range e.Own {
		deed := "announced"
		if o.Withdrawn {
			deed = "withdrawn"
		}
		part := fmt.Sprintf("%s %s at %d of %d", o.Service, deed, len(o.Accepted), len(e.Introducers))
		for _, url := range slices.Sorted(maps.Keys(o.Refused)) {
			part += fmt.Sprintf(", refused at %s: %s", visible.Text(url), visible.Clip(o.Refused[url], 200))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

package main

import (
	"fmt"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/rpc"
	"github.com/introducer/introducer/web"
)

// status shows a daemon to the status page.
type status struct {
	d       *daemon
	service *rpc.Service
}

func (s *status) Status() web.Status {
	i := s.d.registry.Info()
	out := web.Status{
		Version:       newBuild().Version,
		LogID:         i.LogID.String(),
		FirstRevision: uint64(i.First),
		LastRevision:  uint64(i.Last),
		Started:       i.Started,
		Uptime:        time.Since(i.Started),
		ReplayTime:    i.ReplayTime,
		Peers:         i.Peers,
	}
	if i.Lost != nil {
		out.Quarantined = "Publishing is refused until the operator has looked: " + i.Lost.String() + "."
		out.NotReady = out.Quarantined
	}
	if s.d.stopping.Load() {
		out.NotReady = "The introducer is stopping."
	}
	return out
}

func (s *status) Services() []web.Service {
	all, _ := s.d.registry.Services()
	out := make([]web.Service, len(all))
	for i, c := range all {
		out[i] = web.Service{Name: string(c.Service), Peers: c.Peers, Subscribers: c.Subscribers}
	}
	return out
}

func (s *status) Peers(service, after string, limit int) (web.Page, error) {
	name, err := announce.ParseService(service)
	if err != nil {
		return web.Page{}, fmt.Errorf("%w: %w", web.ErrNotFound, err)
	}
	var from announce.PeerID
	if after != "" {
		if from, err = announce.ParsePeerID(after); err != nil {
			return web.Page{}, fmt.Errorf("%w: %w", web.ErrNotFound, err)
		}
	}
	peers := s.d.registry.View(name).Peers
	page := web.Page{Total: peers.Len()}
	for id, p := range peers.From(from) {
		if after != "" && id == from {
			continue
		}
		if len(page.Peers) == limit {
			page.More = true
			break
		}
		row := web.Peer{ID: p.ID.String(), Seqnum: p.Seqnum, Announced: p.Announced(), Expires: p.Expires()}
		// A damaged record is shown as that: the page is where the operator looks.
		if said, _, err := s.d.registry.Announcement(p); err != nil {
			row.Damaged = err.Error()
		} else {
			row.Nickname, row.Endpoints = said.Nickname, said.AllEndpoints()
		}
		page.Peers = append(page.Peers, row)
	}
	return page, nil
}

func (s *status) Visitors(limit int) web.Visitors {
	v := s.service.Visitors(limit)
	out := web.Visitors{Connected: v.Connected}
	for _, sub := range v.Subscribers {
		row := web.Subscriber{Nickname: sub.Nickname, Version: sub.Version, Since: sub.Since.UTC()}
		for _, name := range sub.Services {
			row.Services = append(row.Services, string(name))
		}
		out.Subscribers = append(out.Subscribers, row)
	}
	for _, p := range v.Publishers {
		out.Publishers = append(out.Publishers, web.Publisher{
			ID: p.ID.String(), Published: p.Published.UTC(), Announcements: p.Announcements,
		})
	}
	return out
}

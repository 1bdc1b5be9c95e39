package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/introducer/introducer/announce"
)

// Config is what a node is to do. The comment of [Load] has the file's keys, which are named here as
// they are there. A Config made in Go is as good as one that was loaded; its paths are relative to the
// working directory, and only State has no default.
type Config struct {
	Nickname    string
	Key         string   // path of the key file; "": the node only listens
	State       string   // path of a directory
	Introducers []string // base URLs, one at least
	Wants       []announce.Service
	Listen      string // host and port of the local lookup service; "": none; without a host: 127.0.0.1
	Storage     Storage
	Offers      []Offer // services besides storage
}

// Storage is what the node says of its storage server. Its zero value offers none.
type Storage struct {
	Enabled  bool
	ReadOnly bool // shares can be read, and no new ones are taken
	Place
}

// Offer is another service that the node offers.
type Offer struct {
	Service announce.Service
	Place
}

// Place is where a service is, and how it is announced; announce.Announcement has the rules. The zero
// value of each field says nothing.
type Place struct {
	Endpoints       []string
	FURL            string   // Tahoe-LAFS's anonymous-storage-FURL: a secret
	NURLs           []string // Tahoe-LAFS's anonymous-storage-NURLs: secrets
	PermutationSeed []byte   // nil: the peer id
	TTL             time.Duration
}

// Announcements returns what the node is to announce under this configuration, one for each service, in
// the order of their names and without sequence numbers:
//
//	storage disabled   nothing of it
//	storage enabled    upload_storage and download_storage
//	and read-only      download_storage alone
//	each of Offers     its service
//
// Whatever else the node has announced before is to be withdrawn.
func (c *Config) Announcements() []announce.Announcement {
	var all []announce.Announcement
	add := func(s announce.Service, p *Place) { all = append(all, c.announcement(s, p)) }
	if c.Storage.Enabled {
		add(announce.DownloadStorage, &c.Storage.Place)
		if !c.Storage.ReadOnly {
			add(announce.UploadStorage, &c.Storage.Place)
		}
	}
	for i := range c.Offers {
		add(c.Offers[i].Service, &c.Offers[i].Place)
	}
	slices.SortFunc(all, func(a, b announce.Announcement) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

func (c *Config) announcement(s announce.Service, p *Place) announce.Announcement {
	return announce.Announcement{
		Service: s, Nickname: c.Nickname, PermutationSeed: p.PermutationSeed,
		FURL: p.FURL, NURLs: p.NURLs, Endpoints: p.Endpoints, TTL: p.TTL,
	}
}

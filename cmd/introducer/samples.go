package main

import (
	"crypto/sha256"
	"fmt"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
)

// sampleNode is a node of the sample grid. All of it follows from its name.
type sampleNode struct {
	name     string
	services []announce.Service
	host     string
	seed     int // bytes of permutation seed announced: 20 as the oldest nodes, 52 as today's; 0: none
}

// sampleGrid is a dozen nodes as a real grid has them: most store and serve, one only serves what it
// once stored, one helps uploads. Addresses are of the block set aside for documentation (RFC 5737).
func sampleGrid() []sampleNode {
	both := []announce.Service{announce.UploadStorage, announce.DownloadStorage}
	names := [...]string{"alder", "birch", "cedar", "douglas", "elm", "fir", "gingko", "hazel", "ironwood", "juniper"}
	seeds := [...]int{20, 32, 52, 0}
	var grid []sampleNode
	for i, name := range names {
		grid = append(grid, sampleNode{name, both, fmt.Sprintf("192.0.2.%d", 11+i), seeds[i%len(seeds)]})
	}
	return append(grid,
		sampleNode{"katsura", []announce.Service{announce.DownloadStorage}, "192.0.2.21", 52},
		sampleNode{"larch", []announce.Service{announce.Helper}, "192.0.2.22", 0},
	)
}

// sign returns the node's announcements, one for each service and the same bytes each time.
func (n sampleNode) sign() ([]announce.Signed, error) {
	key := announce.NewKeyFromSeed(n.bytes("key"))
	tub, swiss := n.bytes("tub"), n.bytes("swissnum")
	var out []announce.Signed
	for _, service := range n.services {
		said := announce.Announcement{
			Service:  service,
			Seqnum:   1,
			Nickname: n.name,
			FURL: fmt.Sprintf("pb://%s@tcp:%s:3456/%s", input.EncodeBase32(tub[:20]), n.host,
				input.EncodeBase32(swiss[:20])),
			Endpoints: []string{fmt.Sprintf("https://%s:3457/", n.host)},
		}
		if n.seed > 0 {
			first, second := n.bytes("seed"), n.bytes("more seed")
			said.PermutationSeed = append(first[:], second[:]...)[:n.seed]
		}
		message, err := said.Message()
		if err != nil {
			return nil, fmt.Errorf("sample node %s: %w", n.name, err)
		}
		out = append(out, key.Sign(message))
	}
	return out, nil
}

// bytes are what passes for random in this node.
func (n sampleNode) bytes(what string) [32]byte {
	return sha256.Sum256([]byte("introducer sample grid: " + n.name + ": " + what))
}

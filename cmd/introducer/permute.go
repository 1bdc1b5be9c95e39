package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/checked"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/permute"
	"github.com/introducer/introducer/web/visible"
)

const permuteHelp = `Lists the peers of a service in the order in which a file with this storage index meets them.

A storage index is 26 characters of base32, as Tahoe-LAFS writes its 16 bytes, or 32 hexadecimal
digits. For other lengths, of 1 to 64 bytes, write base32:… or hex:….

Signatures are verified here, and so is the order: each peer's place follows from what it signed.`

func (a *app) permuteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "permute SERVICE STORAGE-INDEX",
		Short: "List the peers of a service in the order of a storage index",
		Long:  permuteHelp,
		Example: "  introducer permute upload_storage aaisem2ekvthpcezvk54zxpo74 -n 10\n" +
			"  introducer permute storage 00112233445566778899aabbccddeeff -o json",
		Args: cobra.ExactArgs(2),
		RunE: a.permute,
	}
	a.addServerFlags(cmd, false)
	cmd.Flags().IntP("limit", "n", 0, "how many peers (default all)")
	cmd.Flags().StringArray("preferred", nil, "peer id that comes first, if it offers the service; may be repeated")
	return cmd
}

func (a *app) permute(cmd *cobra.Command, args []string) error {
	l, req, err := parsePermute(cmd, args)
	if err != nil {
		return err
	}
	if l.out, err = a.newPrinter(cmd); err != nil {
		return err
	}
	c, err := a.connect(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if err := l.fetch(ctx, c, req); err != nil {
		return err
	}
	if err := l.close(req.Service); err != nil {
		return err
	}
	return a.reportForged(l.forged, l.n)
}

func parsePermute(cmd *cobra.Command, args []string) (*permutedList, *introducerv1.StreamPermutedPeersRequest, error) {
	service, err := announce.ParseService(args[0])
	if err != nil {
		return nil, nil, usage(err)
	}
	si, err := input.StorageIndex(args[1])
	if err != nil {
		return nil, nil, usage(err)
	}
	limit, err := cmd.Flags().GetInt("limit")
	if err != nil {
		return nil, nil, err
	}
	if limit < 0 {
		return nil, nil, usagef("--limit %d: must not be below zero", limit)
	}
	preferred, err := cmd.Flags().GetStringArray("preferred")
	if err != nil {
		return nil, nil, err
	}
	req := &introducerv1.StreamPermutedPeersRequest{Service: string(service), StorageIndex: si, View: introducerv1.PeerView_PEER_VIEW_FULL}
	for _, text := range preferred {
		id, err := announce.ParsePeerID(text)
		if err != nil {
			return nil, nil, usagef("--preferred: %w", err)
		}
		req.PreferredPeerIds = append(req.PreferredPeerIds, id[:])
	}
	return &permutedList{checker: checked.NewChecker(), limit: limit, order: order{si: si, preferred: req.PreferredPeerIds}}, req, nil
}

// permutedPeer is one peer in a permutation, for programs.
type permutedPeer struct {
	Position   int    `json:"position"` // from 1
	PermutedID string `json:"permuted_id"`
	Preferred  bool   `json:"preferred,omitempty"`
	checked.Peer
}

// permutedList shows a permutation as it comes, or as a table at the end.
type permutedList struct {
	out      *printer
	checker  *checked.Checker
	limit    int // 0: all
	order    order
	n        int
	forged   int
	revision uint64
	rows     [][]string
}

// fetch reads as many peers as are wanted; the introducer makes no more than that and a chunk.
func (l *permutedList) fetch(ctx context.Context, c *connection, req *introducerv1.StreamPermutedPeersRequest) error {
	stream, err := c.StreamPermutedPeers(ctx, req)
	if err != nil {
		return c.explain(err)
	}
	defer stream.Close()
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.finish(err, l.n, "peers")
		}
		l.revision = res.GetRevision()
		for _, p := range res.GetPeers() {
			if err := l.add(p); err != nil {
				return err
			}
			if l.n == l.limit {
				return nil
			}
		}
	}
}

func (l *permutedList) add(p *introducerv1.PermutedPeer) error {
	l.n++
	peer := l.checker.Check(p.GetPeer())
	preferred, err := l.order.next(p)
	if err != nil && peer.Verified {
		peer.Verified, peer.Problem = false, err.Error()
	}
	if !peer.Verified {
		l.forged++
	}
	id := hex.EncodeToString(p.GetPermutedId())
	if l.out.json {
		return l.out.object(permutedPeer{l.n, id, preferred, peer})
	}
	position := strconv.Itoa(l.n)
	if preferred {
		position += " preferred"
	}
	l.rows = append(l.rows, []string{position, id, name(peer.Nickname), visible.Clip(peer.PeerID, 60), list(places(peer.Endpoints, 3)), verdict(peer)})
	return nil
}

func (l *permutedList) close(service string) error {
	switch {
	case l.out.json:
		return nil
	case l.n == 0:
		return l.out.line("No peers offer %s, as of revision %s.", service, visible.Count(l.revision))
	}
	if err := l.out.table([]string{"#", "PERMUTED ID", "NICKNAME", "PEER ID", "ENDPOINTS", "VERIFIED"}, l.rows); err != nil {
		return err
	}
	return l.out.line("\n%s of %s at revision %s.", counted(l.n, "peer"), service, visible.Count(l.revision))
}

// order checks a permutation as it comes.
type order struct {
	si        []byte
	preferred [][]byte
	last      *introducerv1.PermutedPeer
}

// next tells whether p is preferred, and why it cannot stand at this place, if so.
func (o *order) next(p *introducerv1.PermutedPeer) (preferred bool, err error) {
	preferred = o.prefers(p)
	last := o.last
	o.last = p
	want := permute.Hash(o.si, p.GetPeer().GetPermutationSeed())
	if !bytes.Equal(want[:], p.GetPermutedId()) {
		return preferred, fmt.Errorf("the introducer says permuted id %x, the peer's is %x", p.GetPermutedId(), want)
	}
	if last == nil || o.prefers(last) && !preferred {
		return preferred, nil
	}
	before := bytes.Compare(last.GetPermutedId(), p.GetPermutedId())
	if before == 0 {
		before = bytes.Compare(last.GetPeer().GetPeerId(), p.GetPeer().GetPeerId())
	}
	if before >= 0 || preferred && !o.prefers(last) {
		return preferred, errors.New("it belongs before the peer above it")
	}
	return preferred, nil
}

func (o *order) prefers(p *introducerv1.PermutedPeer) bool {
	return slices.ContainsFunc(o.preferred, func(id []byte) bool { return bytes.Equal(id, p.GetPeer().GetPeerId()) })
}

package rpc_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/rpc"
)

// backup reads a whole Backup stream.
func (in *introducer) backup(c client) []byte {
	in.t.Helper()
	stream, err := c.Backup(in.t.Context(), &introducerv1.BackupRequest{})
	if err != nil {
		in.t.Fatal(err)
	}
	defer stream.Close()
	var all []byte
	for _, m := range received(in.t, stream.Receive) {
		if n := len(m.Chunk); n == 0 || n > 64<<10 {
			in.t.Errorf("a chunk of %d bytes", n)
		}
		all = append(all, m.Chunk...)
	}
	return all
}

func TestBackup(t *testing.T) {
	in := start(t, settings{})
	for i := range 300 {
		in.put(in.offer(i%200, announce.Storage, uint64(i)))
	}
	for _, w := range mostWires() {
		file := in.backup(in.dial(w))
		got, err := offline.Check(t.Context(), bytes.NewReader(file), offline.Options{})
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		info := in.reg.Info()
		if got.LogID != info.LogID || got.Head.Revision != info.Last || got.Peers != info.Peers || got.Records != 300 {
			t.Errorf("%s: backup of log %v at revision %d, %d records and %d peers", w.name, got.LogID, got.Head.Revision, got.Records, got.Peers)
		}
	}
}

// A backup is of the revision at which it began, however long it takes and whatever is published meanwhile.
func TestBackupIsOfOneRevision(t *testing.T) {
	in := start(t, settings{})
	const before = 2_000
	for i := range before {
		in.put(in.offer(i, announce.Storage, 1))
	}
	stream, err := in.binary().Backup(t.Context(), &introducerv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	first, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		in.put(in.offer(i, announce.Storage, 2))
	}
	file := bytes.Clone(first.Chunk)
	for _, m := range received(t, stream.Receive) {
		file = append(file, m.Chunk...)
	}
	got, err := offline.Check(t.Context(), bytes.NewReader(file), offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Head.Revision != before || got.Records != before {
		t.Errorf("got revision %d and %d records, want %d", got.Head.Revision, got.Records, before)
	}
}

// putBig has the log hold more than lies in the buffers between the two sides, so that a stream that nobody
// reads stays.
func (in *introducer) putBig() {
	in.t.Helper()
	big := make([]string, 10)
	for i := range big {
		big[i] = "https://node.test/" + hex.EncodeToString(make([]byte, 480))
	}
	for i := range 1500 {
		in.put(sign(in.t, node(i), announce.Announcement{Service: announce.Storage, Seqnum: 1, Endpoints: big}))
	}
}

// Whoever reads nothing loses its place to others, and is told.
func TestBackupStalls(t *testing.T) {
	in := start(t, settings{})
	in.putBig()
	rpc.SetBackupStall(in.svc, 100*time.Millisecond)
	c := in.binary()
	var idle []func() error
	for {
		stream, err := c.Backup(t.Context(), &introducerv1.BackupRequest{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if _, err := stream.Receive(); connect.CodeOf(err) == connect.CodeResourceExhausted {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, func() (err error) {
			for err == nil {
				_, err = stream.Receive()
			}
			return err
		})
		if len(idle) == 4 {
			break
		}
	}
	if err := idle[0](); connect.CodeOf(err) != connect.CodeAborted {
		t.Errorf("who read nothing: got %v", err)
	}
}

func TestBackupsAreFew(t *testing.T) {
	in := start(t, settings{})
	in.putBig()
	c := in.binary()
	open := func() (func(), error) {
		stream, err := c.Backup(t.Context(), &introducerv1.BackupRequest{})
		if err != nil {
			return nil, err
		}
		if _, err := stream.Receive(); err != nil {
			stream.Close()
			return nil, err
		}
		return func() { stream.Close() }, nil
	}
	var closers []func()
	for range 2 {
		closeStream, err := open()
		if err != nil {
			t.Fatal(err)
		}
		closers = append(closers, closeStream)
	}
	if _, err := open(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one too many: got %v", err)
	}
	closers[0]()
	// The introducer notices by and by.
	for {
		closeStream, err := open()
		if err == nil {
			closers[0] = closeStream
			break
		}
		if connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Fatal(err)
		}
	}
	in.svc.Drain()
	if _, err := open(); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("while stopping: got %v", err)
	}
	for _, closeStream := range closers {
		closeStream()
	}
}

// Subscribers that come back after a restore, from before the backup or after it, are told to begin anew,
// and then hold exactly what the introducer does.
func TestSubscribersAfterARestore(t *testing.T) {
	in := start(t, settings{})
	var tokens []*introducerv1.ResumeToken
	remember := func() {
		i := in.reg.Info()
		tokens = append(tokens, &introducerv1.ResumeToken{LogId: bytes.Clone(i.LogID[:]), Revision: uint64(i.Last)})
	}
	for i := range 40 {
		in.put(in.offer(i, announce.Storage, 1))
	}
	remember()
	in.put(in.offer(1, announce.Storage, 2))
	in.put(sign(t, node(2), announce.Announcement{Service: announce.Storage, Seqnum: 2, Withdrawn: true}))
	remember()
	file := in.backup(in.binary())
	in.put(in.offer(3, announce.Storage, 2))
	in.put(sign(t, node(4), announce.Announcement{Service: announce.Storage, Seqnum: 2, Withdrawn: true}))
	remember()
	in.stop()

	dir := t.TempDir()
	if _, err := offline.Restore(t.Context(), bytes.NewReader(file), dir, offline.Options{}); err != nil {
		t.Fatal(err)
	}
	again := start(t, settings{dir: dir})
	// The log goes on, past where the old one was.
	for i := range 5 {
		again.put(again.offer(50+i, announce.Storage, 1))
	}
	for _, token := range tokens {
		t.Run(fmt.Sprint(token.Revision), func(t *testing.T) {
			stream, err := again.binary().Subscribe(t.Context(), &introducerv1.SubscribeRequest{Resume: token})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			var got [32]byte
			for n := 0; ; n++ {
				res, err := stream.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if reason := res.GetReset_().GetReason(); (n == 0) != (reason == introducerv1.ResetReason_RESET_REASON_OTHER_LOG) {
					t.Fatalf("event %d: %v", n, res)
				}
				for _, c := range res.GetChanges().GetChanges() {
					digest := c.GetAnnounced().GetAnnouncement().Signed().Digest()
					for i := range got {
						got[i] ^= digest[i]
					}
				}
				if synced := res.GetSynced(); synced != nil {
					if diff := cmp.Diff(got[:], synced.GetSetDigest()); diff != "" {
						t.Errorf("set digest (-got +want):\n%s", diff)
					}
					return
				}
			}
		})
	}
}

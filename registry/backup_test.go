package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
)

func TestBackup(t *testing.T) {
	r := registrytest.Open(t, t.TempDir(), registry.Options{})
	for _, name := range []string{"a", "b", "c"} {
		registrytest.Publish(t, r, registrytest.Sign(t, registrytest.Key(name), announce.Announcement{Service: announce.Storage, Seqnum: 1}))
	}
	var file bytes.Buffer
	sum, err := r.Backup(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	if i := r.Info(); sum.LogID != i.LogID || sum.Head.Revision != i.Last || sum.Records != 3 || sum.Bytes != int64(file.Len()) {
		t.Errorf("got %+v of %+v", sum, i)
	}
	read, err := backup.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range read.Records() {
		if err != nil {
			t.Error(err)
		}
	}

	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := r.Backup(ctx, io.Discard); !errors.Is(err, stopped) {
		t.Errorf("stopped: got %v", err)
	}
	broken, into := io.Pipe()
	broken.Close()
	if _, err := r.Backup(t.Context(), into); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the writer fails: got %v", err)
	}
	registrytest.Close(t, r)
	if _, err := r.Backup(t.Context(), io.Discard); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/api/introducer/v1/introducerv1connect"
	"github.com/introducer/introducer/backup"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/offline"
	"github.com/introducer/introducer/wal"
	"github.com/introducer/introducer/web/visible"
)

const backupHelp = `Writes the introducer's whole log, as of one revision, to a file: of a running introducer, which goes on
meanwhile, or with --data of a data directory whose introducer does not run.

What comes is checked as it is written, and the file is there under its name only when it is whole.
'introducer restore' makes a data directory of it; 'introducer verify --backup FILE' checks it again.`

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "backup --out FILE",
		Short:   "Write a backup",
		Long:    backupHelp,
		Example: "  introducer backup --out grid.backup\n  introducer backup --out - | ssh safe 'cat > grid.backup'",
		Args:    cobra.NoArgs,
		RunE:    a.backup,
	}
	a.addServerFlags(cmd, false)
	addDataFlags(cmd, "", "take the backup of this data directory, not of a running introducer")
	addOutFlags(cmd, "", "file to write")
	return cmd
}

// addDataFlags registers the flags of commands that work on a data directory.
func addDataFlags(cmd *cobra.Command, fallback, help string) {
	cmd.Flags().String("data", fallback, help)
	cmd.Flags().String("witness", "", "the witness, if serve has it elsewhere")
}

// dataFlags reads them; data "" is a running introducer's, where the command allows that.
func (a *app) dataFlags(cmd *cobra.Command) (data string, o offline.Options, err error) {
	if data, err = cmd.Flags().GetString("data"); err != nil {
		return "", o, err
	}
	if o.Witness, err = cmd.Flags().GetString("witness"); err != nil {
		return "", o, err
	}
	server := cmd.Flags().Lookup("server")
	switch {
	case server != nil && server.Changed && data != "":
		return "", o, usagef("--server and --data: which of them?")
	case cmd.Flags().Changed("data") && data == "":
		return "", o, usagef("--data: must name a directory")
	}
	o.Progress = a.progress
	return data, o, nil
}

// progress tells the person who waits.
func (a *app) progress(p offline.Progress) {
	if p.Head > 0 {
		a.say("%s: revision %s of %s", p.Doing, visible.Count(uint64(p.At)), visible.Count(uint64(p.Head)))
	}
}

// backedUp is a backup that was written, or checked, for programs.
type backedUp struct {
	LogID    string     `json:"log_id"`
	Revision uint64     `json:"revision"` // what it is as of
	Time     *time.Time `json:"time,omitempty"`
	Records  uint64     `json:"records"`
	Bytes    int64      `json:"bytes"`
	SHA256   string     `json:"sha256"`
	Peers    *int       `json:"peers,omitempty"`
	Restored string     `json:"restored_log_id,omitempty"`
}

func newBackedUp(s backup.Summary) backedUp {
	b := backedUp{
		LogID: s.LogID.String(), Revision: uint64(s.Head.Revision), Records: s.Records, Bytes: s.Bytes,
		SHA256: hex.EncodeToString(s.Sum[:]),
	}
	if !s.HeadTime.IsZero() {
		b.Time = &s.HeadTime
	}
	return b
}

// asOf is where in the log a backup stands, for people.
func (b backedUp) asOf() string {
	if b.Time == nil {
		return "before its first record"
	}
	return "revision " + visible.Count(b.Revision) + ", written " + moment(*b.Time)
}

func (a *app) backup(cmd *cobra.Command, _ []string) error {
	data, opts, err := a.dataFlags(cmd)
	if err != nil {
		return err
	}
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	file, err := a.createOut(cmd)
	if err != nil {
		return err
	}
	defer file.drop()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	var sum backup.Summary
	if data != "" {
		sum, err = a.backupDirectory(ctx, file, data, opts)
	} else {
		sum, err = a.backupServer(ctx, cmd, file)
	}
	if err != nil {
		return err
	}
	if err := file.keep(cmd); err != nil {
		return err
	}
	said := newBackedUp(sum)
	if file.temp == nil {
		a.say("backup of log %s as of %s: %s, %d bytes", said.LogID, said.asOf(), counted(int(said.Records), "record"), said.Bytes)
		return nil
	}
	if out.json {
		return out.object(said)
	}
	return out.table([]string{"backup", file.path}, [][]string{
		{"of log", said.LogID},
		{"as of", said.asOf()},
		{"records", visible.Count(said.Records)},
		{"bytes", visible.Count(uint64(said.Bytes))},
		{"sha256", said.SHA256},
	})
}

func (a *app) backupDirectory(ctx context.Context, w io.Writer, data string, opts offline.Options) (backup.Summary, error) {
	sum, lost, err := offline.Backup(ctx, w, data, opts)
	if err != nil {
		return sum, dataError(err)
	}
	if lost != nil {
		a.say("The log lost records, and this is a backup of what is left: %v.", lost)
	}
	return sum, nil
}

// dataError gives errors that say something of a data directory their exit code. Nil stays nil.
func dataError(err error) error {
	for _, e := range []error{datadir.ErrInUse, datadir.ErrNotOurs, datadir.ErrNewer, datadir.ErrExists, offline.ErrLost, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return &exitError{exitDataDir, err}
		}
	}
	if errors.As(err, new(*wal.CorruptError)) {
		return &exitError{exitDataDir, err}
	}
	return err
}

// backupServer writes what a running introducer sends, and reads it as it comes: what is not a whole
// backup is not kept.
func (a *app) backupServer(ctx context.Context, cmd *cobra.Command, w io.Writer) (backup.Summary, error) {
	c, err := a.connect(cmd)
	if err != nil {
		return backup.Summary{}, err
	}
	stream, err := c.Backup(ctx, &introducerv1.BackupRequest{})
	if err != nil {
		return backup.Summary{}, c.explain(err)
	}
	defer stream.Close()
	from := &chunkReader{stream: &stream}
	buffered := bufio.NewWriterSize(w, 256<<10)
	r, err := backup.NewReader(io.TeeReader(from, buffered))
	if err == nil {
		progress := offline.NewReporter(a.progress)
		for rec, err2 := range r.Records() {
			if err = err2; err != nil {
				break
			}
			progress.At("writing the backup", rec.Revision, r.Header().Head.Revision)
		}
	}
	if from.err != nil {
		return backup.Summary{}, c.explain(from.err)
	}
	if err != nil {
		return backup.Summary{}, err
	}
	s, _ := r.Summary()
	return s, buffered.Flush()
}

// chunkReader reads the chunks of a stream.
type chunkReader struct {
	stream *introducerv1connect.IntroducerServiceBackupClientStream
	rest   []byte
	err    error // of the stream; nil: it ended in order
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		res, err := r.stream.Receive()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			r.err = err
			return 0, err
		}
		r.rest = res.GetChunk()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// backupError is an error of reading a backup, or of putting it where it should go. Damage in a backup says
// nothing of a data directory. Nil stays nil.
func backupError(err error) error {
	for _, e := range []error{backup.ErrDamaged, backup.ErrNotBackup, backup.ErrNewer} {
		if errors.Is(err, e) {
			return err
		}
	}
	return dataError(err)
}

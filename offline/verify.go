package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/store"
	"github.com/introducer/introducer/wal"
)

// Finding is one thing that is not as it was written.
type Finding struct {
	File     string       // path of the file or directory, as the data directory was named
	Revision wal.Revision // the first record concerned; 0: none in particular
	Last     wal.Revision // … and the last
	// Whose announcement is concerned, where that is known; "" and nil where not.
	Service announce.Service
	PeerID  *announce.PeerID
	Problem string
	Remedy  Remedy
}

// Remedy is what heals a finding.
type Remedy uint8

const (
	// RemedyRestore: only a backup brings back what is gone; without one, what is good can be saved by
	// export from this directory and import into a new one, and nodes announce again what is missing.
	RemedyRestore Remedy = 1 + iota
	// RemedyAcceptLoss: recover --accept-loss goes on without what is missing, or a backup is restored.
	RemedyAcceptLoss
	// RemedyRebuild: the index is built anew from the log, by rebuild-index or by the next start.
	RemedyRebuild
	// RemedyStart: the next start of the introducer mends it.
	RemedyStart
	// RemedySchema: the file SCHEMA has to be put back.
	RemedySchema
)

// Report is what Verify found.
type Report struct {
	Findings []Finding // nil: all is as it was written
	More     int       // findings beyond MaxFindings

	LogID    wal.LogID
	Head     wal.Revision
	HeadTime time.Time // of the newest record; zero: there is none
	Records  uint64    // good ones
	Peers    int       // live by the log; a node counts once for each service
	Digest   [32]byte  // set digest of those
}

// MaxFindings is how many findings a Report has; further ones are counted.
const MaxFindings = 1000

// Verify looks at all of the data directory at path and changes nothing: the log's every record, its
// checksum, place and chain, what it says and who signed it, and whether it could follow what was before;
// the witness against the log; the index's pages and checksums, and its entries against the log. An error
// means that it could not look: in use, not ours, of a newer release, not readable, or ctx's.
func Verify(ctx context.Context, path string, opts Options) (_ Report, err error) {
	dir, err := datadir.Inspect(path, datadir.Options{Witness: opts.Witness})
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	v := &verification{ctx: ctx, dir: dir, progress: NewReporter(opts.Progress)}
	if dir.Problem != nil {
		v.found(Finding{File: dir.Schema, Problem: dir.Problem.Error(), Remedy: RemedySchema})
	}
	if err := v.run(); err != nil {
		return Report{}, fmt.Errorf("verifying data directory %s: %w", path, err)
	}
	return v.report, nil
}

// verification is one Verify.
type verification struct {
	ctx      context.Context
	dir      *datadir.Inspection
	progress *Reporter
	report   Report

	log     *wal.Inspection   // nil: it can't be opened
	index   *store.Index      // nil: likewise
	history *registry.History // of the log, when it was read
	seen    []sighting        // of the log
	// Places in report.Findings of records that can't be read: the index may know whose they are.
	unread []int
}

// sighting is a place in the log that something else remembers.
type sighting struct {
	file string
	wal.Position
}

func (v *verification) found(f Finding) {
	// The stores tell details in further lines, which are for their own developers.
	f.Problem, _, _ = strings.Cut(f.Problem, "\n")
	if f.Last == 0 {
		f.Last = f.Revision
	}
	if len(v.report.Findings) == MaxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

func (v *verification) run() (err error) {
	if err := v.openLog(); err != nil {
		return err
	}
	if v.log != nil {
		defer func() { err = errors.Join(err, v.log.Close()) }()
	}
	if err := v.openIndex(); err != nil {
		return err
	}
	if v.index != nil {
		// That closing a damaged file may fail as well is of no interest.
		defer v.index.Close()
	}
	if v.log != nil {
		if err := v.readLog(); err != nil {
			return err
		}
	}
	if v.index != nil {
		return v.readIndex()
	}
	return nil
}

// cannotLook: err says nothing of the data, but keeps it from being looked at.
func cannotLook(err error) bool {
	for _, e := range []error{
		fs.ErrPermission, wal.ErrLocked, wal.ErrNewerSchema, wal.ErrOldSchema, store.ErrLocked,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (v *verification) openLog() error {
	x, err := wal.Inspect(v.dir.Log, wal.Options{WitnessPath: v.dir.Witness})
	if err != nil {
		if cannotLook(err) {
			return err
		}
		v.found(Finding{File: v.dir.Log, Problem: err.Error(), Remedy: RemedyRestore})
		return nil
	}
	v.log = x
	v.report.LogID, v.report.Head = x.ID, x.Head.Revision
	for _, err := range x.Problems {
		lost, ok := errors.AsType[*wal.LostError](err)
		switch {
		case ok && lost.Lost.Reason == wal.ReasonOtherLog:
			v.found(Finding{File: v.dir.Witness, Problem: err.Error(), Remedy: RemedyAcceptLoss})
		case ok:
			v.found(Finding{
				File: v.dir.Log, Revision: x.Head.Revision + 1, Last: lost.Lost.Witness.Revision,
				Problem: err.Error(), Remedy: RemedyAcceptLoss,
			})
		case errors.Is(err, wal.ErrNoWitness):
			v.found(Finding{File: v.dir.Witness, Problem: err.Error(), Remedy: RemedyStart})
		default:
			v.found(Finding{File: v.dir.Log, Problem: err.Error(), Remedy: RemedyRestore})
		}
	}
	if w := x.Witness; w != nil && w.LogID == x.ID {
		v.seen = append(v.seen, sighting{v.dir.Witness, wal.Position{Revision: w.Revision, Chain: w.Chain}})
	}
	return nil
}

func (v *verification) openIndex() error {
	x, err := store.Open(v.dir.Index, store.Options{ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrDamaged):
		v.found(Finding{File: v.dir.Index, Problem: err.Error(), Remedy: RemedyRebuild})
		return nil
	case err != nil:
		return err
	}
	v.index = x
	at := x.Position()
	switch {
	case v.log == nil:
	case at.LogID != v.log.ID:
		v.found(Finding{File: v.dir.Index, Problem: fmt.Sprintf("it is of log %v", at.LogID), Remedy: RemedyRebuild})
	case at.Revision > v.log.Head.Revision:
		v.found(Finding{
			File: v.dir.Index, Revision: v.log.Head.Revision + 1, Last: at.Revision,
			Problem: fmt.Sprintf("it has seen revision %d, the log ends at %d", at.Revision, v.log.Head.Revision),
			Remedy:  RemedyAcceptLoss,
		})
	default:
		v.seen = append(v.seen, sighting{v.dir.Index, wal.Position{Revision: at.Revision, Chain: at.Chain}})
	}
	return nil
}

// readLog reads every record.
func (v *verification) readLog() error {
	v.history = registry.NewHistory(v.log.Compacted, v.step)
	v.compare(v.log.Floor)
	seq := wal.NewSequence(v.log.Floor)
	for raw, err := range v.log.Raw() {
		if err := context.Cause(v.ctx); err != nil {
			return err
		}
		var rec wal.Record
		if err == nil {
			rec, err = seq.Next(raw)
		} else {
			seq.Skip(raw.Revision + 1)
		}
		if err != nil {
			if cannotLook(err) {
				return err
			}
			v.unreadable(err, raw.Revision, rec.Revision != 0)
		}
		if rec.Revision == 0 {
			continue
		}
		v.report.Records++
		v.report.HeadTime = rec.Time
		v.compare(wal.Position{Revision: rec.Revision, Chain: rec.Chain})
		v.history.Add(rec)
		v.progress.At("reading the log", rec.Revision, v.log.Head.Revision)
	}
	// That the end is missing was found before.
	if v.log.Said.Revision <= v.log.Head.Revision {
		if err := seq.End(v.log.Said); err != nil {
			v.unreadable(err, v.log.Head.Revision, true)
		}
	}
	if err := seq.Kept(v.log.Compacted); err != nil {
		v.unreadable(err, 0, true)
	}
	v.history.End()
	v.report.Peers, v.report.Digest = v.history.Live(), v.history.Digest()
	return nil
}

// unreadable notes what is wrong with records that end at last, or, if the one there is good, before it.
func (v *verification) unreadable(err error, last wal.Revision, good bool) {
	f := Finding{File: v.dir.Log, Problem: err.Error(), Remedy: RemedyRestore}
	if c, ok := errors.AsType[*wal.CorruptError](err); ok {
		f.Problem = c.Err.Error()
		f.Revision, f.Last = c.Revision, c.Revision
		if c.Revision < last {
			f.Last = last
			if good {
				f.Last--
			}
		}
	}
	v.unread = append(v.unread, len(v.report.Findings))
	v.found(f)
}

// compare holds what others have seen of the log against what it has there.
func (v *verification) compare(p wal.Position) {
	for _, s := range v.seen {
		if s.Revision == p.Revision && s.Chain != p.Chain {
			v.found(Finding{
				File: v.dir.Log, Revision: p.Revision, Remedy: RemedyAcceptLoss,
				Problem: fmt.Sprintf("it has another record there than %s has seen", filepath.Base(s.file)),
			})
		}
	}
}

// step takes what a record says.
func (v *verification) step(s registry.Step) {
	if s.Err == nil {
		return
	}
	f := Finding{File: v.dir.Log, Revision: s.Revision, Problem: s.Err.Error(), Remedy: RemedyRestore}
	if s.Entry != nil {
		f.name(*s.Entry)
	}
	v.found(f)
}

// name says whose announcement is concerned.
func (f *Finding) name(e store.Entry) {
	id := announce.PeerID(e.PeerID)
	f.Service, f.PeerID = announce.Service(e.Service), &id
}

// readIndex reads every entry and holds it against the log.
func (v *verification) readIndex() error {
	c := indexCheck{verification: v, at: v.index.Position()}
	// Where it is of another log, or behind the compaction, it tells nothing of this one.
	c.comparable = v.log != nil && c.at.LogID == v.log.ID && c.at.Revision >= v.log.Floor.Revision
	if err := v.index.Load(c.entry); err != nil {
		if cause := context.Cause(v.ctx); cause != nil {
			return cause
		}
		v.found(Finding{File: v.dir.Index, Problem: err.Error(), Remedy: RemedyRebuild})
		return nil
	}
	if !c.comparable {
		return nil
	}
	for e := range v.history.Entries() {
		if e.Revision <= c.at.Revision {
			c.wanted++
		}
	}
	if c.wanted == c.met {
		return nil
	}
	return c.missing()
}

// indexCheck holds the index against the log.
type indexCheck struct {
	*verification
	at          store.Position
	comparable  bool
	wanted, met int // peers that it should have, and has
}

func (c *indexCheck) entry(e store.Entry) error {
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	if !c.comparable {
		return nil
	}
	want, known := c.history.Entry(store.Key{Service: e.Service, PeerID: e.PeerID})
	if known && want.Revision <= c.at.Revision {
		c.met++
	}
	switch {
	case e.State != store.Live && e.Revision <= c.log.Forgotten: // the next start drops it
	case known && want.Revision > c.at.Revision: // the index lags
	case known && equal(e, want):
	case c.wasUnread(e):
	case !known && c.at.Revision < c.log.Forgotten: // it lags behind who left and is forgotten
	case !known:
		c.differs(e, "the log knows nothing of this peer")
	default:
		c.differs(e, fmt.Sprintf("it has revision %d of this peer, or another reading of it; the log has %d", e.Revision, want.Revision))
	}
	return nil
}

func (c *indexCheck) differs(e store.Entry, problem string) {
	f := Finding{File: c.dir.Index, Revision: e.Revision, Problem: problem, Remedy: RemedyRebuild}
	f.name(e)
	c.found(f)
}

// wasUnread names the peer of a record that could not be read, if e is of one.
func (c *indexCheck) wasUnread(e store.Entry) bool {
	for _, i := range c.unread {
		if i >= len(c.report.Findings) {
			continue
		}
		f := &c.report.Findings[i]
		if e.Revision < f.Revision || e.Revision > f.Last {
			continue
		}
		if f.Revision == f.Last {
			f.name(e)
		} else {
			own := Finding{File: f.File, Revision: e.Revision, Problem: "it is among those that cannot be read", Remedy: f.Remedy}
			own.name(e)
			c.found(own)
		}
		return true
	}
	return false
}

// missing finds the peers that the index lacks.
func (c *indexCheck) missing() error {
	has := make(map[store.Key]struct{}, c.met)
	err := c.index.Load(func(e store.Entry) error {
		has[store.Key{Service: e.Service, PeerID: e.PeerID}] = struct{}{}
		return nil
	})
	if err != nil {
		return err
	}
	for e := range c.history.Entries() {
		if _, ok := has[store.Key{Service: e.Service, PeerID: e.PeerID}]; !ok && e.Revision <= c.at.Revision {
			c.differs(e, "this peer is missing")
		}
	}
	return nil
}

func equal(a, b store.Entry) bool {
	return a.State == b.State && a.Revision == b.Revision && a.Seqnum == b.Seqnum &&
		a.Announced.Equal(b.Announced) && a.FirstSeen.Equal(b.FirstSeen) && a.Deadline == b.Deadline &&
		a.Digest == b.Digest && bytes.Equal(a.Seed, b.Seed) && (a.Seed == nil) == (b.Seed == nil)
}

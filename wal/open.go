package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/introducer/introducer/migrations"
)

// tailRecords is how many of the newest records Open checks.
const tailRecords = 1024

// Create makes a new empty log in dir, which must not exist, and its witness, and closes both. When
// it returns everything is synced: files, dir, and the directories that dir and the witness lie in.
//
// A crash on the way leaves something that is no log. So a caller makes dir and the witness inside a
// directory of another name, and renames that into place.
func Create(dir string, id LogID, opts Options) error {
	opts = opts.withDefaults(dir)
	if err := create(dir, id, opts); err != nil {
		return fmt.Errorf("making the log %s: %w", dir, err)
	}
	return nil
}

func create(dir string, id LogID, opts Options) error {
	if id == (LogID{}) {
		return errors.New("the log id is all zeros")
	}
	if opts.ReadOnly {
		return ErrReadOnly
	}
	for _, path := range []string{dir, opts.WitnessPath} {
		if _, err := opts.FS.Stat(path); err == nil {
			return fmt.Errorf("%s: %w", path, os.ErrExist)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	m := newMonitor(opts)
	popts := m.options(opts)
	popts.ErrorIfNotExists = false
	popts.ErrorIfExists = true
	err := m.withPebble(dir, popts, func(db *pebble.DB) error {
		if err := migrations.Log(db); err != nil {
			return err
		}
		return db.Set([]byte(keyID), encodeID(id), pebble.Sync)
	})
	if err != nil {
		return err
	}
	// A new Pebble begins its first write-ahead log in its oldest format, which loses all that is in it
	// without a word when a bit flips. Opened a second time it moves that into a table, which has
	// checksums, and begins a write-ahead log in the newest format.
	if err := m.withPebble(dir, m.options(opts), func(*pebble.DB) error { return nil }); err != nil {
		return err
	}
	level := func() Mark { return Mark{LogID: id} }
	w, err := startWitness(opts.FS, opts.WitnessPath, Mark{}, 1, level, m.fail)
	if err != nil {
		return err
	}
	w.mark()
	if err := w.close(); err != nil {
		return err
	}
	for _, d := range []string{dir, opts.FS.PathDir(dir), opts.FS.PathDir(opts.WitnessPath)} {
		if err := syncDir(opts.FS, d); err != nil {
			return err
		}
	}
	return nil
}

// withPebble opens Pebble in dir, runs do with it and closes it.
func (m *monitor) withPebble(dir string, popts *pebble.Options, do func(*pebble.DB) error) error {
	return m.guard(func() error {
		db, err := pebble.Open(dir, popts)
		if err != nil {
			return err
		}
		return errors.Join(do(db), db.Close())
	})
}

// Open opens the log in dir. It checks the head and the newest records, not all: a record that has
// decayed further down is found when it is read. What it finds wrong is told in one of these ways:
//
//   - ErrNotLog, ErrLocked, ErrNewerSchema: refused, and nothing was touched but the lock file.
//   - *CorruptError: what the log says of itself is not what was written.
//   - Log.Lost: the log is shorter, or another, than the witness saw, or some of its newest records are
//     missing or damaged.
//   - Log.Warnings: there is no witness to tell.
//   - ErrFailed or any other error: the disk's. The log was not changed for the worse. On a disk that
//     takes no writes Open with ReadOnly may still succeed.
func Open(dir string, opts Options) (*Log, error) {
	opts = opts.withDefaults(dir)
	l := &Log{opts: opts, monitor: newMonitor(opts)}
	err := l.open(dir)
	if err == nil {
		err = l.monitor.serve()
	}
	if err != nil {
		l.readers.shut()
		return nil, fmt.Errorf("opening the log %s: %w", dir, errors.Join(err, l.release()))
	}
	return l, nil
}

// open leaves what it opened in l also when it fails.
func (l *Log) open(dir string) error {
	old, err := findPebble(l.opts.FS, dir)
	if err != nil {
		return err
	}
	if l.lock, err = lockDir(l.opts.FS, dir); err != nil {
		return err
	}
	if err := l.openPebble(dir, old); err != nil {
		return readError(0, err)
	}
	id, err := readID(l.db)
	if err != nil {
		return err
	}
	l.id.Store(&id)
	floor, err := readPosition(l.db, keyFloor)
	if err != nil {
		return err
	}
	l.floor.Store(&floor)
	rest, err := readCompacted(l.db)
	if err != nil {
		return err
	}
	lost, err := l.findHead()
	if err != nil {
		return err
	}
	// Where the log lost its end, other removals will come to stand where those stood that were forgotten.
	rest.forgotten = min(rest.forgotten, l.Head().Revision)
	l.compacted.Store(&rest)
	return l.openWitness(lost)
}

// findPebble says whether dir holds a Pebble store, and whether its format is older than the one we
// write. It changes nothing: Pebble's own Open would make a store where there is none.
func findPebble(fs vfs.FS, dir string) (old bool, err error) {
	desc, err := pebble.Peek(dir, fs)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, fmt.Errorf("%w: %w", ErrNotLog, err)
	case err != nil:
		return false, err
	case !desc.Exists:
		return false, fmt.Errorf("%w: no store in it", ErrNotLog)
	case desc.FormatMajorVersion > pebble.FormatNewest:
		return false, fmt.Errorf("%w: Pebble format %d, known up to %d", ErrNewerSchema, desc.FormatMajorVersion, pebble.FormatNewest)
	}
	return desc.FormatMajorVersion < pebble.FormatNewest, nil
}

// lockDir takes the lock that Pebble would take, by the same file.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err == nil {
		return lock, nil
	}
	// The file could not be made: a PathError. The lock could not be had: a bare error number, or a
	// sentence without a type when it is this very process that holds it.
	var path *os.PathError
	if errors.As(err, &path) || errors.Is(err, syscall.ENOLCK) {
		return nil, fmt.Errorf("locking it: %w", err)
	}
	return nil, fmt.Errorf("%w: %w", ErrLocked, err)
}

// openPebble opens the store and brings it to today's schema. It looks at the schema before it opens
// for writing, since that alone changes files and a newer release's log must not be touched.
func (l *Log) openPebble(dir string, old bool) error {
	popts := l.monitor.options(l.opts)
	popts.ReadOnly = true
	if err := l.setPebble(dir, popts); err != nil {
		return err
	}
	schema, err := migrations.LogSchema(l.db)
	switch {
	case errors.Is(err, migrations.ErrDamaged):
		return &CorruptError{Err: err}
	case err != nil:
		return err
	case schema == 0:
		return fmt.Errorf("%w: a Pebble store of something else", ErrNotLog)
	case schema > migrations.LogVersion:
		return fmt.Errorf("%w: schema %d, known up to %d", ErrNewerSchema, schema, migrations.LogVersion)
	case schema < migrations.LogVersion && l.opts.ReadOnly:
		return fmt.Errorf("%w: schema %d, today's is %d", ErrOldSchema, schema, migrations.LogVersion)
	case l.opts.ReadOnly:
		return nil
	}
	if err := l.closePebble(); err != nil {
		return err
	}
	if old {
		// As in create: the first opening changes the format, the second begins a write-ahead log in it.
		if err := l.setPebble(dir, l.monitor.options(l.opts)); err != nil {
			return err
		}
		if err := l.closePebble(); err != nil {
			return err
		}
	}
	if err := l.setPebble(dir, l.monitor.options(l.opts)); err != nil {
		return err
	}
	return l.monitor.guard(func() error { return migrations.Log(l.db) })
}

// setPebble opens Pebble as l.db.
func (l *Log) setPebble(dir string, popts *pebble.Options) error {
	opened := make(chan *pebble.DB, 1)
	err := l.monitor.guard(func() error {
		db, err := pebble.Open(dir, popts)
		if err == nil {
			opened <- db
		}
		return err
	})
	if err == nil {
		l.db = <-opened
	}
	return err
}

// closePebble closes l.db, if it is open and can be closed.
func (l *Log) closePebble() error {
	if l.db == nil || l.monitor.pebbleState() != pebbleSound {
		return nil
	}
	db := l.db
	l.db = nil
	return l.monitor.guard(db.Close)
}

// findHead reads the newest record, compares it with the head that the log wrote beside it, and checks
// the records before it. What is missing or damaged is told in the answer, as long as the head itself can
// be told.
//
// Head and records are written in one batch, so no crash can part them: if they differ, a file was
// damaged, swapped or rolled back.
func (l *Log) findHead() (*Lost, error) {
	said, err := readPosition(l.db, keyHead)
	if err != nil {
		return nil, err
	}
	floor := *l.floor.Load()
	var damage *CorruptError // the first
	last, err := l.lastRevision()
	if errors.As(err, &damage) {
		last = said.revision // so the end is what is damaged
	} else if err != nil {
		return nil, err
	}
	if last > said.revision || floor.revision > said.revision {
		return nil, corrupt(last, "it is the last record, while the head is %d and the history before %d is compacted",
			said.revision, floor.revision+1)
	}
	// Where nothing above the floor is left the log ends on it, at the time of what is left below.
	head := Head{Revision: floor.revision, Chain: floor.chain}
	if last > 0 && last <= floor.revision {
		rec, err := l.fetch(last)
		if err != nil && !errors.As(err, &damage) {
			return nil, err
		}
		head.Time, head.Clock = rec.Time, rec.Clock
	}
	from := floor.revision + 1
	if last > tailRecords {
		from = max(from, last-tailRecords+1)
	}
	for rec, err := range l.scan(from, last) {
		if c := (*CorruptError)(nil); errors.As(err, &c) {
			damage = cmp.Or(damage, c)
			continue
		}
		if err != nil {
			return nil, err
		}
		head = rec.head()
	}
	l.head.Store(&head)
	l.raise(head.Clock)
	lost := &Lost{Witness: Mark{LogID: l.ID(), Revision: said.revision, Chain: said.chain}, Head: head, Damage: damage}
	switch {
	case damage != nil:
		lost.Reason = ReasonDamaged
	case head.Revision < said.revision:
		lost.Reason = ReasonTail
	case head.Chain != said.chain:
		return nil, corrupt(head.Revision, "its chain value is %s, the head's %s", head.Chain, said.chain)
	default:
		return nil, nil
	}
	return lost, nil
}

// lastRevision is that of the newest record in the store; 0: there is none.
func (l *Log) lastRevision() (Revision, error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte("r"), UpperBound: []byte("s")})
	if err != nil {
		return 0, readError(0, err)
	}
	defer it.Close()
	if !it.Last() {
		return 0, readError(0, it.Error())
	}
	r, ok := parseKey(it.Key())
	if !ok {
		return 0, corrupt(0, "key % x among the records", it.Key())
	}
	return r, nil
}

// openWitness reads the witness, compares it with the log, and has it mark the head unless something
// is lost. lost: what was found before.
func (l *Log) openWitness(lost *Lost) error {
	m, slot, err := readWitness(l.opts.FS, l.opts.WitnessPath)
	switch {
	case errors.Is(err, ErrNoWitness):
		l.warnings = append(l.warnings, err)
		l.opts.Logger.Warn("nothing tells whether the log is whole", "error", err)
		slot = 1
	case err != nil:
		return err
	default:
		if m.LogID == l.ID() {
			l.raise(m.Clock)
		}
		if lost != nil {
			break
		}
		if lost, err = l.compare(m); err != nil {
			return err
		}
	}
	if lost != nil {
		l.lost.Store(lost)
		l.opts.Logger.Error("the log lost records and takes no new ones", "lost", lost.String())
	}
	if l.opts.ReadOnly {
		return nil
	}
	if l.witness, err = startWitness(l.opts.FS, l.opts.WitnessPath, m, slot, l.level, l.monitor.fail); err != nil {
		return err
	}
	return l.witness.wait(l.mark())
}

// compare says how the log falls short of m; nil: it does not.
func (l *Log) compare(m Mark) (*Lost, error) {
	lost := &Lost{Witness: m, Head: l.Head()}
	if m.LogID != l.ID() {
		lost.Reason = ReasonOtherLog
		return lost, nil
	}
	err := l.Check(m.Revision, m.Chain)
	switch {
	case errors.Is(err, ErrAhead):
		lost.Reason = ReasonBehind
	case errors.Is(err, ErrDiffers):
		lost.Reason = ReasonOtherChain
	case errors.As(err, &lost.Damage):
		lost.Reason = ReasonDamaged
	default:
		return nil, err
	}
	return lost, nil
}

// release closes all that is open, in the reverse order.
func (l *Log) release() error {
	var err error
	if l.witness != nil {
		err = l.witness.close()
	}
	err = errors.Join(err, l.closePebble())
	// What a Pebble that gave up may still do behind our back must stay locked in.
	if l.lock != nil && l.monitor.pebbleState() != pebbleGaveUp {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

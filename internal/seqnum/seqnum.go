// Package seqnum remembers, beside a node's key, which sequence numbers its announcements have used.
// An introducer takes an announcement only if its seqnum beats the last, so a number must never be used
// for two messages, whatever crashes in between.
//
// # The file
//
// One JSON object, by convention in KEY.seqnum beside the key file KEY. Its members are service names,
// their values the greatest number used for that service, 0 to 2^63-1:
//
//	{
//	  "storage": 17
//	}
//
// # What is promised
//
// A number is in the file, and the file's name in its directory, synced both, before [File.Next] returns
// it: whenever the program is killed or the power fails, the next run takes a greater one. The file is
// replaced whole. On Windows, which has neither call, a power loss may give an old number back. Two
// programs that use one key at once may be given the same number; the introducer then answers the later
// one STALE, and [File.Beat] leads out of it. If the file is lost, so it is with a new one.
package seqnum

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2/maybe"

	"github.com/introducer/introducer/announce"
)

// ErrExhausted means that no number is left: the last was 2^63-1.
var ErrExhausted = errors.New("no sequence number is left")

// ErrDamaged is wrapped when the file holds something else than the package comment says.
var ErrDamaged = errors.New("not a file of sequence numbers")

// File is an open state file. It is for one goroutine.
type File struct {
	path string
	used map[announce.Service]uint64 // :: service → the greatest number used
}

// Open reads the file at path. One that does not exist is as good as an empty one, and is made by the
// first Next.
func Open(path string) (*File, error) {
	f := &File{path: path, used: make(map[announce.Service]uint64)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading sequence numbers: %w", err)
	}
	if f.used, err = parse(text); err != nil {
		return nil, fmt.Errorf("reading sequence numbers from %s: %w: %w", path, ErrDamaged, err)
	}
	return f, nil
}

func parse(text []byte) (map[announce.Service]uint64, error) {
	var numbers map[string]uint64
	if err := json.Unmarshal(text, &numbers); err != nil {
		return nil, err
	}
	if numbers == nil {
		return nil, errors.New("null instead of an object")
	}
	used := make(map[announce.Service]uint64, len(numbers))
	for name, n := range numbers {
		service, err := announce.ParseService(name)
		if err != nil {
			return nil, err
		}
		if n > announce.MaxSeqnum {
			return nil, fmt.Errorf("%s: %d is over %d", name, n, uint64(announce.MaxSeqnum))
		}
		used[service] = n
	}
	return used, nil
}

// Next returns a number that was not used for the service before, and has it in the file. The first is 1.
func (f *File) Next(service announce.Service) (uint64, error) {
	return f.Beat(service, 0)
}

// Beat is [File.Next] for a number that is also greater than current, which an introducer named.
func (f *File) Beat(service announce.Service, current uint64) (uint64, error) {
	last := max(f.used[service], current)
	if last >= announce.MaxSeqnum {
		return 0, fmt.Errorf("%s: %w", service, ErrExhausted)
	}
	old, had := f.used[service]
	f.used[service] = last + 1
	if err := f.save(); err != nil {
		if f.used[service] = old; !had {
			delete(f.used, service)
		}
		return 0, fmt.Errorf("saving the sequence number %d of %s: %w", last+1, service, err)
	}
	return last + 1, nil
}

func (f *File) save() error {
	text, err := json.Marshal(f.used, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	// It syncs the file, but not the rename: without the second sync a power loss gives an old number
	// back. If that sync fails, the file may say more than was given out, which only leaves a gap.
	if err := maybe.WriteFile(f.path, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Path is where the numbers of the key at keyPath are kept by convention.
func Path(keyPath string) string { return keyPath + ".seqnum" }

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// badInfix stands between an index's name and the Unix time in seconds at which it was put aside.
const badInfix = ".bad-"

// Quarantine puts the file at path aside as path.bad-<unix time of now>, for whoever wants to know
// what became of it, and syncs the directory. One such file is kept: earlier ones are removed. It
// returns the new name; "" if there is nothing at path. No Index may have the file open.
func Quarantine(path string, now time.Time) (aside string, err error) {
	aside = path + badInfix + strconv.FormatInt(now.Unix(), 10)
	switch err := os.Rename(path, aside); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("putting a bad index aside: %w", err)
	}
	dir := filepath.Dir(path)
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("putting a bad index aside: %w", err)
	}
	for _, d := range names {
		when, ok := strings.CutPrefix(d.Name(), filepath.Base(path)+badInfix)
		if !ok || d.Name() == filepath.Base(aside) {
			continue
		}
		if _, err := strconv.ParseInt(when, 10, 64); err != nil {
			continue // not a name of ours
		}
		// What cannot be removed (a directory with something in it) costs room, and no more.
		os.Remove(filepath.Join(dir, d.Name()))
	}
	if err := syncDir(dir); err != nil {
		return "", fmt.Errorf("putting a bad index aside: %w", err)
	}
	return aside, nil
}

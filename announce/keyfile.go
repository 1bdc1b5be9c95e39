package announce

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrKeyExists is wrapped by [CreateKeyFile]'s refusal to touch a file that is there.
var ErrKeyExists = errors.New("a file is already there")

// maxKeyFile is more than any key file has, in bytes: a wrong path may lead to a device without end.
const maxKeyFile = 4096

// LoadKeyFile reads a key as Tahoe-LAFS keeps one in private/node.privkey: "priv-v0-…", with white
// space around it or without. Its permissions are not judged. A missing file wraps [fs.ErrNotExist],
// and one that holds something else [ErrInvalid]; the error never has the content in it.
func LoadKeyFile(path string) (*Key, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("loading a private key: %w", err)
	}
	k, err := ParseKey(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("loading a private key from %s: %w", path, err)
	}
	return k, nil
}

func readKeyFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxKeyFile {
		return "", fmt.Errorf("%w private key: %s has more than %d bytes", ErrInvalid, path, maxKeyFile)
	}
	return string(b), nil
}

// CreateKeyFile writes k's text and a line break to a new file that its owner alone may read (mode
// 0600), synced, in a directory that exists. What stands at path already, be it a broken link, is
// left alone, and the error wraps [ErrKeyExists]. Whoever looks at path sees no file or the whole of
// it, also when several create it at once and after a crash; one of them succeeds.
func CreateKeyFile(path string, k *Key) error {
	err := createKeyFile(path, k)
	if errors.Is(err, fs.ErrExist) {
		err = ErrKeyExists
	}
	if err != nil {
		return fmt.Errorf("creating the key file %s: %w", path, err)
	}
	return nil
}

func createKeyFile(path string, k *Key) error {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist // said before anything is written; the link below holds against a race
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".node-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.WriteString(f, k.Text()+"\n")
	if err == nil {
		err = f.Sync() // else a power loss after the link could leave the name without the key
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A rename would replace a key that someone else made meanwhile. A link refuses.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the directory's new name durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // where a directory cannot be synced
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package announce_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

func TestGenerateKey(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	fixed, err := announce.GenerateKey(bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	if want := announce.NewKeyFromSeed([32]byte(seed)).Text(); fixed.Text() != want {
		t.Errorf("from a fixed reader: got another key than its seed's, %v", fixed)
	}
	if _, err := announce.GenerateKey(bytes.NewReader(seed[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("from 31 bytes: got error %v, want io.ErrUnexpectedEOF", err)
	}
	one, err := announce.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := announce.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if one.PeerID() == two.PeerID() {
		t.Error("two random keys are the same")
	}
	back, err := announce.ParseKey(one.Text())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(back.Sign([]byte("m")), one.Sign([]byte("m"))); diff != "" {
		t.Errorf("the key read from its text signs otherwise (-got +want):\n%s", diff)
	}
	if err := announce.NewVerifier(0).Verify(one.Sign([]byte("m"))); err != nil {
		t.Errorf("its signature: %v", err)
	}
}

// TestSignedIsTheCallers: what Sign returns may be written into without harm to the key.
func TestSignedIsTheCallers(t *testing.T) {
	k := announce.NewKeyFromSeed([32]byte{1})
	id := k.PeerID()
	s := k.Sign([]byte("m"))
	clear(s.PeerID)
	clear(s.Signature)
	if err := announce.NewVerifier(0).Verify(k.Sign([]byte("m"))); err != nil || k.PeerID() != id {
		t.Errorf("got peer id %v and error %v, want %v and none", k.PeerID(), err, id)
	}
}

// TestKeyIsNotShown: however a key is printed, logged or marshalled, alone or inside of something.
func TestKeyIsNotShown(t *testing.T) {
	seed := [32]byte{0xc0, 0xff, 0xee, 0xc0, 0xff, 0xee, 0xc0, 0xff, 0xee, 0xc0, 0xff, 0xee}
	k := announce.NewKeyFromSeed(seed)
	shown := make(map[string]string) // :: how → what
	values := map[string]any{
		"pointer":              k,
		"value":                *k,
		"field":                struct{ K *announce.Key }{k},
		"field value":          struct{ K announce.Key }{*k},
		"hidden field":         struct{ k *announce.Key }{k},
		"hidden field value":   struct{ k announce.Key }{*k},
		"list":                 []*announce.Key{k},
		"map":                  map[string]announce.Key{"k": *k},
		"pointer to a pointer": &k,
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%b", "%c", "%U", "%p", "%T", "%t", "% x", "%#x", "%64v"} {
			shown[name+" "+verb] = fmt.Sprintf(verb, v)
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown[name+" JSON"] = string(j)
		var text, js bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "k", v)
		slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "k", v)
		shown[name+" slog text"], shown[name+" slog JSON"] = text.String(), js.String()
	}
	shown["String"], shown["GoString"] = k.String(), k.GoString()

	secrets := []string{
		strings.TrimPrefix(k.Text(), "priv-v0-")[:8], "c0ffee", "c0 ff ee", "0xc0, 0xff, 0xee", "192 255 238", "300 377 356", "11000000 11111111", "[À ÿ î", "U+00C0", "wP/u",
	}
	for how, what := range shown {
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(what), strings.ToLower(secret)) {
				t.Errorf("%s shows the key: %s", how, what)
			}
		}
	}
	for _, how := range []string{"pointer %v", "value %v", "pointer %x", "pointer slog text", "pointer slog JSON", "String", "GoString"} {
		if !strings.Contains(shown[how], k.PeerID().String()) {
			t.Errorf("%s: got %q, want the peer id in it", how, shown[how])
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "node.privkey")
	k := announce.NewKeyFromSeed([32]byte{1})
	if err := announce.CreateKeyFile(path, k); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(content), k.Text()+"\n"; got != want {
		t.Error("the file does not hold the key's text and a line break")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); runtime.GOOS != "windows" && got != 0o600 {
		t.Errorf("got mode %v, want -rw-------", got)
	}
	loaded, err := announce.LoadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Text() != k.Text() {
		t.Errorf("got %v, want %v", loaded, k)
	}

	// Never over another.
	err = announce.CreateKeyFile(path, announce.NewKeyFromSeed([32]byte{2}))
	if !errors.Is(err, announce.ErrKeyExists) || !strings.Contains(err.Error(), path) {
		t.Errorf("over a key: got error %v, want ErrKeyExists with the path", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := announce.CreateKeyFile(filepath.Join(dir, "d"), k); !errors.Is(err, announce.ErrKeyExists) {
		t.Errorf("over a directory: got error %v, want ErrKeyExists", err)
	}
	link := filepath.Join(dir, "l")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := announce.CreateKeyFile(link, k); !errors.Is(err, announce.ErrKeyExists) {
		t.Errorf("over a broken link: got error %v, want ErrKeyExists", err)
	}
	if err := announce.CreateKeyFile(filepath.Join(dir, "no", "k"), k); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: got error %v, want fs.ErrNotExist", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after, content) {
		t.Error("the key file changed")
	}
	if diff := cmp.Diff(names(t, dir), []string{"d", "l", "node.privkey"}); diff != "" {
		t.Errorf("what is in the directory (-got +want):\n%s", diff)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestManyCreateOneKey: of several that start at once one makes the key, and the others find it whole.
func TestManyCreateOneKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "node.privkey")
	var mu sync.Mutex // guards created and found
	var created, found []string
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			k := announce.NewKeyFromSeed([32]byte{byte(i)})
			err := announce.CreateKeyFile(path, k)
			if err != nil && !errors.Is(err, announce.ErrKeyExists) {
				t.Error(err)
			}
			loaded, loadErr := announce.LoadKeyFile(path)
			if loadErr != nil {
				t.Error(loadErr)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, loaded.Text())
			if err == nil {
				created = append(created, k.Text())
			}
		})
	}
	wg.Wait()
	if len(created) != 1 {
		t.Fatalf("%d created the key, want 1", len(created))
	}
	for _, text := range found {
		if text != created[0] {
			t.Error("one loaded another key than the one created")
		}
	}
	if diff := cmp.Diff(names(t, dir), []string{"node.privkey"}); diff != "" {
		t.Errorf("what is in the directory (-got +want):\n%s", diff)
	}
}

func TestLoadKeyFile(t *testing.T) {
	k := announce.NewKeyFromSeed([32]byte{1})
	secret := strings.TrimPrefix(k.Text(), "priv-v0-")
	for name, c := range map[string]struct {
		content string
		want    string // "": loads
	}{
		"as Tahoe writes it":  {k.Text() + "\n", ""},
		"bare":                {k.Text(), ""},
		"from another system": {k.Text() + "\r\n", ""},
		"by hand":             {"\n  " + k.Text() + "\t\n\n", ""},
		"empty":               {"", "is empty"},
		"white space":         {" \n", "is empty"},
		"the public key":      {k.PeerID().PublicText() + "\n", `a public key was given, a private one begins with "priv-v0-"`},
		"the peer id":         {k.PeerID().String() + "\n", "a public key was given"},
		"no prefix":           {secret, `must begin with "priv-v0-"`},
		"two keys":            {k.Text() + "\n" + k.Text(), "at character 53"},
		"cut":                 {k.Text()[:50], "26 bytes, must be 32"},
		"cut by one":          {k.Text()[:59], "no bytes give"},
		"another format":      {"-----BEGIN PRIVATE KEY-----\n" + secret, "must begin with"},
		"large":               {strings.Repeat(" ", 5000) + k.Text(), "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node.privkey")
			// Open to everybody: unwise, and not ours to forbid.
			if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := announce.LoadKeyFile(path)
			if c.want == "" {
				if err != nil || got.Text() != k.Text() {
					t.Fatalf("got %v and error %v, want %v", got, err, k)
				}
				return
			}
			if !errors.Is(err, announce.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want invalid with %q and the path", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), secret[:8]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}

	missing := filepath.Join(t.TempDir(), "none")
	if _, err := announce.LoadKeyFile(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing: got error %v, want fs.ErrNotExist with the path", err)
	}
	if _, err := announce.LoadKeyFile(t.TempDir()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: got error %v, want one, and not that it is missing", err)
	}
}

package node_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/node"
)

// write writes a configuration and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	path := write(t, `
nickname = "node7"
key = "keys/node.privkey"
state = "/var/lib/node"
introducers = ["http://127.0.0.1:7271", "https://introducer.example/grid/"]
wants = ["upload_storage", "helper"]
listen = ":7272"

[storage]
enabled = true
read-only = true
endpoints = ["https://192.0.2.7:3457/"]
furl = "pb://swissnum"
nurls = ["pb://one#v=1", "pb://two#v=1"]
permutation-seed = "mfqwc"
ttl = "168h"

[[offer]]
service = "storage"
endpoints = ["a"]

[[offer]]
service = "helper"
furl = "pb://helper"
permutation-seed = ""
`)
	want := &node.Config{
		Nickname: "node7", Key: filepath.Join(filepath.Dir(path), "keys/node.privkey"), State: "/var/lib/node",
		Introducers: []string{"http://127.0.0.1:7271", "https://introducer.example/grid/"},
		Wants:       []announce.Service{announce.UploadStorage, announce.Helper}, Listen: "127.0.0.1:7272",
		Storage: node.Storage{Enabled: true, ReadOnly: true, Place: node.Place{
			Endpoints: []string{"https://192.0.2.7:3457/"}, FURL: "pb://swissnum", NURLs: []string{"pb://one#v=1", "pb://two#v=1"},
			PermutationSeed: []byte("aaa"), TTL: 168 * time.Hour,
		}},
		Offers: []node.Offer{
			{Service: announce.Storage, Place: node.Place{Endpoints: []string{"a"}}},
			{Service: announce.Helper, Place: node.Place{FURL: "pb://helper", PermutationSeed: []byte{}}},
		},
	}
	got, err := node.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// The least that is enough, and what it stands for.
	path = write(t, `introducers = ["http://127.0.0.1:7271"]`)
	if got, err = node.Load(path); err != nil {
		t.Fatal(err)
	}
	want = &node.Config{State: filepath.Join(filepath.Dir(path), "node.state"), Introducers: []string{"http://127.0.0.1:7271"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The forms that TOML has for one thing mean that one thing.
func TestFormsOfTOML(t *testing.T) {
	want, err := node.Load(write(t, "key = 'k'\nintroducers = ['http://h']\n[storage]\nenabled = true\nfurl = 'pb://x'\n[[offer]]\nservice = 'helper'\nfurl = 'pb://y'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"key = 'k'\nintroducers = ['http://h']\nstorage = {enabled = true, furl = 'pb://x'}\noffer = [{service = 'helper', furl = 'pb://y'}]\n",
		`"key" = 'k'
introducers = [
	'http://h', # the only one
]
storage.enabled = true
storage.furl = "pb://\u0078"
[[offer]]
'service' = """helper"""
furl = 'pb://y'
`,
	} {
		got, err := node.Load(write(t, text))
		if err != nil {
			t.Fatal(err)
		}
		want.Key, want.State = got.Key, got.State // of another directory
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %s (-want +got):\n%s", text, diff)
		}
	}
}

func TestExampleLoads(t *testing.T) {
	path := write(t, node.Example)
	c, err := node.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Announcements()) != 0 {
		t.Errorf("it offers %v: storage is off until it is wanted", c.Announcements())
	}
	// With what is commented out, too.
	var all strings.Builder
	for line := range strings.Lines(node.Example) {
		if text, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(text, " ") {
			line = strings.Replace(text, `permutation-seed = "…"`, `permutation-seed = "mfqwc"`, 1)
		}
		all.WriteString(line)
	}
	if _, err := node.Load(write(t, all.String())); err != nil {
		t.Errorf("%v\nin\n%s", err, all.String())
	}
}

// Each says what is wrong and where, and gives no secret away.
func TestBadConfigurations(t *testing.T) {
	const good = "introducers = ['http://h']\n"
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `PATH: introducers: must name one at least, such as "http://127.0.0.1:7271"`},
		{"not TOML", good + "nickname", "PATH:2:8: expected '=' after key"},
		{"a bare word", good + "[storage]\nttl = 1h", "PATH:3:8: strings must be quoted"},
		{"twice", good + "nickname = 'a'\nnickname = 'b'", "PATH:3:1: key nickname is already defined"},
		{"a byte that is no UTF-8", good + "nickname = '\xff'", "PATH:2:13: invalid UTF-8 character in literal string"},
		{"unknown key", good + "\nnick = 'a'",
			"PATH:3: nick: unknown key; known here are introducers, key, listen, nickname, offer, state, storage, wants\n  nick\n  ^^^^"},
		{"a key's case", good + "Nickname = 'a'",
			"PATH:2: Nickname: unknown key; known here are introducers, key, listen, nickname, offer, state, storage, wants\n  Nickname\n  ^^^^^^^^"},
		{"unknown key in a table", good + "[storage]\n  frul = 'pb://swissnum'",
			"PATH:3: storage.frul: unknown key; known here are enabled, endpoints, furl, nurls, permutation-seed, read-only, ttl\n    frul\n    ^^^^"},
		{"unknown table", good + "[ storge ]\nenabled = true",
			"PATH:2: storge: unknown key; known here are introducers, key, listen, nickname, offer, state, storage, wants\n  [ storge\n    ^^^^^^"},
		{"several", good + "[storage]\nenabled = 'yes'\nread-only = 1\nttl = 3600",
			"PATH:3: storage.enabled: must be true or false\n  enabled\n  ^^^^^^^\n" +
				"PATH:4: storage.read-only: must be true or false\n  read-only\n  ^^^^^^^^^\n" +
				"PATH:5: storage.ttl: must be a time span above zero, such as \"168h\"\n  ttl\n  ^^^"},
		{"not a string", "introducers = ['http://h']\nnickname = 7", "PATH:2: nickname: must be a string\n  nickname\n  ^^^^^^^^"},
		{"not a list", "introducers = 'http://h'", "PATH:1: introducers: must be a list of strings\n  introducers\n  ^^^^^^^^^^^"},
		{"not strings", good + "wants = ['a', 7]", "PATH:2: wants: must be a list of strings\n  wants\n  ^^^^^"},
		{"not a table", good + "storage = true", "PATH:2: storage: must be a table, [storage]\n  storage\n  ^^^^^^^"},
		{"a table instead of tables", good + "[offer]\nservice = 'helper'", "PATH:2: offer: must be tables, [[offer]]\n  [offer\n   ^^^^^"},
		{"tables instead of a table", good + "[[storage]]\nenabled = true", "PATH:2: storage: must be a table, [storage]\n  [[storage\n    ^^^^^^^"},
		{"in the second of two", good + "key = 'k'\n[[offer]]\nservice = 'helper'\nfurl = 'f'\n[[offer]]\nservice = 3",
			"PATH:7: offer[1].service: must be a string\n  service\n  ^^^^^^^"},
		{"a dotted key", good + "storage.enabled = 0", "PATH:2: storage.enabled: must be true or false\n  storage.enabled\n  ^^^^^^^^^^^^^^^"},
		{"an inline table", good + "storage = {enabled = 0}", "PATH:2: storage.enabled: must be true or false\n  storage\n  ^^^^^^^"},
		{"a time span of words", good + "[storage]\nttl = 'a week'", "PATH:3: storage.ttl: must be a time span above zero, such as \"168h\"\n  ttl\n  ^^^"},
		{"no time span", good + "[storage]\nttl = '0s'", "PATH:3: storage.ttl: must be a time span above zero, such as \"168h\"\n  ttl\n  ^^^"},
		{"base32 of half a byte", good + "[storage]\npermutation-seed = 'a'",
			"PATH:3: storage.permutation-seed: must be lower-case base32 without padding, as of whole bytes\n  permutation-seed\n  ^^^^^^^^^^^^^^^^"},
		{"base32 in upper case", good + "[storage]\npermutation-seed = 'MFQWC'",
			"PATH:3: storage.permutation-seed: must be lower-case base32 without padding, as of whole bytes\n  permutation-seed\n  ^^^^^^^^^^^^^^^^"},

		{"no introducer", "introducers = []", "PATH:1: introducers: must name one at least, such as \"http://127.0.0.1:7271\"\n  introducers\n  ^^^^^^^^^^^"},
		{"not a URL", "introducers = ['http://h', '127.0.0.1:7271']", "PATH:1: introducers[1]: not a URL\n  introducers\n  ^^^^^^^^^^^"},
		{"another scheme", "introducers = ['ftp://h']", "PATH:1: introducers[0]: must begin with http:// or https://\n  introducers\n  ^^^^^^^^^^^"},
		{"no host", "introducers = ['http://:80']", "PATH:1: introducers[0]: names no host\n  introducers\n  ^^^^^^^^^^^"},
		{"a password", "introducers = ['http://u:swissnum@h']", "PATH:1: introducers[0]: must be scheme, host and port, and at most a path\n  introducers\n  ^^^^^^^^^^^"},
		{"one introducer twice", "introducers = ['http://h', 'http://h/']", "PATH:1: introducers[1]: http://h is named twice\n  introducers\n  ^^^^^^^^^^^"},
		{"a long name", good + "nickname = '" + long + "'", "PATH:2: nickname: 300 bytes; at most 256 are allowed\n  nickname\n  ^^^^^^^^"},
		{"no service name", good + "wants = ['storage', 'Storage']", "PATH:2: wants[1]: invalid service name \"Storage\": must be a lower-case letter, then at most 63 of lower-case letters, digits, _ and -\n  wants\n  ^^^^^"},
		{"one service twice", good + "wants = ['storage', 'storage']", "PATH:2: wants[1]: storage is named twice\n  wants\n  ^^^^^"},
		{"no port", good + "listen = '127.0.0.1'", "PATH:2: listen: \"127.0.0.1\": must be host:port, or :port for 127.0.0.1\n  listen\n  ^^^^^^"},
		{"no such port", good + "listen = ':70000'", "PATH:2: listen: \":70000\": \"70000\" is no port\n  listen\n  ^^^^^^"},
		{"an empty state", good + "state = ''", "PATH:2: state: must name a directory\n  state\n  ^^^^^"},
		{"no key", good + "[storage]\nenabled = true\nfurl = 'pb://swissnum'", "PATH: key: a node that offers something needs a key to sign with; 'introducer keygen' makes one"},
		{"nowhere", good + "key = 'k'\n[storage]\nenabled = true", "PATH:3: storage: says nowhere where it is: set endpoints, furl or nurls\n  [storage\n   ^^^^^^^"},
		{"a long endpoint", good + "key = 'k'\n[storage]\nenabled = true\nendpoints = ['a', '" + strings.Repeat("x", 1001) + "']",
			"PATH:5: storage.endpoints[1]: 1001 bytes; 1 to 1000 are allowed\n  endpoints\n  ^^^^^^^^^"},
		{"an empty endpoint", good + "key = 'k'\n[storage]\nenabled = true\nendpoints = ['']", "PATH:5: storage.endpoints[0]: 0 bytes; 1 to 1000 are allowed\n  endpoints\n  ^^^^^^^^^"},
		{"an empty NURL", good + "key = 'k'\n[storage]\nenabled = true\nnurls = ['']", "PATH:5: storage.nurls[0]: is empty\n  nurls\n  ^^^^^"},
		{"many endpoints", good + "key = 'k'\n[storage]\nenabled = true\nendpoints = [" + strings.Repeat("'a',", 17) + "]",
			"PATH:5: storage.endpoints: 17 of them; at most 16 are allowed\n  endpoints\n  ^^^^^^^^^"},
		{"a long seed", good + "key = 'k'\n[storage]\nenabled = true\nfurl = 'f'\npermutation-seed = '" + strings.Repeat("a", 104) + "'",
			"PATH:6: storage.permutation-seed: 65 bytes; at most 64 are allowed\n  permutation-seed\n  ^^^^^^^^^^^^^^^^"},
		{"a long life", good + "key = 'k'\n[storage]\nenabled = true\nfurl = 'f'\nttl = '8761h'",
			"PATH:6: storage.ttl: 8761h0m0s; must be whole seconds, 1s to 8760h0m0s\n  ttl\n  ^^^"},
		{"a life of half a second", good + "key = 'k'\n[storage]\nenabled = true\nfurl = 'f'\nttl = '1.5s'",
			"PATH:6: storage.ttl: 1.5s; must be whole seconds, 1s to 8760h0m0s\n  ttl\n  ^^^"},
		{"too much in all", good + "key = 'k'\n[storage]\nenabled = true\nfurl = '" + strings.Repeat("x", 16<<10) + "'",
			"PATH:3: storage: makes no announcement: invalid announcement: 16476 bytes, at most 16384 are allowed\n  [storage\n   ^^^^^^^"},
		{"an offer of nothing", good + "key = 'k'\n[[offer]]\nfurl = 'f'", "PATH:3: offer[0].service: must name what is offered\n  [[offer\n    ^^^^^"},
		{"an offer of storage's", good + "key = 'k'\n[[offer]]\nservice = 'upload_storage'\nfurl = 'f'",
			"PATH:4: offer[0].service: upload_storage is offered by [storage]\n  service\n  ^^^^^^^"},
		{"an offer twice", good + "key = 'k'\n[[offer]]\nservice = 'helper'\nfurl = 'f'\n[[offer]]\nservice = 'helper'\nfurl = 'f'",
			"PATH:7: offer[1].service: helper is offered twice\n  service\n  ^^^^^^^"},
	} {
		path := write(t, c.text)
		_, err := node.Load(path)
		if !errors.Is(err, node.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", c.name, err)
			continue
		}
		want := "invalid configuration: " + c.want
		if diff := cmp.Diff(want, strings.ReplaceAll(err.Error(), path, "PATH")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if strings.Contains(err.Error(), "swissnum") {
			t.Errorf("%s: a secret is in %v", c.name, err)
		}
	}
	if _, err := node.Load(filepath.Join(t.TempDir(), "missing.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	if _, err := node.Load(write(t, strings.Repeat("#\n", 1<<19)+"#")); !errors.Is(err, node.ErrInvalid) {
		t.Errorf("a file without end: got %v", err)
	}
}

// Check looks at what the configuration names.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "node.privkey")
	if err := announce.CreateKeyFile(keyFile, announce.NewKeyFromSeed([32]byte{1})); err != nil {
		t.Fatal(err)
	}
	good := func() *node.Config {
		return &node.Config{Key: keyFile, State: filepath.Join(dir, "state"), Introducers: []string{"http://h"}}
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check made the state directory, or %v", err)
	}
	numbers := filepath.Join(dir, "numbers.privkey")
	if err := announce.CreateKeyFile(numbers, announce.NewKeyFromSeed([32]byte{1})); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(numbers+".seqnum", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	listens := good()
	listens.Key = numbers
	if err := listens.Check(); err != nil {
		t.Errorf("damaged numbers, of which none is needed: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*node.Config)
		want   string
	}{
		{"no key file", func(c *node.Config) { c.Key = filepath.Join(dir, "none") },
			"key: there is no file DIR/none; 'introducer keygen --out DIR/none' makes one"},
		{"another file", func(c *node.Config) { c.Key = filepath.Join(dir, "notes") },
			`key: loading a private key from DIR/notes: invalid private key: must begin with "priv-v0-"`},
		{"damaged numbers", func(c *node.Config) { c.Key = numbers; enabled(c) },
			"key: reading sequence numbers from DIR/numbers.privkey.seqnum: not a file of sequence numbers: jsontext: unexpected EOF after offset 1"},
		{"state below nothing", func(c *node.Config) { c.State = filepath.Join(dir, "none", "state") },
			"state: no file can be made in DIR/none: no such file or directory"},
		{"state in a file", func(c *node.Config) { c.State = keyFile }, "state: no file can be made in DIR/node.privkey: not a directory"},
		{"no state", func(c *node.Config) { c.State = "" }, "state: must name a directory"},
		{"two at once", func(c *node.Config) { c.Key, c.Introducers = filepath.Join(dir, "notes"), nil },
			"introducers: must name one at least, such as \"http://127.0.0.1:7271\"\n" +
				`key: loading a private key from DIR/notes: invalid private key: must begin with "priv-v0-"`},
	} {
		if err := os.WriteFile(filepath.Join(dir, "notes"), []byte("tellnobody"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := good()
		c.change(cfg)
		err := cfg.Check()
		if !errors.Is(err, node.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", c.name, err)
			continue
		}
		if diff := cmp.Diff("invalid configuration: "+c.want, strings.ReplaceAll(err.Error(), dir, "DIR")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Whatever a file says, it is understood or refused, and what is understood can be announced.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(node.Example))
	f.Add([]byte("introducers = ['http://h']\nkey = 'k'\n[storage]\nenabled = true\nfurl = 'f'\n"))
	f.Add([]byte("storage = {enabled = 0}\noffer = [{service = 3}, 4]\n'a.b'.c = 1\n[[storage]]\n[offer]"))
	f.Add([]byte("[[offer]]\n[[offer]]\nservice = 'x'\n[offer.x.y]\n\"\" = 1\n"))
	path := filepath.Join(f.TempDir(), "node.toml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := node.Load(path)
		if err != nil {
			if !errors.Is(err, node.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			return
		}
		for _, a := range c.Announcements() {
			if _, err := a.Message(); err != nil {
				t.Errorf("of\n%s\n%s cannot be announced: %v", text, a.Service, err)
			}
		}
	})
}

package node

import (
	"bytes"
	"cmp"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/introducer/introducer/announce"
)

// maxConfig is more than any configuration has, in bytes: a wrong path may lead to a device without end.
const maxConfig = 1 << 20

// Load reads a configuration from a file in TOML 1.0. All keys may be absent unless it says otherwise:
//
//	nickname     string            name for people
//	key          path              key file of 'introducer keygen'; needed to offer anything
//	state        path              directory for what was heard and said; made where there is none.
//	                               Absent: the file's own name with .state in place of .toml
//	introducers  list of strings   base URLs; one at least
//	wants        list of strings   services to subscribe to
//	listen       string            host:port of the local lookup service, or :port for 127.0.0.1;
//	                               absent: none
//
//	[storage]
//	enabled      boolean           false when absent
//	read-only    boolean           false when absent
//	and the keys of a place
//
//	[[offer]]                      any number of them
//	service      string            required
//	and the keys of a place
//
// The keys of a place, of which endpoints, furl or nurls is needed where something is offered:
//
//	endpoints         list of strings   at most 16, each at most 1,000 bytes
//	furl              string            Tahoe-LAFS's anonymous-storage-FURL
//	nurls             list of strings   Tahoe-LAFS's anonymous-storage-NURLs
//	permutation-seed  string            lower-case unpadded base32 of 0 to 64 bytes; absent: the peer id
//	ttl               string            whole seconds, "1s" to "8760h"; absent: announcements never expire
//
// Paths are relative to the file's directory. Names of keys are case-sensitive, and those that are not
// listed are refused. An error in what the file says wraps [ErrInvalid] and names all that is wrong, each
// with its line; nothing but the file is looked at: that is [Config.Check]'s business.
func Load(path string) (*Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, fmt.Errorf("reading a configuration: %w", err)
	}
	c := &Config{State: strings.TrimSuffix(filepath.Base(path), ".toml") + ".state"}
	r := reader{path: path, text: text}
	if err := r.read(c); err != nil {
		return nil, err
	}
	if c.Listen, err = listenAddress(c.Listen); err != nil {
		return nil, err
	}
	for _, p := range []*string{&c.Key, &c.State} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return c, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrInvalid, path, maxConfig)
	}
	return text, err
}

// reader reads one file, and notes what is wrong with it.
type reader struct {
	path   string
	text   []byte
	faults faults
	spots  map[string]spot // :: key as in fault → where it stands
}

// spot is where a key stands in the text.
type spot struct {
	line, column, length int // the first two from 1, in bytes
}

func (r *reader) read(c *Config) error {
	var all map[string]any
	if err := toml.Unmarshal(r.text, &all); err != nil {
		return r.syntaxError(err)
	}
	r.table("", all, c.targets())
	if len(r.faults) == 0 {
		r.faults = c.faults()
	}
	if len(r.faults) == 0 {
		return nil
	}
	r.locate()
	return r.err()
}

// syntaxError is the TOML library's error without the lines around it, which may have secrets in them.
func (r *reader) syntaxError(err error) error {
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := e.Position()
		return fmt.Errorf("%w: %s:%d:%d: %s", ErrInvalid, r.path, line, column, strings.TrimPrefix(e.Error(), "toml: "))
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, r.path, err)
}

// targets are the keys of a table and where their values go.
type targets map[string]any

func (c *Config) targets() targets {
	storage := c.Storage.Place.targets()
	storage["enabled"], storage["read-only"] = &c.Storage.Enabled, &c.Storage.ReadOnly
	return targets{
		"nickname": &c.Nickname, "key": &c.Key, "state": &c.State, "introducers": &c.Introducers, "wants": &c.Wants,
		"listen": &c.Listen, "storage": storage, "offer": &c.Offers,
	}
}

func (p *Place) targets() targets {
	return targets{
		"endpoints": &p.Endpoints, "furl": &p.FURL, "nurls": &p.NURLs, "permutation-seed": &p.PermutationSeed, "ttl": &p.TTL,
	}
}

// table stores the values of a table. prefix is its own key with a dot behind it, "" for the whole file.
func (r *reader) table(prefix string, from map[string]any, to targets) {
	for name, value := range from {
		target, ok := to[name]
		if !ok {
			r.faults.add(prefix+name, "unknown key; known here are %s", strings.Join(slices.Sorted(maps.Keys(to)), ", "))
			continue
		}
		r.store(prefix+name, value, target)
	}
}

// store stores one value.
func (r *reader) store(key string, value, target any) {
	ok, want := false, ""
	switch to := target.(type) {
	case *string:
		want = "a string"
		*to, ok = value.(string)
	case *bool:
		want = "true or false"
		*to, ok = value.(bool)
	case *[]string:
		want = "a list of strings"
		*to, ok = list[string](value)
	case *[]announce.Service:
		want = "a list of strings"
		var names []string
		names, ok = list[string](value)
		for _, s := range names {
			*to = append(*to, announce.Service(s))
		}
	case *announce.Service:
		want = "a string"
		var name string
		name, ok = value.(string)
		*to = announce.Service(name)
	case *time.Duration:
		want = `a time span above zero, such as "168h"`
		var text string
		if text, ok = value.(string); ok {
			var err error
			*to, err = time.ParseDuration(text)
			// Zero is how a Config says never; a file says it by not saying anything.
			ok = err == nil && *to != 0
		}
	case *[]byte:
		want = "lower-case base32 without padding, as of whole bytes"
		var text string
		if text, ok = value.(string); ok {
			*to, ok = decode32(text)
		}
	case targets:
		want = "a table, [" + key + "]"
		var from map[string]any
		if from, ok = value.(map[string]any); ok {
			r.table(key+".", from, to)
		}
	case *[]Offer:
		want = "tables, [[" + key + "]]"
		var from []map[string]any
		from, ok = list[map[string]any](value)
		*to = make([]Offer, len(from))
		for i := range from {
			o := &(*to)[i]
			known := o.Place.targets()
			known["service"] = &o.Service
			r.table(fmt.Sprintf("%s[%d].", key, i), from[i], known)
		}
	}
	if !ok {
		r.faults.add(key, "must be %s", want)
	}
}

// list is value as a list of T; false when it is something else.
func list[T any](value any) ([]T, bool) {
	from, ok := value.([]any)
	if !ok {
		return nil, false
	}
	all := make([]T, len(from))
	for i := range from {
		if all[i], ok = from[i].(T); !ok {
			return nil, false
		}
	}
	return all, true
}

// tahoe32 is Tahoe-LAFS's base32 (allmydata/util/base32.py): lower case and without padding.
var tahoe32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// decode32 accepts no two texts for the same bytes: the standard library skips line breaks and unused
// bits. The bytes are not nil.
func decode32(s string) ([]byte, bool) {
	b, err := tahoe32.DecodeString(s)
	return b, err == nil && tahoe32.EncodeToString(b) == s
}

// locate finds where the keys stand. The text is known to be TOML.
func (r *reader) locate() {
	r.spots = make(map[string]spot)
	var p unstable.Parser
	p.Reset(r.text)
	prefix := ""
	offers := make(map[string]int) // :: key of an array of tables → how many came
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			prefix = r.note(&p, "", e) + "."
		case unstable.ArrayTable:
			key := r.note(&p, "", e)
			numbered := fmt.Sprintf("%s[%d]", key, offers[key])
			offers[key]++
			r.spots[numbered] = r.spots[key]
			prefix = numbered + "."
		case unstable.KeyValue:
			r.note(&p, prefix, e)
		}
	}
}

// note notes where the key of an expression stands, and returns it.
func (r *reader) note(p *unstable.Parser, prefix string, e *unstable.Node) string {
	var names []string
	var first, last unstable.Range
	for keys := e.Key(); keys.Next(); {
		n := keys.Node()
		if len(names) == 0 {
			first = n.Raw
		}
		last = n.Raw
		names = append(names, string(n.Data))
	}
	key := prefix + strings.Join(names, ".")
	start := p.Shape(first).Start
	r.spots[key] = spot{start.Line, start.Column, int(last.Offset + last.Length - first.Offset)}
	return key
}

// find returns where the key stands, or else the table or list around it; false for nowhere.
func (r *reader) find(key string) (spot, bool) {
	for {
		if at, ok := r.spots[key]; ok {
			return at, true
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return spot{}, false
		}
		key = key[:cut]
	}
}

// err is all that is wrong, in the order of the file, each with the key pointed at. No value is shown.
func (r *reader) err() error {
	at := make([]spot, len(r.faults))
	order := make([]int, len(r.faults))
	for i, f := range r.faults {
		at[i], _ = r.find(f.key)
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(at[a].line, at[b].line), cmp.Compare(r.faults[a].key, r.faults[b].key))
	})
	lines := bytes.Split(r.text, []byte("\n"))
	var out []string
	for _, i := range order {
		f, p := r.faults[i], at[i]
		if p.line == 0 {
			out = append(out, fmt.Sprintf("%s: %s: %s", r.path, f.key, f.text))
			continue
		}
		key := lines[p.line-1][:min(p.column-1+p.length, len(lines[p.line-1]))]
		out = append(out, fmt.Sprintf("%s:%d: %s: %s\n  %s\n  %s%s", r.path, p.line, f.key, f.text,
			key, strings.Repeat(" ", p.column-1), strings.Repeat("^", p.length)))
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(out, "\n"))
}

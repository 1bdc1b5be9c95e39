package node

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/internal/seqnum"
)

// ErrInvalid is wrapped by the refusal of a configuration. The wrapping error names each key that is
// wrong and, of a file, its line. It never has the value of a FURL, a NURL or an endpoint in it, since
// those may be secrets.
var ErrInvalid = errors.New("invalid configuration")

// fault is what is wrong with one key, such as "introducers[1]".
type fault struct {
	key  string
	text string
}

// faults collects them.
type faults []fault

func (fs *faults) add(key, format string, args ...any) {
	*fs = append(*fs, fault{key, fmt.Sprintf(format, args...)})
}

// err is all of them, one a line, and nil for none.
func (fs faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.key + ": " + f.text
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(lines, "\n"))
}

// Check tells whether a node could be opened with this configuration, here and now: it reads the key
// file, looks whether the state directory can be written and, if something is offered, the key's own
// directory, and connects to nobody. A state directory that does not exist is not made, but must have a
// parent that can be written. The error wraps [ErrInvalid].
func (c *Config) Check() error {
	fs := c.faults()
	if c.Key != "" {
		if _, err := announce.LoadKeyFile(c.Key); errors.Is(err, os.ErrNotExist) {
			fs.add("key", "there is no file %s; 'introducer keygen --out %[1]s' makes one", c.Key)
		} else if err != nil {
			fs.add("key", "%v", err)
		} else if len(c.Announcements()) > 0 {
			c.checkNumbers(&fs)
		}
	}
	if c.State != "" {
		if err := checkWritable(c.State); err != nil {
			fs.add("state", "%v", err)
		}
	}
	return fs.err()
}

// checkNumbers looks at the file of sequence numbers beside the key, without which nothing is announced.
func (c *Config) checkNumbers(fs *faults) {
	if _, err := seqnum.Open(seqnum.Path(c.Key)); err != nil {
		fs.add("key", "%v", err)
	} else if err := checkWritable(filepath.Dir(c.Key)); err != nil {
		fs.add("key", "the numbers of what is announced are kept beside it: %v", err)
	}
}

// checkWritable tells whether files can be made in dir, or else dir itself.
func checkWritable(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return fmt.Errorf("no file can be made in %s: %w", dir, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// faults are those that can be seen without looking at anything else.
func (c *Config) faults() faults {
	var fs faults
	if n := len(c.Nickname); n > announce.MaxNickname {
		fs.add("nickname", "%d bytes; at most %d are allowed", n, announce.MaxNickname)
	}
	if c.State == "" {
		fs.add("state", "must name a directory")
	}
	c.checkIntroducers(&fs)
	c.checkWants(&fs)
	if _, err := listenAddress(c.Listen); err != nil {
		fs.add("listen", "%v", err)
	}
	if c.Storage.Enabled {
		c.checkPlace(&fs, "storage", announce.DownloadStorage, &c.Storage.Place)
	}
	c.checkOffers(&fs)
	if c.Key == "" && (c.Storage.Enabled || len(c.Offers) > 0) {
		fs.add("key", "a node that offers something needs a key to sign with; 'introducer keygen' makes one")
	}
	return fs
}

func (c *Config) checkIntroducers(fs *faults) {
	if len(c.Introducers) == 0 {
		fs.add("introducers", "must name one at least, such as \"http://127.0.0.1:7271\"")
	}
	seen := make(map[string]struct{})
	for i, text := range c.Introducers {
		key := fmt.Sprintf("introducers[%d]", i)
		base, err := introducerURL(text)
		if err != nil {
			fs.add(key, "%v", err)
			continue
		}
		if _, ok := seen[base]; ok {
			fs.add(key, "%s is named twice", base)
		}
		seen[base] = struct{}{}
	}
}

// introducerURL returns the base URL that text is. The error does not quote it, for there may be a
// password in it.
func introducerURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return "", errors.New("names no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("must be scheme, host and port, and at most a path")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func (c *Config) checkWants(fs *faults) {
	for i, s := range c.Wants {
		key := fmt.Sprintf("wants[%d]", i)
		if _, err := announce.ParseService(string(s)); err != nil {
			fs.add(key, "%v", err)
		} else if slices.Contains(c.Wants[:i], s) {
			fs.add(key, "%s is named twice", s)
		}
	}
}

func (c *Config) checkOffers(fs *faults) {
	for i := range c.Offers {
		o := &c.Offers[i]
		key := fmt.Sprintf("offer[%d]", i)
		switch _, err := announce.ParseService(string(o.Service)); {
		case o.Service == "":
			fs.add(key+".service", "must name what is offered")
		case err != nil:
			fs.add(key+".service", "%v", err)
		case o.Service == announce.UploadStorage || o.Service == announce.DownloadStorage:
			fs.add(key+".service", "%s is offered by [storage]", o.Service)
		case slices.ContainsFunc(c.Offers[:i], func(p Offer) bool { return p.Service == o.Service }):
			fs.add(key+".service", "%s is offered twice", o.Service)
		}
		c.checkPlace(fs, key, o.Service, &o.Place)
	}
}

// checkPlace holds what an announcement of service must obey.
func (c *Config) checkPlace(fs *faults, key string, service announce.Service, p *Place) {
	if p.FURL == "" && len(p.NURLs) == 0 && len(p.Endpoints) == 0 {
		fs.add(key, "says nowhere where it is: set endpoints, furl or nurls")
	}
	if n := len(p.Endpoints); n > announce.MaxEndpoints {
		fs.add(key+".endpoints", "%d of them; at most %d are allowed", n, announce.MaxEndpoints)
	}
	for i, e := range p.Endpoints {
		if len(e) == 0 || len(e) > announce.MaxEndpoint {
			fs.add(fmt.Sprintf("%s.endpoints[%d]", key, i), "%d bytes; 1 to %d are allowed", len(e), announce.MaxEndpoint)
		}
	}
	for i, u := range p.NURLs {
		if u == "" {
			fs.add(fmt.Sprintf("%s.nurls[%d]", key, i), "is empty")
		}
	}
	if n := len(p.PermutationSeed); n > announce.MaxPermutationSeed {
		fs.add(key+".permutation-seed", "%d bytes; at most %d are allowed", n, announce.MaxPermutationSeed)
	}
	if d := p.TTL; d != 0 && (d < time.Second || d > announce.MaxTTL || d%time.Second != 0) {
		fs.add(key+".ttl", "%v; must be whole seconds, 1s to %v", d, announce.MaxTTL)
	}
	if len(*fs) > 0 {
		return
	}
	// What can still be wrong is the size of the whole.
	a := c.announcement(service, p)
	a.Seqnum = announce.MaxSeqnum
	if _, err := a.Message(); err != nil {
		fs.add(key, "makes no announcement: %v", err)
	}
}

// defaultHost is where the lookups are served when nothing else is said: what a node has heard has
// secrets in it, and is not for the network.
const defaultHost = "127.0.0.1"

// listenAddress is what Config.Listen means; "" for nothing.
func listenAddress(listen string) (string, error) {
	if listen == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("%q: must be host:port, or :port for %s", listen, defaultHost)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "", fmt.Errorf("%q: %q is no port", listen, port)
	}
	if host == "" {
		host = defaultHost
	}
	return net.JoinHostPort(host, port), nil
}

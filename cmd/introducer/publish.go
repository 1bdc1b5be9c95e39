package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/introducer/introducer/announce"
	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/internal/seqnum"
)

const publishHelp = `Announces a service under a key, or publishes announcements that were signed elsewhere.

With --key the announcement is made and signed here. Its sequence number is the next one in the
file KEY.seqnum beside the key. Where an introducer knows a greater one, because that file was lost
or the key is used elsewhere too, the announcement is signed again with a number that beats it.

With --signed FILE, or - for stdin, ready-made announcements are published as they are. They are
JSON values, one a line or all in a row, of either form:

  {"message": "{\"service-name\": …}", "signature": "v0-…", "key": "v0-…"}
  ["{\"service-name\": …}", "v0-…", "v0-…"]

The first is "announcement" of 'peers -o json', the second Tahoe-LAFS's tuple. The message is the text
that was signed.

--server may be repeated. One that does not answer does not keep the others from hearing of it.`

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish --key FILE SERVICE | publish --signed FILE",
		Short: "Announce a service",
		Long:  publishHelp,
		Example: "  introducer publish --key node.privkey storage --nickname node7 --endpoint https://192.0.2.7:3457/\n" +
			"  introducer peers storage -o json | jq -c .announcement | introducer publish --signed - --server http://other:7271",
		Args: cobra.MaximumNArgs(1),
		RunE: a.publish,
	}
	a.addServerFlags(cmd, true)
	f := cmd.Flags()
	f.String("key", "", "private key file, as keygen makes it")
	f.String("signed", "", "file of signed announcements, or - for stdin")
	addContentFlags(f)
	return cmd
}

// The flags that say what is announced.
func addContentFlags(f *pflag.FlagSet) {
	f.StringArray("endpoint", nil, "URL of the service; may be repeated")
	f.String("nickname", "", "name for people, at most 256 bytes")
	f.String("seed", "", "permutation seed, base32 of 0 to 64 bytes (default: the peer id)")
	f.Duration("ttl", 0, "time to live, after which the announcement expires: 1s to 8760h (default: never)")
	f.String("furl", "", "anonymous-storage-FURL")
	f.StringArray("nurl", nil, "one of anonymous-storage-NURLs; may be repeated")
	f.StringArray("member", nil, "NAME=JSON, another member of the announcement; may be repeated")
}

func (a *app) publish(cmd *cobra.Command, args []string) error {
	signed, err := cmd.Flags().GetString("signed")
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("signed") {
		return a.publishOwn(cmd, args)
	}
	if len(args) > 0 {
		return usagef("--signed and SERVICE: a signed announcement says itself which service it is of")
	}
	var mistake error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "signed", "server", "timeout", "output":
		default:
			if f.Changed {
				mistake = usagef("--signed and --%s: what is signed cannot be changed", f.Name)
			}
		}
	})
	if mistake != nil {
		return mistake
	}
	return a.publishSigned(cmd, signed)
}

func (a *app) withdrawCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "withdraw --key FILE SERVICE",
		Short: "Take an announcement back",
		Long: `Says, signed with the key, that this peer no longer offers the service. It holds even where the
announcement itself arrives later. The sequence number is found as 'publish' finds it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.publishWith(cmd, args, &announce.Announcement{Withdrawn: true})
		},
	}
	a.addServerFlags(cmd, true)
	cmd.Flags().String("key", "", "private key file, as keygen makes it")
	return cmd
}

func (a *app) publishOwn(cmd *cobra.Command, args []string) error {
	said, err := parseContent(cmd.Flags())
	if err != nil {
		return usage(err)
	}
	return a.publishWith(cmd, args, said)
}

// parseContent reads what addContentFlags registered.
func parseContent(f *pflag.FlagSet) (*announce.Announcement, error) {
	var said announce.Announcement
	var members []string
	var seed string
	for name, to := range map[string]*string{"nickname": &said.Nickname, "furl": &said.FURL, "seed": &seed} {
		var err error
		if *to, err = f.GetString(name); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]*[]string{"endpoint": &said.Endpoints, "nurl": &said.NURLs, "member": &members} {
		var err error
		if *to, err = f.GetStringArray(name); err != nil {
			return nil, err
		}
	}
	var err error
	if said.TTL, err = f.GetDuration("ttl"); err != nil {
		return nil, err
	}
	if f.Changed("ttl") && said.TTL <= 0 {
		return nil, fmt.Errorf("--ttl %v: must be above zero", said.TTL)
	}
	if f.Changed("seed") {
		if said.PermutationSeed, err = input.Base32(seed); err != nil {
			return nil, fmt.Errorf("--seed: %w", err)
		}
	}
	for _, m := range members {
		name, value, ok := strings.Cut(m, "=")
		if !ok {
			return nil, fmt.Errorf("--member %q: must be NAME=JSON", m)
		}
		if _, ok := said.Extra[name]; ok {
			return nil, fmt.Errorf("--member %s: given twice", name)
		}
		if said.Extra == nil {
			said.Extra = make(map[string]json.RawMessage)
		}
		said.Extra[name] = json.RawMessage(value)
	}
	return &said, nil
}

// publishWith signs what is said with the key that --key names and publishes it for the service
// that args names.
func (a *app) publishWith(cmd *cobra.Command, args []string, said *announce.Announcement) error {
	s, err := newSpeaker(cmd, args, said)
	if err != nil {
		return err
	}
	p, err := a.newPublisher(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()

	var current uint64
	for try := 1; ; try++ {
		signed, err := s.sign(current)
		if err != nil {
			return err
		}
		batch := []announce.Signed{signed}
		results := p.publish(ctx, batch)
		stale := false
		for _, r := range results {
			for _, one := range r.results {
				if one.GetOutcome() == introducerv1.PublishOutcome_PUBLISH_OUTCOME_STALE {
					stale, current = true, max(current, one.GetCurrentSeqnum())
				}
			}
		}
		// A second STALE means that somebody else announces with the same key at the same time.
		if stale && try == 1 && ctx.Err() == nil {
			continue
		}
		if err := p.show(batch, results); err != nil {
			return err
		}
		return p.verdict()
	}
}

// speaker signs one announcement, with one sequence number after another.
type speaker struct {
	key     *announce.Key
	said    *announce.Announcement
	numbers *seqnum.File
}

func newSpeaker(cmd *cobra.Command, args []string, said *announce.Announcement) (*speaker, error) {
	keyPath, err := cmd.Flags().GetString("key")
	if err != nil {
		return nil, err
	}
	if keyPath == "" {
		return nil, usagef("--key: which key is to sign? 'introducer keygen' makes one")
	}
	if len(args) != 1 {
		return nil, usagef("SERVICE: which service is it about? For example upload_storage")
	}
	if said.Service, err = announce.ParseService(args[0]); err != nil {
		return nil, usage(err)
	}
	// Refused before a number is used up.
	if _, err := said.Message(); err != nil {
		return nil, usage(err)
	}
	s := &speaker{said: said}
	if s.key, err = announce.LoadKeyFile(keyPath); err != nil {
		return nil, err
	}
	if s.numbers, err = seqnum.Open(seqnum.Path(keyPath)); err != nil {
		return nil, fmt.Errorf("%w\nWithout that file numbers begin anew, and beat what the introducer knows", err)
	}
	return s, nil
}

// sign signs with a number that was never used before and beats current.
func (s *speaker) sign(current uint64) (announce.Signed, error) {
	var err error
	if s.said.Seqnum, err = s.numbers.Beat(s.said.Service, current); err != nil {
		return announce.Signed{}, err
	}
	message, err := s.said.Message()
	if err != nil {
		return announce.Signed{}, err
	}
	return s.key.Sign(message), nil
}

// The size of one request of ready-made announcements: what the contract allows, and well below the
// bytes that an introducer reads.
const (
	batchItems = 1000
	batchBytes = 2 << 20
)

// publishSigned publishes the announcements of a file as they are, batch after batch.
func (a *app) publishSigned(cmd *cobra.Command, path string) error {
	p, err := a.newPublisher(cmd)
	if err != nil {
		return err
	}
	from, closeFile, err := a.openInput(path)
	if err != nil {
		return err
	}
	defer closeFile()
	ctx, stop := interruptible(cmd.Context())
	defer stop()

	err = inBatches(input.Signed(from), func(batch []announce.Signed) error {
		return errors.Join(p.show(batch, p.publish(ctx, batch)), ctx.Err())
	})
	if err != nil {
		return err
	}
	if p.published == 0 && p.refused == 0 && p.failed == nil {
		return exitf(exitFailed, "there is no announcement in %s", path)
	}
	return p.verdict()
}

// inBatches calls send for all announcements, as many at a time as fit a request. What came before one that
// can't be read is sent.
func inBatches(all iter.Seq2[announce.Signed, error], send func([]announce.Signed) error) error {
	var batch []announce.Signed
	var size int
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := send(batch)
		batch, size = batch[:0], 0
		return err
	}
	for signed, err := range all {
		if err != nil {
			return errors.Join(flush(), err)
		}
		if len(batch) == batchItems || size+len(signed.Message) > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, signed)
		size += len(signed.Message)
	}
	return flush()
}

// openInput opens a file that a flag names; - is stdin.
func (a *app) openInput(path string) (io.Reader, func() error, error) {
	if path == "-" {
		return a.stdin, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

package announce

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Message writes the message that says what a does: one JSON object without white space, its members
// in the order of the package comment, those absent that have nothing to say, and then Extra's by
// name. The same announcement gives the same bytes. [Parse] reads it back, except for Extra; what
// Parse would refuse is refused here, with an error that wraps [ErrInvalid].
func (a *Announcement) Message() ([]byte, error) {
	if err := a.checkTTL(); err != nil {
		return nil, err
	}
	var w composer
	w.str(memberService, string(a.Service))
	w.raw(memberSeqnum, strconv.AppendUint(nil, a.Seqnum, 10))
	if a.Nickname != "" {
		w.str(memberNickname, a.Nickname)
	}
	if a.PermutationSeed != nil {
		w.str(memberSeed, tahoe32.EncodeToString(a.PermutationSeed))
	}
	if a.FURL != "" {
		w.str(memberFURL, a.FURL)
	}
	if len(a.NURLs) > 0 {
		w.list(memberNURLs, a.NURLs)
	}
	if len(a.Endpoints) > 0 {
		w.list(memberEndpoints, a.Endpoints)
	}
	if a.TTL != 0 {
		w.raw(memberTTL, strconv.AppendInt(nil, int64(a.TTL/time.Second), 10))
	}
	if a.Withdrawn {
		w.raw(memberWithdrawn, []byte("true"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Extra)) {
		w.extra(name, a.Extra[name])
	}
	if w.err != nil {
		return nil, fmt.Errorf("%w announcement: %w", ErrInvalid, w.err)
	}
	message := append(w.buf, '}')
	// The rules stand in one place, and what leaves here is what they let pass.
	if _, err := Parse(message); err != nil {
		return nil, err
	}
	return message, nil
}

// checkTTL refuses what writing whole seconds would round into something valid.
func (a *Announcement) checkTTL() error {
	if a.TTL < 0 || a.TTL%time.Second != 0 {
		return fmt.Errorf("%w announcement: a time to live of %v, must be whole seconds", ErrInvalid, a.TTL)
	}
	return nil
}

// composer appends members to an object that is open, and keeps the first error.
type composer struct {
	buf []byte
	err error
}

// name opens the member.
func (w *composer) name(name string) {
	sep := byte(',')
	if len(w.buf) == 0 {
		sep = '{'
	}
	w.buf = append(w.buf, sep)
	w.quote(name, name)
	w.buf = append(w.buf, ':')
}

// quote appends s as a JSON string, which only UTF-8 can be.
func (w *composer) quote(member, s string) {
	if w.err != nil {
		return
	}
	if w.buf, w.err = jsontext.AppendQuote(w.buf, s); w.err != nil {
		w.err = fmt.Errorf("member %s: %w", clip(member), w.err)
	}
}

func (w *composer) raw(name string, value []byte) {
	w.name(name)
	w.buf = append(w.buf, value...)
}

func (w *composer) str(name, s string) {
	w.name(name)
	w.quote(name, s)
}

func (w *composer) list(name string, all []string) {
	w.name(name)
	sep := byte('[')
	for _, s := range all {
		w.buf = append(w.buf, sep)
		w.quote(name, s)
		sep = ','
	}
	w.buf = append(w.buf, ']')
}

// extra writes a member of Extra. Its value must be one JSON value by itself: pasted unseen, 1,"withdrawn":true
// would be a member more.
func (w *composer) extra(name string, value json.RawMessage) {
	switch {
	case w.err != nil:
	case slices.Contains(knownMembers[:], name):
		w.err = fmt.Errorf("extra member %q is one with a field of its own", name)
	case !jsontext.Value(value).IsValid():
		w.err = fmt.Errorf("extra member %s is not one strict JSON value", clip(name))
	default:
		w.raw(name, bytes.TrimSpace(value))
	}
}

// knownMembers are those with a field in [Announcement].
var knownMembers = [...]string{
	memberService, memberSeqnum, memberNickname, memberSeed, memberFURL, memberNURLs, memberEndpoints, memberTTL, memberWithdrawn,
}

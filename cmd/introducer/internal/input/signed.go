package input

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/introducer/introducer/announce"
)

// Tuple is a signed announcement in Tahoe-LAFS's text forms, as it is read and written here.
type Tuple struct {
	Message   string `json:"message"`
	Signature string `json:"signature"`
	Key       string `json:"key"`
}

// TupleOf returns s as text. A message that is not UTF-8, which no valid one is, cannot be text and is
// mended.
func TupleOf(s announce.Signed) Tuple {
	message, signature, key := s.Tahoe()
	return Tuple{Message: string(message), Signature: signature, Key: key}
}

// Signed reads signed announcements until r ends. What they say and whether the signatures verify is
// not looked at. An error ends it; it says which announcement is concerned, counted from 1.
func Signed(r io.Reader) iter.Seq2[announce.Signed, error] {
	return func(yield func(announce.Signed, error) bool) {
		dec := jsontext.NewDecoder(r)
		for n := 1; ; n++ {
			s, err := next(dec)
			if errors.Is(err, io.EOF) && dec.PeekKind() == jsontext.KindInvalid && dec.StackDepth() == 0 {
				return
			}
			if err != nil {
				yield(announce.Signed{}, fmt.Errorf("%w: announcement %d: %w", ErrInvalid, n, err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func next(dec *jsontext.Decoder) (announce.Signed, error) {
	var t Tuple
	switch kind := dec.PeekKind(); kind {
	case jsontext.KindBeginArray:
		var list []string
		if err := json.UnmarshalDecode(dec, &list); err != nil {
			return announce.Signed{}, err
		}
		if len(list) != 3 {
			return announce.Signed{}, fmt.Errorf("a list of %d strings, must be message, signature and key", len(list))
		}
		t = Tuple{Message: list[0], Signature: list[1], Key: list[2]}
	case jsontext.KindBeginObject:
		if err := json.UnmarshalDecode(dec, &t, json.RejectUnknownMembers(true)); err != nil {
			return announce.Signed{}, err
		}
	default:
		// Reading it tells the end and what is wrong with the syntax.
		if _, err := dec.ReadValue(); err != nil {
			return announce.Signed{}, err
		}
		return announce.Signed{}, errors.New("must be an object or a list of three strings")
	}
	return announce.FromTahoe([]byte(t.Message), t.Signature, t.Key)
}

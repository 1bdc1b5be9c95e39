package announce

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads a message and holds it to every rule of the package comment; it does not know who
// signed it. Nothing it returns aliases message. The error wraps [ErrInvalid] and says what is wrong
// and at which member or byte (counted from 0).
func Parse(message []byte) (*Announcement, error) {
	if len(message) > MaxMessage {
		return nil, tooLong(message)
	}
	// The decoder refuses what encoding/json lets pass: names given twice, bytes that are not UTF-8,
	// halves of surrogate pairs. It reads a bytes.Buffer in place.
	p := parser{dec: jsontext.NewDecoder(bytes.NewBuffer(message))}
	a, err := p.announcement()
	if err != nil {
		return nil, fmt.Errorf("%w announcement: %w", ErrInvalid, err)
	}
	return a, nil
}

func tooLong(message []byte) error {
	return fmt.Errorf("%w announcement: %d bytes, at most %d are allowed", ErrInvalid, len(message), MaxMessage)
}

type parser struct {
	dec *jsontext.Decoder
	at  int64 // where the value that was read last begins
}

func (p *parser) announcement() (*Announcement, error) {
	if k := p.dec.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return nil, fmt.Errorf("must be one JSON object, is %s", kindName(k))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	a := new(Announcement)
	var hasService, hasSeqnum bool
	for p.dec.PeekKind() != jsontext.KindEndObject {
		raw, err := p.dec.ReadValue()
		if err != nil {
			return nil, syntax(err)
		}
		name, err := unquote(raw)
		if err != nil {
			return nil, err
		}
		switch string(name) {
		case memberService:
			hasService = true
			var s string
			if s, err = p.str(memberService); err == nil {
				a.Service, err = ParseService(s)
			}
		case memberSeqnum:
			hasSeqnum = true
			a.Seqnum, err = p.integer(memberSeqnum, 0, MaxSeqnum)
		case memberNickname:
			a.Nickname, err = p.str(memberNickname)
			if err == nil && len(a.Nickname) > MaxNickname {
				err = p.wrong(memberNickname, "has %d bytes, at most %d are allowed", len(a.Nickname), MaxNickname)
			}
		case memberSeed:
			a.PermutationSeed, err = p.seed()
		case memberFURL:
			a.FURL, err = p.str(memberFURL)
		case memberNURLs:
			a.NURLs, err = p.list(memberNURLs, MaxMessage, MaxMessage)
		case memberEndpoints:
			a.Endpoints, err = p.list(memberEndpoints, MaxEndpoints, MaxEndpoint)
		case memberTTL:
			var seconds uint64
			seconds, err = p.integer(memberTTL, 1, uint64(MaxTTL/time.Second))
			a.TTL = time.Duration(seconds) * time.Second
		case memberWithdrawn:
			a.Withdrawn, err = p.boolean(memberWithdrawn)
		default:
			err = p.skip()
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	end := p.dec.InputOffset()
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return nil, fmt.Errorf("something follows the JSON object, which ends before byte %d", end)
	}
	if !hasService {
		return nil, fmt.Errorf("member %q is missing", memberService)
	}
	if !hasSeqnum {
		return nil, fmt.Errorf("member %q is missing", memberSeqnum)
	}
	return a, nil
}

// str reads a string.
func (p *parser) str(member string) (string, error) {
	raw, err := p.value(member, jsontext.KindString, "a string")
	if err != nil {
		return "", err
	}
	b, err := unquote(raw)
	return string(b), err
}

// integer reads a number from least to most, written in decimal digits alone. JSON has 1.0 and 1e0
// as well, but whether these are integers depends on who reads: Python makes them floats, JavaScript
// does not tell them from 1, and past 2^53 a float is another number. So they are refused, and -0
// with them, and no float is ever made here.
func (p *parser) integer(member string, least, most uint64) (uint64, error) {
	raw, err := p.value(member, jsontext.KindNumber, "an integer")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, p.wrong(member, "must be an integer in digits alone, without sign, fraction or exponent")
	case err != nil || n < least || n > most:
		return 0, p.wrong(member, "must be from %d to %d", least, most)
	}
	return n, nil
}

// boolean reads true or false.
func (p *parser) boolean(member string) (bool, error) {
	k := p.dec.PeekKind()
	if k != jsontext.KindTrue && k != jsontext.KindFalse {
		_, err := p.value(member, jsontext.KindTrue, "true or false")
		return false, err
	}
	_, err := p.value(member, k, "true or false")
	return k == jsontext.KindTrue, err
}

// seed reads the permutation seed. It is never nil.
func (p *parser) seed() ([]byte, error) {
	s, err := p.str(memberSeed)
	if err != nil {
		return nil, err
	}
	if n := decodedLen32(len(s)); n > MaxPermutationSeed {
		return nil, p.wrong(memberSeed, "is of %d bytes, at most %d are allowed", n, MaxPermutationSeed)
	}
	b, err := decode32(s)
	if err != nil {
		return nil, p.wrong(memberSeed, "%w", err)
	}
	return b, nil
}

// list reads a list of at most count strings, each of at most size bytes. Nil for an empty list.
func (p *parser) list(member string, count, size int) ([]string, error) {
	if k := p.dec.PeekKind(); k != jsontext.KindBeginArray {
		_, err := p.value(member, jsontext.KindBeginArray, "a list of strings")
		return nil, err
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	var all []string
	for p.dec.PeekKind() != jsontext.KindEndArray {
		if len(all) == count {
			return nil, p.wrong(member, "has more than %d entries", count)
		}
		raw, err := p.value(member, jsontext.KindString, "a list of strings")
		if err != nil {
			return nil, err
		}
		b, err := unquote(raw)
		if err != nil {
			return nil, err
		}
		if len(b) > size {
			return nil, p.wrong(member, "has an entry of %d bytes, at most %d are allowed", len(b), size)
		}
		all = append(all, string(b))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	return all, nil
}

// skip reads a value that nobody here understands, down to its last name and brace.
func (p *parser) skip() error {
	outside := p.dec.StackDepth()
	for {
		if _, err := p.dec.ReadToken(); err != nil {
			return syntax(err)
		}
		switch depth := p.dec.StackDepth(); {
		case depth == outside:
			return nil
		case depth > MaxDepth:
			return fmt.Errorf("nested more than %d deep at byte %d", MaxDepth, p.dec.InputOffset()-1)
		}
	}
}

// value reads the next value and makes sure of its kind. What it returns is valid until the next read.
func (p *parser) value(member string, want jsontext.Kind, wanted string) (jsontext.Value, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return nil, syntax(err)
	}
	p.at = p.dec.InputOffset() - int64(len(raw))
	if got := raw.Kind(); got != want {
		return nil, p.wrong(member, "must be %s, is %s", wanted, kindName(got))
	}
	return raw, nil
}

// wrong says what is wrong with the value that was read last.
func (p *parser) wrong(member, format string, args ...any) error {
	return fmt.Errorf("member %q, at byte %d: "+format, append([]any{member, p.at}, args...)...)
}

// unquote undoes a string's quotes and escapes. It returns a part of raw when there is no escape.
func unquote(raw jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil // the decoder has seen that it is a string, and UTF-8
	}
	return jsontext.AppendUnquote(nil, raw)
}

// syntax says in our words, and in bounded length, what the decoder found.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return errors.New("is empty")
	case !errors.As(err, &s):
		return err
	case s.JSONPointer != "":
		return fmt.Errorf("not strict JSON at byte %d, within %s: %w", s.ByteOffset, clip(string(s.JSONPointer)), s.Err)
	}
	return fmt.Errorf("not strict JSON at byte %d: %w", s.ByteOffset, s.Err)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "a list"
	}
	return "no value"
}

package announce_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

// with returns a valid message with more members.
func with(members string) string { return `{"service-name":"storage","seqnum":1,` + members + `}` }

// nested returns n lists in one another.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// list returns a JSON list of n times s.
func list(n int, s string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%q,", s), n), ",") + "]"
}

// sized returns a valid message of n bytes.
func sized(n int) string {
	const around = `"x":""`
	return with(`"x":"` + strings.Repeat("y", n-len(with(around))) + `"`)
}

func TestParseAccepts(t *testing.T) {
	base := announce.Announcement{Service: "storage", Seqnum: 1}
	is := func(change func(*announce.Announcement)) *announce.Announcement {
		a := base
		change(&a)
		return &a
	}
	same := is(func(*announce.Announcement) {})
	for name, c := range map[string]struct {
		message string
		want    *announce.Announcement
	}{
		"least":                      {`{"service-name":"storage","seqnum":1}`, same},
		"white space around it":      {" \t\r\n{\"service-name\":\"storage\",\"seqnum\":1}\n ", same},
		"white space inside":         {"{ \"service-name\" :\n\"storage\" ,\t\"seqnum\" : 1 }", same},
		"an escaped name":            {`{"\u0073ervice-name":"storage","seq\u006eum":1}`, same},
		"an escaped service":         {`{"service-name":"stor\u0061ge","seqnum":1}`, same},
		"seqnum 0":                   {`{"service-name":"storage","seqnum":0}`, is(func(a *announce.Announcement) { a.Seqnum = 0 })},
		"the greatest seqnum":        {`{"service-name":"storage","seqnum":9223372036854775807}`, is(func(a *announce.Announcement) { a.Seqnum = announce.MaxSeqnum })},
		"a seqnum that no float is":  {`{"service-name":"storage","seqnum":9007199254740993}`, is(func(a *announce.Announcement) { a.Seqnum = 1<<53 + 1 })},
		"the longest service":        {`{"service-name":"a` + strings.Repeat("-", 63) + `","seqnum":1}`, is(func(a *announce.Announcement) { a.Service = announce.Service("a" + strings.Repeat("-", 63)) })},
		"the longest nickname":       {with(`"nickname":"` + strings.Repeat("é", 128) + `"`), is(func(a *announce.Announcement) { a.Nickname = strings.Repeat("é", 128) })},
		"escapes count as they mean": {with(`"nickname":"` + strings.Repeat(`\u00e9`, 128) + `"`), is(func(a *announce.Announcement) { a.Nickname = strings.Repeat("é", 128) })},
		"a surrogate pair":           {with(`"nickname":"\ud83d\udcbe"`), is(func(a *announce.Announcement) { a.Nickname = "💾" })},
		"NUL in a nickname":          {with(`"nickname":"\u0000"`), is(func(a *announce.Announcement) { a.Nickname = "\x00" })},
		"an empty seed":              {with(`"permutation-seed-base32":""`), is(func(a *announce.Announcement) { a.PermutationSeed = []byte{} })},
		"a seed of one byte":         {with(`"permutation-seed-base32":"74"`), is(func(a *announce.Announcement) { a.PermutationSeed = []byte{255} })},
		"the longest seed":           {with(`"permutation-seed-base32":"` + strings.Repeat("a", 103) + `"`), is(func(a *announce.Announcement) { a.PermutationSeed = make([]byte, 64) })},
		"a FURL and NURLs":           {with(`"anonymous-storage-FURL":"f","anonymous-storage-NURLs":["n","m"]`), is(func(a *announce.Announcement) { a.FURL, a.NURLs = "f", []string{"n", "m"} })},
		"more NURLs than endpoints":  {with(`"anonymous-storage-NURLs":` + list(17, "n")), is(func(a *announce.Announcement) { a.NURLs = slices.Repeat([]string{"n"}, 17) })},
		"a long FURL":                {with(`"anonymous-storage-FURL":"` + strings.Repeat("f", 1001) + `"`), is(func(a *announce.Announcement) { a.FURL = strings.Repeat("f", 1001) })},
		"empty lists":                {with(`"anonymous-storage-NURLs":[],"endpoints":[ ]`), same},
		"16 endpoints of 1,000":      {with(`"endpoints":` + list(16, strings.Repeat("e", 1000))), is(func(a *announce.Announcement) { a.Endpoints = slices.Repeat([]string{strings.Repeat("e", 1000)}, 16) })},
		"one second":                 {with(`"ttl-seconds":1`), is(func(a *announce.Announcement) { a.TTL = time.Second })},
		"a year":                     {with(`"ttl-seconds":31536000`), is(func(a *announce.Announcement) { a.TTL = 365 * 24 * time.Hour })},
		"withdrawn":                  {with(`"withdrawn":true`), is(func(a *announce.Announcement) { a.Withdrawn = true })},
		"not withdrawn":              {with(`"withdrawn":false`), same},
		"names in another case":      {with(`"Seqnum":"x","SERVICE-NAME":null,"Withdrawn":true`), same},
		"any other member":           {with(`"":null,"version":0,"n":-1.5e300,"my-version":{"a":[1,{"a":2}]},"nonce":"x"`), same},
		"numbers beyond any float":   {with(`"n":1e999999`), same},
		"16 deep":                    {with(`"x":` + nested(15)), same},
		"16 deep with a value":       {with(`"x":` + strings.Repeat(`{"x":`, 15) + "1" + strings.Repeat("}", 15)), same},
		"the largest":                {sized(announce.MaxMessage), same},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte(c.message)
			got, err := announce.Parse(message)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
			agree(t, got, message)
			// Nothing in it may be a window into the message, whose buffer its owner uses again.
			clear(message)
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("after the message was overwritten (-got +want):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"nothing":                 {"", "is empty"},
		"white space":             {" \n", "is empty"},
		"a byte order mark":       {"\ufeff" + with(`"x":1`), "not strict JSON at byte 0"},
		"not JSON":                {"storage", "not strict JSON at byte 0"},
		"null":                    {"null", "must be one JSON object, is null"},
		"a list":                  {`[{"service-name":"storage","seqnum":1}]`, "must be one JSON object, is a list"},
		"a string":                {`"x"`, "must be one JSON object, is a string"},
		"a number":                {`1`, "must be one JSON object, is a number"},
		"a boolean":               {`true`, "must be one JSON object, is a boolean"},
		"cut":                     {`{"service-name":"storage","seqnum":1`, "not strict JSON at byte 36"},
		"cut in a string":         {`{"service-name":"stor`, "not strict JSON"},
		"a comma too many":        {`{"service-name":"storage","seqnum":1,}`, "not strict JSON at byte 36"},
		"a comment":               {`{"service-name":"storage",/**/"seqnum":1}`, "not strict JSON at byte 26"},
		"single quotes":           {`{'service-name':'storage','seqnum':1}`, "not strict JSON at byte 1"},
		"another object":          {with(`"x":1`) + `{}`, "something follows the JSON object, which ends before byte 43"},
		"a letter behind":         {with(`"x":1`) + ` x`, "something follows the JSON object, which ends before byte 43"},
		"a NUL behind":            {with(`"x":1`) + "\x00", "something follows"},
		"too large":               {sized(announce.MaxMessage + 1), "16385 bytes, at most 16384 are allowed"},
		"too large by spaces":     {sized(announce.MaxMessage) + " ", "16385 bytes"},
		"not UTF-8":               {with(`"nickname":"` + "\xff" + `"`), `not strict JSON at byte 49, within "/nickname": invalid UTF-8`},
		"not UTF-8, elsewhere":    {with(`"x":["` + "\xc3" + `"]`), "invalid UTF-8"},
		"not UTF-8, in a name":    {with("\"\xed\xa0\x80\":1"), "invalid UTF-8"},
		"overlong UTF-8":          {with("\"x\":\"\xc0\x80\""), "invalid UTF-8"},
		"half a surrogate pair":   {with(`"x":"\ud800"`), "not strict JSON"},
		"a control character":     {with("\"x\":\"\n\""), "not strict JSON"},
		"a member twice":          {`{"service-name":"storage","seqnum":1,"seqnum":1}`, `not strict JSON at byte 37, within "/seqnum": duplicate`},
		"a member twice, escaped": {`{"service-name":"storage","seqnum":1,"seq\u006eum":2}`, "duplicate"},
		"another member twice":    {with(`"x":1,"x":1`), "duplicate"},
		"twice below":             {with(`"x":[{"a":{"b":1,"c":2,"b":3}}]`), "duplicate"},
		"an empty name twice":     {with(`"":1,"":2`), "duplicate"},
		"17 deep":                 {with(`"x":` + nested(16)), "nested more than 16 deep at byte 56"},
		"17 deep, objects":        {with(`"x":` + strings.Repeat(`{"x":`, 16) + "1" + strings.Repeat("}", 16)), "nested more than 16 deep"},
		"very deep":               {with(`"x":` + strings.Repeat("[", 16000)), "nested more than 16 deep"},
		"deep in a known member":  {with(`"endpoints":[` + nested(20) + `]`), "must be a list of strings, is a list"},

		"no service":             {`{"seqnum":1}`, `member "service-name" is missing`},
		"service in capitals":    {`{"Service-Name":"storage","seqnum":1}`, `member "service-name" is missing`},
		"service null":           {`{"service-name":null,"seqnum":1}`, `member "service-name", at byte 16: must be a string, is null`},
		"no service name":        {`{"service-name":"Storage","seqnum":1}`, `invalid service name "Storage"`},
		"no seqnum":              {`{"service-name":"storage"}`, `member "seqnum" is missing`},
		"seqnum in capitals":     {`{"service-name":"storage","Seqnum":1}`, `member "seqnum" is missing`},
		"seqnum negative":        {`{"service-name":"storage","seqnum":-1}`, `member "seqnum", at byte 35: must be an integer in digits alone`},
		"seqnum minus zero":      {`{"service-name":"storage","seqnum":-0}`, `digits alone`},
		"seqnum with a fraction": {`{"service-name":"storage","seqnum":1.0}`, `digits alone`},
		"seqnum with a power":    {`{"service-name":"storage","seqnum":1e0}`, `digits alone`},
		"seqnum 2^63":            {`{"service-name":"storage","seqnum":9223372036854775808}`, `must be from 0 to 9223372036854775807`},
		"seqnum 2^64":            {`{"service-name":"storage","seqnum":18446744073709551616}`, `must be from 0 to 9223372036854775807`},
		"seqnum of 400 digits":   {`{"service-name":"storage","seqnum":1` + strings.Repeat("0", 400) + `}`, `must be from 0 to`},
		"seqnum with a zero":     {`{"service-name":"storage","seqnum":01}`, `not strict JSON at byte 36`},
		"seqnum a string":        {`{"service-name":"storage","seqnum":"1"}`, `must be an integer, is a string`},
		"seqnum true":            {`{"service-name":"storage","seqnum":true}`, `must be an integer, is a boolean`},

		"nickname too long":      {with(`"nickname":"` + strings.Repeat("é", 128) + `n"`), `member "nickname", at byte 48: has 257 bytes, at most 256 are allowed`},
		"nickname null":          {with(`"nickname":null`), `must be a string, is null`},
		"nickname a number":      {with(`"nickname":1`), `must be a string, is a number`},
		"seed in capitals":       {with(`"permutation-seed-base32":"AA"`), `member "permutation-seed-base32", at byte 63: not lower-case unpadded base32 at character 1`},
		"seed padded":            {with(`"permutation-seed-base32":"aa======"`), `base32 at character 3`},
		"seed with a line break": {with(`"permutation-seed-base32":"aa\n"`), `base32 at character 3`},
		"seed with bits left":    {with(`"permutation-seed-base32":"ab"`), `base32 with a length or last character that no bytes give`},
		"seed of no length":      {with(`"permutation-seed-base32":"aaa"`), `base32 with a length or last character that no bytes give`},
		"seed too long":          {with(`"permutation-seed-base32":"` + strings.Repeat("a", 104) + `"`), `is of 65 bytes, at most 64 are allowed`},
		"seed null":              {with(`"permutation-seed-base32":null`), `must be a string, is null`},
		"FURL a list":            {with(`"anonymous-storage-FURL":["x"]`), `must be a string, is a list`},
		"NURLs a string":         {with(`"anonymous-storage-NURLs":"x"`), `must be a list of strings, is a string`},
		"NURLs with a number":    {with(`"anonymous-storage-NURLs":["x",1]`), `must be a list of strings, is a number`},
		"endpoints an object":    {with(`"endpoints":{}`), `member "endpoints", at byte 49: must be a list of strings, is an object`},
		"endpoints null":         {with(`"endpoints":null`), `must be a list of strings, is null`},
		"endpoints with null":    {with(`"endpoints":[null]`), `must be a list of strings, is null`},
		"17 endpoints":           {with(`"endpoints":` + list(17, "e")), `member "endpoints", at byte 110: has more than 16 entries`},
		"endpoint of 1,001":      {with(`"endpoints":["` + strings.Repeat("e", 1001) + `"]`), `has an entry of 1001 bytes, at most 1000 are allowed`},
		"endpoints cut":          {with(`"endpoints":["e"`), `not strict JSON`},
		"ttl 0":                  {with(`"ttl-seconds":0`), `member "ttl-seconds", at byte 51: must be from 1 to 31536000`},
		"ttl over a year":        {with(`"ttl-seconds":31536001`), `must be from 1 to 31536000`},
		"ttl that overflows":     {with(`"ttl-seconds":18446744073709551617`), `must be from 1 to 31536000`},
		"ttl negative":           {with(`"ttl-seconds":-1`), `digits alone`},
		"ttl with a fraction":    {with(`"ttl-seconds":60.0`), `digits alone`},
		"ttl a string":           {with(`"ttl-seconds":"60"`), `must be an integer, is a string`},
		"ttl null":               {with(`"ttl-seconds":null`), `must be an integer, is null`},
		"withdrawn 1":            {with(`"withdrawn":1`), `member "withdrawn", at byte 49: must be true or false, is a number`},
		"withdrawn a string":     {with(`"withdrawn":"true"`), `must be true or false, is a string`},
		"withdrawn null":         {with(`"withdrawn":null`), `must be true or false, is null`},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := announce.Parse([]byte(c.message))
			if a != nil || !errors.Is(err, announce.ErrInvalid) {
				t.Fatalf("got %+v and error %v, want nil and ErrInvalid", a, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %q, want one with %q", err, c.want)
			}
			if n := len(err.Error()); n > 400 {
				t.Errorf("the error has %d bytes, it must not grow with what was sent", n)
			}
			if strings.Contains(c.message, `\ud`) {
				return // the oracle replaces halves of surrogate pairs
			}
			if _, err := oracle([]byte(c.message)); err == nil {
				t.Error("the oracle accepts it")
			}
		})
	}
}

// TestParseErrorsStayShort: names and values of strangers end up in errors, cut.
func TestParseErrorsStayShort(t *testing.T) {
	long := strings.Repeat("n", 8000)
	for _, message := range []string{
		`{"service-name":"` + long + `","seqnum":1}`,
		with(`"` + long + `":1,"` + long + `":2`),
		with(`"` + long + `":{"` + long[:7000] + `":"` + "\xff" + `"}`),
		with(`"nickname":"` + long + `"`),
		with(`"permutation-seed-base32":"` + long + `"`),
	} {
		_, err := announce.Parse([]byte(message))
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("got error %.500v, want a short one", err)
		}
	}
}

func TestAllEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		a    announce.Announcement
		want []string
	}{
		"none":       {announce.Announcement{}, nil},
		"order":      {announce.Announcement{Endpoints: []string{"e"}, NURLs: []string{"n"}, FURL: "f"}, []string{"f", "n", "e"}},
		"no repeats": {announce.Announcement{FURL: "x", NURLs: []string{"y", "x", "y"}, Endpoints: []string{"x", "z", "y"}}, []string{"x", "y", "z"}},
		"empty ones": {announce.Announcement{NURLs: []string{""}, Endpoints: []string{"", "e"}}, []string{"e"}},
		"only empty": {announce.Announcement{Endpoints: []string{""}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.a.AllEndpoints(), c.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
		})
	}
}

func TestSeedOfNoneAnnounced(t *testing.T) {
	id := announce.PeerID{1, 2, 3}
	for name, c := range map[string]struct{ announced, want []byte }{
		"absent": {nil, id[:]},
		"empty":  {[]byte{}, []byte{}},
		"given":  {[]byte{7}, []byte{7}},
	} {
		a := announce.Announcement{PermutationSeed: c.announced}
		if diff := cmp.Diff(a.Seed(id), c.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
}

func TestParseService(t *testing.T) {
	for _, s := range []string{"a", "storage", "upload_storage", "a0_-", strings.Repeat("z", 64)} {
		if got, err := announce.ParseService(s); err != nil || string(got) != s {
			t.Errorf("ParseService(%q): got %q and error %v", s, got, err)
		}
	}
	for _, s := range []string{"", "A", "0a", "_a", "-a", "a b", "a.b", "a/b", "aé", "a\n", "a\x00", "storagE", strings.Repeat("z", 65)} {
		if got, err := announce.ParseService(s); got != "" || !errors.Is(err, announce.ErrInvalid) {
			t.Errorf("ParseService(%q): got %q and error %v, want ErrInvalid", s, got, err)
		}
	}
}

package announce_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/introducer/introducer/announce"
)

// vector is one announcement that the reference made or sent.
type vector struct {
	Note       string `json:"note"`
	SeedHex    string `json:"seed_hex"`
	PrivateKey string `json:"private_key_string"`
	PublicKey  string `json:"public_key_string"`
	PublicHex  string `json:"public_key_hex"`
	Text       string `json:"message_utf8"`
	Base64     string `json:"message_base64"`
	Signature  string `json:"signature_string"`
	SigHex     string `json:"signature_hex"`
	Key        string `json:"key_string"`

	signed announce.Signed
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func signed(t testing.TB, vs []vector) []vector {
	t.Helper()
	if len(vs) == 0 {
		t.Fatal("no vectors")
	}
	for i := range vs {
		message, err := base64.StdEncoding.DecodeString(vs[i].Base64)
		if err != nil {
			t.Fatal(err)
		}
		if vs[i].signed, err = announce.FromTahoe(message, vs[i].Signature, vs[i].Key); err != nil {
			t.Fatal(err)
		}
	}
	return vs
}

func good(t testing.TB) []vector {
	t.Helper()
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	readJSON(t, "announcements_good.json", &file)
	return signed(t, file.Vectors)
}

func captured(t testing.TB) []vector {
	t.Helper()
	var file struct {
		Announcements []vector `json:"announcements"`
	}
	readJSON(t, "announcements_captured.json", &file)
	return signed(t, file.Announcements)
}

// TestReferenceAnnouncements: what the reference signs, we sign with the same key to the same bytes,
// verify, and judge by our rules.
func TestReferenceAnnouncements(t *testing.T) {
	stricter := map[string]string{ // :: note → what we refuse it for
		"minimal (from the reference's test_sign)": `member "service-name" is missing`,
		"empty object": `member "service-name" is missing`,
		"large seqnum (2**63) and negative, float numbers": `member "seqnum", at byte 216: must be from 0 to 9223372036854775807`,
	}
	used := 0
	for _, v := range good(t) {
		t.Run(v.Note, func(t *testing.T) {
			key, err := announce.ParseKey(v.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			if got := key.Sign(v.signed.Message); !cmp.Equal(got, v.signed) {
				t.Errorf("signing gives other bytes (-got +want):\n%s", cmp.Diff(got, v.signed))
			}
			seed, err := hex.DecodeString(v.SeedHex)
			if err != nil {
				t.Fatal(err)
			}
			texts := []string{key.Text(), announce.NewKeyFromSeed([32]byte(seed)).Text(), key.PeerID().PublicText(), key.PeerID().String()}
			if diff := cmp.Diff(texts, []string{v.PrivateKey, v.PrivateKey, v.PublicKey, v.Key}); diff != "" {
				t.Errorf("texts (-got +want):\n%s", diff)
			}
			raw := []string{hex.EncodeToString(v.signed.Signature), hex.EncodeToString(v.signed.PeerID), string(v.signed.Message)}
			if diff := cmp.Diff(raw, []string{v.SigHex, v.PublicHex, v.Text}); diff != "" {
				t.Errorf("bytes (-got +want):\n%s", diff)
			}
			message, signature, k := v.signed.Tahoe()
			if diff := cmp.Diff([]string{string(message), signature, k}, []string{v.Text, v.Signature, v.Key}); diff != "" {
				t.Errorf("Tahoe's tuple (-got +want):\n%s", diff)
			}

			verifier := announce.NewVerifier(1)
			if err := verifier.Verify(v.signed); err != nil {
				t.Errorf("Verify: %v", err)
			}
			a, id, err := verifier.Open(v.signed)
			if want, ok := stricter[v.Note]; ok {
				used++
				if !errors.Is(err, announce.ErrInvalid) || !strings.Contains(err.Error(), want) {
					t.Errorf("Open: got error %v, want invalid with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			if id != key.PeerID() {
				t.Errorf("Open: got peer id %v, want %v", id, key.PeerID())
			}
			agree(t, a, v.signed.Message)
		})
	}
	if used != len(stricter) {
		t.Errorf("%d of %d stricter rules met a vector", used, len(stricter))
	}
}

// TestCapturedAnnouncement: a real node's, off the wire, with all that it says.
func TestCapturedAnnouncement(t *testing.T) {
	for _, v := range captured(t) {
		got, id, err := announce.NewVerifier(0).Open(v.signed)
		if err != nil {
			t.Fatal(err)
		}
		want := &announce.Announcement{
			Service:         announce.Storage,
			Seqnum:          2,
			Nickname:        "node2",
			PermutationSeed: []byte("ejjgbitybvkal5eegy7rzwjftmdfhxq6se2gmlwfbbwz3ql63jcq"),
			FURL:            "pb://4z5h7elxv7grvzo2snr7coay3ia3suha@tcp:127.0.0.1:45711/3zwym5q2gzkr2co3t2przvpoujpfm5cf",
			NURLs:           []string{"pb://5TY2j8v0ulaiOlaL0C4zYJH8Hd-qG2VfNS6va8FMdRE@127.0.0.1:45711/3zwym5q2gzkr2co3t2przvpoujpfm5cf#v=1"},
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("announcement (-got +want):\n%s", diff)
		}
		if id.String() != v.Key {
			t.Errorf("got peer id %v, want %v", id, v.Key)
		}
		if diff := cmp.Diff(got.AllEndpoints(), []string{want.FURL, want.NURLs[0]}); diff != "" {
			t.Errorf("endpoints (-got +want):\n%s", diff)
		}
	}
}

// TestSeedDerivation: the permutation seed of a peer id and an announcement.
func TestSeedDerivation(t *testing.T) {
	var file struct {
		Cases []struct {
			Note         string                     `json:"note"`
			ServerID     string                     `json:"server_id"`
			Announcement map[string]json.RawMessage `json:"announcement"`
			SeedHex      *string                    `json:"seed_hex"` // nil: refused
		} `json:"cases"`
	}
	readJSON(t, "permutation_seed_derivation.json", &file)
	// The reference hashes an id that is no "v0-" key. Here no such thing is a peer id.
	noPeerID := map[string]bool{"id not a v0 key: sha256 of the id string": true, "id too short: sha256 of the id string": true}
	if len(file.Cases) != 15 {
		t.Fatalf("got %d cases, want 15", len(file.Cases))
	}
	for _, c := range file.Cases {
		t.Run(c.Note, func(t *testing.T) {
			c.Announcement["service-name"] = json.RawMessage(`"storage"`)
			c.Announcement["seqnum"] = json.RawMessage(`1`)
			message, err := json.Marshal(c.Announcement)
			if err != nil {
				t.Fatal(err)
			}
			id, idErr := announce.ParsePeerID(c.ServerID)
			a, parseErr := announce.Parse(message)
			refused := errors.Join(idErr, parseErr)
			if c.SeedHex == nil || noPeerID[c.Note] {
				if !errors.Is(refused, announce.ErrInvalid) {
					t.Errorf("got error %v, want ErrInvalid", refused)
				}
				return
			}
			if refused != nil {
				t.Fatal(refused)
			}
			if got := hex.EncodeToString(a.Seed(id)); got != *c.SeedHex {
				t.Errorf("got seed %s, want %s", got, *c.SeedHex)
			}
		})
	}
}

// TestServerRules is the form side of the reference introducer's rules: each message that it was
// given, and whether we read it. Where the two differ, the table says why.
func TestServerRules(t *testing.T) {
	var file struct {
		Scenarios []struct {
			Title string `json:"title"`
			Steps []struct {
				Message  string `json:"message"`
				Error    string `json:"error"`
				Accepted bool   `json:"accepted"`
			} `json:"steps"`
		} `json:"scenarios"`
	}
	readJSON(t, "server_rules.json", &file)

	const usual = `"nickname": "n", "anonymous-storage-FURL": "pb://62ubehyunnyhzs7r6vdonnm2hpi52w6y@tcp:192.0.2.7:44801/eiu2i7p6d6mm4ihmss7ieou5hac3wn6b"`
	const (
		noSeqnum  = "without a seqnum nothing tells a new announcement from a replayed one; the reference lets the first pass"
		typed     = "the reference stores the first seqnum of whatever type, after which nothing, or anything, replaces it"
		bigSeqnum = "seqnums end at 2^63-1, so that every reader has an integer for them"
		notName   = "the reference makes a service name of anything by str(); a name is a string of the stated form"
	)
	// What we refuse, by message with the usual members as "…".
	refused := map[string]struct{ want, stricter string }{
		`{"service-name": "storage", …}`:                                                                          {`"seqnum" is missing`, noSeqnum},
		`{"service-name": "storage", …, "x": 1}`:                                                                  {`"seqnum" is missing`, noSeqnum},
		`{"service-name": "storage", …, "x": 2}`:                                                                  {`"seqnum" is missing`, noSeqnum},
		`{"service-name": "storage", …, "x": 3}`:                                                                  {`"seqnum" is missing`, ""},
		`{"service-name": "storage", …, "seqnum": null}`:                                                          {`must be an integer, is null`, typed},
		`{"service-name": "storage", …, "seqnum": "12"}`:                                                          {`must be an integer, is a string`, ""},
		`{"service-name": "storage", …, "seqnum": "first"}`:                                                       {`must be an integer, is a string`, typed},
		`{"service-name": "storage", …, "seqnum": 12.5}`:                                                          {`must be an integer in digits alone`, ""},
		`{"service-name": "storage", …, "seqnum": 1.5}`:                                                           {`must be an integer in digits alone`, typed},
		`{"service-name": "storage", …, "seqnum": 2.5}`:                                                           {`must be an integer in digits alone`, ""},
		`{"service-name": "storage", …, "v": 1, "seqnum": 1.0}`:                                                   {`must be an integer in digits alone`, "1.0 is an integer to some readers and none to others"},
		`{"service-name": "storage", …, "seqnum": true}`:                                                          {`must be an integer, is a boolean`, "true is the integer 1 in Python alone"},
		`{"service-name": "storage", …, "seqnum": -5}`:                                                            {`must be an integer in digits alone, without sign`, "seqnums count up from 0"},
		`{"service-name": "storage", …, "seqnum": -4}`:                                                            {`must be an integer in digits alone, without sign`, "seqnums count up from 0"},
		`{"service-name": "storage", …, "seqnum": 9223372036854775808}`:                                           {`must be from 0 to 9223372036854775807`, bigSeqnum},
		`{"service-name": "storage", …, "seqnum": 18446744073709551616}`:                                          {`must be from 0 to 9223372036854775807`, bigSeqnum},
		`{"service-name": "storage", …, "seqnum": 1606938044258990275541962092341162602522202993782792835301376}`: {`must be from 0 to 9223372036854775807`, bigSeqnum},
		`{…, "seqnum": 1}`:                              {`"service-name" is missing`, ""},
		`{"service-name": 5, …, "seqnum": 1}`:           {`must be a string, is a number`, notName},
		`{"service-name": null, "seqnum": 1}`:           {`must be a string, is null`, notName},
		`{"service-name": ["storage"], …, "seqnum": 1}`: {`must be a string, is a list`, notName},
		`[1]`:       {`must be one JSON object, is a list`, ""},
		`"storage"`: {`must be one JSON object, is a string`, ""},
	}
	// What fails at the reference for the state it is in and not for the message.
	stuck := map[string]bool{
		"first has a seqnum that is no integer: the key is stuck (comparison fails)": true,
		"first has seqnum null: same": true,
	}
	used := make(map[string]bool)
	for _, scenario := range file.Scenarios {
		t.Run(scenario.Title, func(t *testing.T) {
			for i, step := range scenario.Steps {
				short := strings.Replace(step.Message, usual, "…", 1)
				a, err := announce.Parse([]byte(step.Message))
				if want, ok := refused[short]; ok {
					used[short] = true
					if !errors.Is(err, announce.ErrInvalid) || !strings.Contains(err.Error(), want.want) {
						t.Errorf("step %d, %s: got error %v, want invalid with %q", i, short, err, want.want)
					}
					if step.Accepted && want.stricter == "" {
						t.Errorf("step %d, %s: the reference accepts it, and no reason is given why we do not", i, short)
					}
					continue
				}
				if err != nil {
					t.Errorf("step %d, %s: got error %v, want none", i, short, err)
					continue
				}
				if step.Error != "" && !stuck[scenario.Title] {
					t.Errorf("step %d, %s: we read what fails at the reference: %s", i, short, step.Error)
				}
				agree(t, a, []byte(step.Message))
			}
		})
	}
	for short := range refused {
		if !used[short] {
			t.Errorf("no step has the message %s", short)
		}
	}
}

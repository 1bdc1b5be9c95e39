// Command judge says what the introducer makes of announcements, so that clients in other languages can be held
// to the same rules. It reads lines of three words in base64, message, signature and peer id, each with
// a full stop behind it so that none is empty, and writes a line of JSON for each:
//
//	fault    "": it is valid; "form" or "signature"
//	said     what it says, if valid; seqnum in digits, the permutation seed in base64, null if absent
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/introducer/introducer/announce"
)

type said struct {
	Service   string   `json:"service"`
	Seqnum    string   `json:"seqnum"`
	Nickname  string   `json:"nickname"`
	Seed      *string  `json:"seed"`
	FURL      string   `json:"furl"`
	NURLs     []string `json:"nurls"`
	Endpoints []string `json:"endpoints"`
	TTL       int64    `json:"ttlSeconds"` // 0: never expires
	Withdrawn bool     `json:"withdrawn"`
}

type judgement struct {
	Fault string `json:"fault"`
	Said  *said  `json:"said"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	verifier := announce.NewVerifier(1000)
	for in.Scan() {
		if err := out.Encode(judge(verifier, in.Text())); err != nil {
			log.Fatal(err)
		}
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
}

func judge(verifier *announce.Verifier, line string) judgement {
	var parts [3][]byte
	for i, word := range strings.Fields(line) {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(word, "."))
		if err != nil {
			log.Fatal(err)
		}
		parts[i] = b
	}
	a, _, err := verifier.Open(announce.Signed{Message: parts[0], Signature: parts[1], PeerID: parts[2]})
	switch {
	case errors.Is(err, announce.ErrInvalid):
		return judgement{Fault: "form"}
	case err != nil:
		return judgement{Fault: "signature"}
	}
	s := &said{
		Service: string(a.Service), Seqnum: strconv.FormatUint(a.Seqnum, 10), Nickname: a.Nickname, FURL: a.FURL,
		NURLs: a.NURLs, Endpoints: a.Endpoints, TTL: int64(a.TTL / time.Second), Withdrawn: a.Withdrawn,
	}
	if a.PermutationSeed != nil {
		text := base64.StdEncoding.EncodeToString(a.PermutationSeed)
		s.Seed = &text
	}
	return judgement{Said: s}
}

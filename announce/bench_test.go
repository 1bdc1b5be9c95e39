package announce_test

import (
	"testing"

	"github.com/introducer/introducer/announce"
)

// The captured message is a real node's of 606 bytes; BenchmarkParse reads what a node of ours
// would write too.
func BenchmarkParse(b *testing.B) {
	ours, err := (&announce.Announcement{
		Service: announce.UploadStorage, Seqnum: 1, Nickname: "storage001",
		PermutationSeed: make([]byte, 20), Endpoints: []string{"https://192.0.2.7:44801/"},
	}).Message()
	if err != nil {
		b.Fatal(err)
	}
	for name, message := range map[string][]byte{"captured": captured(b)[0].signed.Message, "ours": ours} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if _, err := announce.Parse(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify: a key seen before, and one never seen, which costs the check of the key too.
func BenchmarkVerify(b *testing.B) {
	s := captured(b)[0].signed
	for name, size := range map[string]int{"known key": 1, "new key": 0} {
		b.Run(name, func(b *testing.B) {
			v := announce.NewVerifier(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Verify(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckKey(b *testing.B) {
	id := captured(b)[0].signed.PeerID
	b.ReportAllocs()
	for b.Loop() {
		if err := announce.CheckKey(id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	s := captured(b)[0].signed
	b.ReportAllocs()
	for b.Loop() {
		s.Digest()
	}
}

func BenchmarkMessage(b *testing.B) {
	a, err := announce.Parse(captured(b)[0].signed.Message)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Message(); err != nil {
			b.Fatal(err)
		}
	}
}

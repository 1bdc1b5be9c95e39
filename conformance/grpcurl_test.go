package conformance

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

// grpcurl, which knows the contract only by reflection.
func TestGRPCurl(t *testing.T) {
	in := start(t)
	request, err := protojson.Marshal(&introducerv1.PublishRequest{Announcements: []*introducerv1.SignedAnnouncement{offer(t, "alder", "storage", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string // {} is the address
		want []string // each in the output
		fail bool
	}{
		{"the services", []string{"{}", "list"}, []string{"introducer.v1.IntroducerService\n", "grpc.health.v1.Health\n"}, false},
		{"a service's methods", []string{"{}", "list", "introducer.v1.IntroducerService"}, []string{"introducer.v1.IntroducerService.GetPermutedPeers\n"}, false},
		{"a message", []string{"{}", "describe", "introducer.v1.Gone"}, []string{"message Gone {", "GoneReason reason = 4;"}, false},
		{"the health service", []string{"{}", "describe", "grpc.health.v1.Health"}, []string{"rpc Watch ( .grpc.health.v1.HealthCheckRequest ) returns ( stream .grpc.health.v1.HealthCheckResponse );"}, false},
		{"health", []string{"-d", `{"service":"publish"}`, "{}", "grpc.health.v1.Health/Check"}, []string{`"status": "SERVING"`}, false},
		{"publish", []string{"-d", string(request), "{}", "introducer.v1.IntroducerService/Publish"}, []string{`"outcome": "PUBLISH_OUTCOME_ACCEPTED"`}, false},
		{"look up", []string{"-d", `{"service":"storage","view":"PEER_VIEW_BASIC"}`, "{}", "introducer.v1.IntroducerService/GetPeers"}, []string{`"nickname": "alder"`}, false},
		{"look up, permuted, as a stream", []string{"-d", `{"service":"storage","storage_index":"AAAA"}`, "{}", "introducer.v1.IntroducerService/StreamPermutedPeers"}, []string{`"permutedId": "`}, false},
		{"the log", []string{"{}", "introducer.v1.IntroducerService/ReadLog"}, []string{`"revision": "1"`, `"published": {`}, false},
		{"a mistake", []string{"-d", `{"service":"No"}`, "{}", "introducer.v1.IntroducerService/GetPeers"}, []string{"Code: InvalidArgument", "Message: service: "}, true},
	} {
		args := append([]string{"tool", "grpcurl", "-plaintext"}, test.args...)
		for i, a := range args {
			if a == "{}" {
				args[i] = in.addr
			}
		}
		out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
		if (err != nil) != test.fail {
			t.Errorf("%s: %v\n%s", test.name, err, out)
		}
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, out)
			}
		}
	}
	var held struct {
		Peers []struct{ Announcement json.RawMessage }
	}
	out := goCommand(t, "tool", "grpcurl", "-plaintext", "-d", `{"service":"storage"}`, in.addr, "introducer.v1.IntroducerService/GetPeers")
	if err := json.Unmarshal([]byte(out), &held); err != nil || len(held.Peers) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	got := new(introducerv1.SignedAnnouncement)
	if err := protojson.Unmarshal(held.Peers[0].Announcement, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Message, offer(t, "alder", "storage", 1).Message); diff != "" {
		t.Errorf("what was signed (-got +want):\n%s", diff)
	}
}

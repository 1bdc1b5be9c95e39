package introducerv1_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	introducerv1 "github.com/introducer/introducer/api/introducer/v1"
)

var update = flag.Bool("update", false, "add what is new in the contract to testdata/contract.txt")

// The contract may grow, but nothing in it may change or go: programs that we do not know rely
// on it. Each line of testdata/contract.txt is a promise made before, and must hold still; what
// is new must be written there too, so that it is a promise from then on.
func TestContractOnlyGrows(t *testing.T) {
	const golden = "testdata/contract.txt"
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	promised := strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
	got := contract(introducerv1.File_introducer_v1_introducer_proto)

	for _, line := range promised {
		if !slices.Contains(got, line) {
			t.Errorf("promised, and there no more: %s", line)
		}
	}
	for _, line := range got {
		if slices.Contains(promised, line) {
			continue
		}
		if !*update {
			t.Errorf("new, and not in %s (-update writes it there): %s", golden, line)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// contract is what a client can see of a file, one line for each method, field and enum value.
func contract(file protoreflect.FileDescriptor) []string {
	var lines []string
	for service := range each(file.Services()) {
		for m := range each(service.Methods()) {
			line := fmt.Sprintf("rpc %s(%s) %s", m.FullName(), m.Input().FullName(), m.Output().FullName())
			if m.IsStreamingServer() {
				line += " stream"
			}
			level := m.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel()
			if level != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
				line += " " + level.String()
			}
			lines = append(lines, line)
		}
	}
	lines = append(lines, members(file.Messages())...)
	return append(lines, values(file.Enums())...)
}

// members is what a client can see of messages, and of those declared inside them.
func members(messages protoreflect.MessageDescriptors) []string {
	var lines []string
	for message := range each(messages) {
		lines = append(lines, fmt.Sprintf("message %s", message.FullName()))
		for f := range each(message.Fields()) {
			kind := f.Kind().String()
			switch {
			case f.Message() != nil:
				kind = string(f.Message().FullName())
			case f.Enum() != nil:
				kind = string(f.Enum().FullName())
			}
			line := fmt.Sprintf("field %s = %d %s %s, JSON %s", f.FullName(), f.Number(), f.Cardinality(), kind, f.JSONName())
			if f.ContainingOneof() != nil {
				line += ", one of " + string(f.ContainingOneof().Name())
			}
			lines = append(lines, line)
		}
		lines = append(lines, members(message.Messages())...)
		lines = append(lines, values(message.Enums())...)
	}
	return lines
}

func values(enums protoreflect.EnumDescriptors) []string {
	var lines []string
	for enum := range each(enums) {
		for v := range each(enum.Values()) {
			lines = append(lines, fmt.Sprintf("enum %s: %s = %d", enum.FullName(), v.Name(), v.Number()))
		}
	}
	return lines
}

// each yields the members of one of protoreflect's lists.
func each[D any](list interface {
	Len() int
	Get(int) D
}) func(yield func(D) bool) {
	return func(yield func(D) bool) {
		for i := range list.Len() {
			if !yield(list.Get(i)) {
				return
			}
		}
	}
}

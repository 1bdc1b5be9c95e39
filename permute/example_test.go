package permute_test

import (
	"fmt"

	"github.com/introducer/introducer/permute"
)

func Example() {
	var empty permute.Table[string]
	e := empty.Edit()
	for i, name := range []string{"anemone", "barnacle", "cuttlefish", "dogfish"} {
		e.Set(permute.Key{byte(i)}, []byte(name), name)
	}
	table := e.Table()

	storageIndex := []byte("0123456789abcdef")
	var s permute.Scratch // kept for the next lookup
	for _, r := range table.Append(nil, storageIndex, permute.Query{Limit: 2}, &s) {
		fmt.Printf("%x %s\n", r.ID[:4], r.Value)
	}
	for r := range table.Permuted(storageIndex, []permute.Key{{2}}) {
		fmt.Println(r.Value)
	}
	// Output:
	// 42cd3120 barnacle
	// 64c9fbdd cuttlefish
	// cuttlefish
	// barnacle
	// anemone
	// dogfish
}

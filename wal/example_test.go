package wal_test

import (
	"fmt"
	"log"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/introducer/introducer/wal"
)

func Example() {
	opts := wal.Options{FS: vfs.NewMem()} // real programs leave FS out
	id := wal.LogID{1}                    // … and have NewLogID make it
	if err := wal.Create("log", id, opts); err != nil {
		log.Fatal(err)
	}
	l, err := wal.Open("log", opts)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	head, err := l.Append(time.Now(), time.Minute, []wal.Entry{
		{Kind: 1, Payload: []byte("first")},
		{Kind: 1, Payload: []byte("second")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("synced up to", head.Revision)
	for rec, err := range l.Records(1, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s\n", rec.Revision, rec.Payload)
	}
	// Output:
	// synced up to 2
	// 1 first
	// 2 second
}

// A log without its witness opens, and says that nothing tells whether it is whole.
func ExampleLog_Warnings() {
	opts := wal.Options{FS: vfs.NewMem()}
	if err := wal.Create("log", wal.LogID{1}, opts); err != nil {
		log.Fatal(err)
	}
	if err := opts.FS.Remove("witness"); err != nil {
		log.Fatal(err)
	}
	l, err := wal.Open("log", opts)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Warnings())
	// Output: [no file witness: the witness is missing or damaged]
}

package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"time"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/client"
	"github.com/introducer/introducer/datadir"
	"github.com/introducer/introducer/registry"
	"github.com/introducer/introducer/registry/registrytest"
	"github.com/introducer/introducer/rpc"
)

// A node offers a service, and finds the peers that offer it in the order of a file's storage index.
func Example() {
	url, stop := startIntroducer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	c, err := client.Open(ctx, client.Options{
		Introducers: []string{url},
		Key:         registrytest.Key("alder"), // announce.LoadKeyFile reads a node's own
		Dir:         dir,
		Services:    []announce.Service{announce.DownloadStorage},
		Nickname:    "alder",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.Publish(ctx, client.Offer{
		Service:   announce.DownloadStorage,
		Endpoints: []string{"https://alder.example.net:3457"},
		TTL:       24 * time.Hour, // renewed for as long as the node runs
	})
	if err != nil {
		log.Fatal(err)
	}
	// Sampling too early would find too few.
	if err := c.WaitSynced(ctx); err != nil {
		log.Fatal(err)
	}
	if err := c.WaitPeers(ctx, announce.DownloadStorage, 1); err != nil {
		log.Fatal(err)
	}
	storageIndex := []byte("0123456789abcdef")
	for p := range c.PermutedPeers(announce.DownloadStorage, storageIndex) {
		fmt.Println(p.Nickname, p.Endpoints)
	}
	// Output: alder [https://alder.example.net:3457]
}

// A node follows what comes and goes.
func ExampleClient_Changes() {
	url, stop := startIntroducer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Open(ctx, client.Options{
		Introducers: []string{url}, Key: registrytest.Key("birch"), Services: []announce.Service{announce.Helper},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(ctx, client.Offer{Service: announce.Helper, Nickname: "birch"}); err != nil {
		log.Fatal(err)
	}
	for change := range c.Changes(ctx) {
		if change.New == nil {
			fmt.Println(change.Old.Nickname, "went")
			break
		}
		fmt.Println(change.New.Nickname, "came")
		if err := c.Withdraw(ctx, announce.Helper); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// birch came
	// birch went
}

// startIntroducer runs an introducer for the examples.
func startIntroducer() (url string, stop func()) {
	data, err := os.MkdirTemp("", "introducer")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := datadir.Open(data, datadir.Options{})
	if err != nil {
		log.Fatal(err)
	}
	reg, err := registry.Open(context.Background(), dir, registry.Options{})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = rpc.New(reg, rpc.Options{}).NewServer(rpc.ServerOptions{})
	server.Start()
	return server.URL, func() {
		server.CloseClientConnections()
		server.Close()
		if err := reg.Close(); err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(data)
	}
}

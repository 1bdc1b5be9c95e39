// Package client is the introducer client that a node embeds: it publishes what the node offers,
// subscribes to what the node wants, and answers which peers there are, flat or in the order of a storage
// index, from what it has heard.
//
//	c, err := client.Open(ctx, client.Options{Introducers: urls, Key: key, Dir: dir, Services: wanted})
//	err = c.Publish(ctx, client.Offer{Service: announce.DownloadStorage, Endpoints: endpoints})
//	for p := range c.PermutedPeers(announce.DownloadStorage, storageIndex) { … }
//
// # What is promised
//
//   - A lookup answers at once, from memory, whatever becomes of introducers and disk, and takes no lock.
//     What it shows was signed by the peer that it names and obeys every rule of package announce;
//     nothing is taken from an introducer's own word but that a peer is gone.
//   - The client keeps its place at every introducer (package follow), and what it heard in a cache on
//     disk, so that it starts without any.
//   - What is published stays published, whatever becomes of the introducers' state or of the node's own.
//   - One bad announcement, or one bad introducer, hides nothing that others say.
//
// # Merging
//
// A key is a service and a peer id. Each introducer has a set of what it announced, key by key.
//
//   - An introducer vouches for an announcement from the moment it says it until its own word takes it
//     back: gone, or all said anew (reset, then synced) without it. Between reset and synced the old set
//     stands beside the new, also when the connection is lost meanwhile.
//   - It answers while its stream is up and has been synced. Going down removes nothing.
//   - Of each key the newest announcement counts, by whomever: that of the greatest seqnum; of the same
//     seqnum, a withdrawal before an announcement, and then the greater digest, so that all nodes pick
//     the same one in whatever order they hear. It is the key's floor. What is below the floor is not
//     shown, ever: an introducer restored from an old copy does not bring back what was replaced.
//   - The newest is shown while some introducer vouches for it, except when the word of one that vouched
//     removed it while no other that answers vouched. Others, which are down, may still have it in their
//     books; when one of them comes back and still has it after synced, or anyone announces it, it is
//     shown again.
//   - A withdrawal that the peer signed hides the key whoever vouches for what was before it. One that
//     does not verify is the introducer's own word and no more.
//   - An introducer whose log is another than before (new, emptied, restored) has not heard from all
//     who publish. What it held in the former log and not in the new one stays for [Options.Grace]
//     after synced, and goes then. Of the same log, what is missing goes at once.
//   - What is forged, malformed, of a service not subscribed to, or not of the key that the introducer
//     says, is not taken, counted, and now and then logged. What the introducer vouched for before stays.
//   - An introducer that announces more than [Options.MaxPeers] or MaxBytes is left; what it vouched for
//     stays, and it is tried again every half minute.
//   - Floors outlive peers, on disk too, by 30 days; of the oldest, those over a million are dropped.
//
// # Publishing
//
// What is published is signed and on disk before it is sent, to all introducers. It is sent again to one
// when its stream has come back, when it is another run or log than before (without a stream it is asked
// every half minute), after a failure with pauses up to half a minute, and every ten minutes. An
// introducer that knows a newer announcement (STALE) makes the client sign a newer one for all: this is
// how a node that lost its state catches up. When that happens again and again, another program uses the
// key; the pauses then grow to ten minutes. A time to live is renewed at 45 to 55 % of it.
//
// # The directory
//
// Options.Dir holds the cache, "peers" (package cache has its bytes), and "own", the newest announcement
// of each service that this node published or withdrew. That is one JSON object, replaced whole:
//
//	format         1
//	announcements  a list of objects, one for each service, by message:
//	                 signed_at  when it was signed, RFC 3339; the time to live is renewed by it
//	                 message    what was signed, as text
//	                 signature  "v0-…"
//	                 key        "v0-…": the node's public key
//
// Without "own", or with one that is damaged or another key's, announcements are made anew.
package client

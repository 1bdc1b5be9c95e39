package node

// Example is a configuration file with every key, explained; those that may stay as they are by default
// are commented out. [Load] reads it.
const Example = `# A node of a grid. Paths are relative to this file.

# A name for people.
nickname = "node7"

# The node's key, as 'introducer keygen --out node.privkey' makes it. Whoever reads it can speak as
# this node. The numbers of its announcements are kept beside it, in node.privkey.seqnum. A node that
# offers nothing needs none.
key = "node.privkey"

# Directory for what was heard and said. By default this file's name with .state in place of .toml.
#state = "node.state"

# Introducers. The node announces itself to all of them and merges what they say: name two or more, and
# the grid goes on when one is lost.
introducers = ["http://127.0.0.1:7271"]

# Services to subscribe to: "upload_storage" to store files, "download_storage" to fetch them. A node
# that only stores for others wants none.
#wants = ["upload_storage", "download_storage"]

# Answer lookups of programs on this machine at host:port. What is heard may hold secrets: think
# before naming another host than 127.0.0.1, which is meant where none is named.
#listen = "127.0.0.1:7272"

# A storage server of this node: announced as upload_storage and download_storage.
[storage]
enabled = false

# Announced as download_storage alone: what is stored can be fetched, and nothing new is taken.
#read-only = true

# Where the server is. Tahoe-LAFS's own forms are furl and nurls.
endpoints = ["https://192.0.2.7:3457/"]
#furl = "pb://…"
#nurls = ["pb://…#v=1"]

# Base32 of what places this server in the order of a file's servers. By default the node's peer id;
# a server that moves here from Tahoe-LAFS takes its permutation-seed-base32 along.
#permutation-seed = "…"

# Without a time to live, announcements stay until they are withdrawn. With one, a node that is gone
# for good is forgotten that long after it was last heard of. It is announced anew at half of it.
ttl = "168h"

# Other services of this node, each with the same keys as [storage], such as Tahoe-LAFS's name for
# storage, which its own clients look for.
#[[offer]]
#service = "storage"
#furl = "pb://…"
`

// The client against the real introducer, over every protocol, through crashes, and behind a liar.
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { createGrpcWebTransport as createFetchGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { announcementDigest, IntroducerClient, MemoryStorage, type ClientOptions } from "../src/index.js";
import { hex } from "../src/bytes.js";
import { IntroducerService, PublishOutcome } from "../src/gen/introducer/v1/introducer_pb.js";
import { Introducer } from "./introducer.js";
import { announced, randomFrom, utf8 } from "./support.js";

let dir: string;
let introducer: Introducer;
let clients: IntroducerClient[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "introducer-client-"));
  introducer = await Introducer.start(join(dir, "data"));
});

afterEach(async () => {
  await Promise.all(clients.map((c) => c.stop()));
  clients = [];
});

afterAll(async () => {
  await introducer?.end();
  await rm(dir, { recursive: true });
});

function start(options: Partial<ClientOptions> = {}): IntroducerClient {
  const client = new IntroducerClient({ baseUrl: introducer.url, nickname: "test", ...options });
  clients.push(client);
  client.start();
  return client;
}

const nicknames = (client: IntroducerClient, service: string) => client.peers(service).map((p) => p.nickname);

describe.each<[string, string, (baseUrl: string) => Transport | undefined]>([
  ["Connect over fetch, HTTP/1.1", "t-fetch", () => undefined],
  ["Connect over HTTP/1.1", "t-connect1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect in JSON over HTTP/2",
    "t-json2",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  ],
  ["gRPC over HTTP/2 without TLS", "t-grpc", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web over HTTP/1.1", "t-grpcweb", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["gRPC-Web over fetch", "t-grpcwebfetch", (baseUrl) => createFetchGrpcWebTransport({ baseUrl })],
])("%s", (_, service, transportTo) => {
  test("publish, subscribe, replace, withdraw, look back", async () => {
    const transport = transportTo(introducer.url);
    const client = start({ services: [service], ...(transport && { transport }) });
    await client.synced();
    expect(client.state).toMatchObject({ connection: "live", digest: "same", peers: 0, mismatches: 0 });

    const say = (node: number, seqnum: number, more = {}) =>
      announced(node, { "service-name": service, seqnum, endpoints: ["tcp:192.0.2.1:1"], ...more });
    const crowd = Array.from({ length: 20 }, (_, i) => say(i, 1));
    const results = await client.publish([...crowd, { ...say(0, 2), signature: new Uint8Array(64) }]);
    expect(results.map((r) => r.outcome)).toEqual([
      ...crowd.map(() => PublishOutcome.ACCEPTED),
      PublishOutcome.BAD_SIGNATURE,
    ]);
    await client.when((s) => s.peers === 20 && s.checking === 0);
    expect(client.state.forged).toBe(0);
    expect(client.peers(service)[0]).toMatchObject({
      service,
      seqnum: 1n,
      endpoints: ["tcp:192.0.2.1:1"],
      cached: false,
    });

    // The order is the introducer's own.
    const storageIndex = new Uint8Array(16).fill(service.length);
    const preferredPeerIds = [crowd[3]!.peerId, crowd[4]!.peerId];
    const server = await client.rpc.getPermutedPeers({ service, storageIndex, limit: 7, preferredPeerIds });
    const here = client.permutedPeers(service, storageIndex, { limit: 7, preferred: preferredPeerIds });
    expect(here.map((p) => [hex(p.permutedId), p.peer.id])).toEqual(
      server.peers.map((p) => [hex(p.permutedId), client.entry(service, p.peer!.peerId)!.id]),
    );

    const id = crowd[5]!.peerId;
    await client.publish([say(5, 2, { nickname: "newer" })]);
    await client.when(() => nicknames(client, service).includes("newer"));
    await client.publish([say(5, 3, { withdrawn: true })]);
    await client.when(() => client.gone()[0]?.verdict === "verified");
    expect(client.peers(service)).toHaveLength(19);
    expect(client.gone()[0]).toMatchObject({ why: "withdrawn", last: { nickname: "newer" } });

    const history = [];
    for await (const r of client.history(service, id)) history.push(r);
    expect(history.map((r) => [r.what, r.verdict, r.announcement?.seqnum])).toEqual([
      ["announced", "verified", 1n],
      ["announced", "verified", 2n],
      ["withdrawn", "verified", 3n],
    ]);
    expect(history[0]!.time).toBeInstanceOf(Date);
    for await (const r of client.history(service, id)) {
      expect(r.revision).toBe(history[0]!.revision);
      break; // a reader may leave early
    }
    const services = await client.listServices();
    expect(services.find((s) => s.service === service)).toMatchObject({ peers: 19n, subscribers: 1n });
    expect(hex((await client.getInfo()).logId)).toBe(client.state.token!.logId);
    await expect(client.publish([])).rejects.toMatchObject({ code: Code.InvalidArgument });
  });
});

test("kill -9, restart, wipe: it resumes, and begins anew when the log is another", async () => {
  let server = await Introducer.start(join(dir, "crash"));
  try {
    const client = start({ baseUrl: server.url, storage: new MemoryStorage() });
    await client.synced();
    await client.publish([announced(1), announced(2)]);
    await client.when((s) => s.peers === 2);

    await server.end();
    const lost = await client.when((s) => s.connection === "lost");
    expect(lost).toMatchObject({ peers: 2, draining: false });
    expect(lost.error).toBeDefined();
    server = await server.again();
    await client.synced();
    expect(client.state).toMatchObject({ peers: 2, resets: 1, mismatches: 0, digest: "same" });
    await client.publish([announced(3)]);
    await client.when((s) => s.peers === 3);

    // Stopped in order, it says so first.
    const drained = client.when((s) => s.draining && s.connection === "lost");
    await server.end("SIGTERM");
    await drained;
    server = await server.again(join(dir, "another"));
    client.retryNow();
    await client.when((s) => s.resets === 2 && s.connection === "live");
    expect(client.state).toMatchObject({ peers: 0, lastReset: "other-log", mismatches: 0 });

    await client.stop();
    expect(client.state.connection).toBe("stopped");
  } finally {
    await server.end();
  }
});

test("another run goes on from the cache, through changes meanwhile", async () => {
  const storage = new MemoryStorage();
  const services = ["cached"];
  const say = (node: number, more = {}) => announced(node, { "service-name": "cached", ...more });
  const first = start({ storage, services });
  await first.synced();
  await first.publish([say(1), say(2), say(3)]);
  await first.when((s) => s.peers === 3 && s.checking === 0);
  await first.stop();
  await first.publish([say(2, { seqnum: 2, nickname: "newer" }), say(3, { seqnum: 2, withdrawn: true })]);

  const second = start({ storage, services });
  await second.synced();
  expect(second.state).toMatchObject({ peers: 2, resets: 0, digest: "same", mismatches: 0 });
  expect(nicknames(second, "cached").sort()).toEqual(["newer", "node 1"]);
});

test("random publishing by many: in the end everybody holds the introducer's set", async () => {
  const services = ["r1", "r2"];
  const followers = [
    start({ services }),
    start({ services, transport: createGrpcTransport({ baseUrl: introducer.url }) }),
  ];
  const random = randomFrom(11);
  let sum = new Uint8Array(32);
  const held = new Map<string, Uint8Array>(); // :: service and node → digest
  for (let seqnum = 1; seqnum <= 15; seqnum++) {
    const batch = Array.from({ length: 20 }, () => {
      const [node, service, withdrawn] = [random(25), services[random(2)]!, random(4) === 0];
      return {
        signed: announced(node, { "service-name": service, seqnum, withdrawn }),
        key: `${service} ${node}`,
        withdrawn,
      };
    });
    const results = await followers[0]!.publish(batch.map((b) => b.signed));
    for (const [i, b] of batch.entries()) {
      const { outcome } = results[i]!;
      if (outcome === PublishOutcome.ACCEPTED) held.set(b.key, announcementDigest(b.signed));
      if (outcome === PublishOutcome.WITHDRAWN) held.delete(b.key);
    }
  }
  for (const digest of held.values()) sum = sum.map((b, i) => b ^ digest[i]!);
  const { lastRevision } = await followers[0]!.getInfo();
  for (const f of followers) {
    await f.when((s) => s.token !== undefined && s.token.revision >= lastRevision && s.checking === 0);
    const got = new Uint8Array(32);
    for (const p of services.flatMap((s) => f.peers(s))) announcementDigest(p.signed).forEach((b, i) => (got[i]! ^= b));
    expect(hex(got)).toBe(hex(sum));
    expect(f.state).toMatchObject({ peers: held.size, forged: 0, mismatches: 0 });
  }
});

describe("behind a proxy that lies", () => {
  let proxy: Server;
  let url: string;
  let lie: "message" | "nickname" | "gone" | undefined;

  beforeAll(async () => {
    const real = createClient(IntroducerService, createGrpcTransport({ baseUrl: introducer.url }));
    proxy = createServer(
      connectNodeAdapter({
        routes: ({ service }) =>
          void service(IntroducerService, {
            async *subscribe(request, { signal }) {
              for await (const res of real.subscribe(request, { signal })) {
                for (const { change } of res.event.case === "changes" ? res.event.value.changes : []) {
                  if (change.case !== "announced" || change.value.nickname !== "victim") continue;
                  const p = change.value;
                  if (lie === "nickname") p.nickname = "friend";
                  if (lie === "message") {
                    // As well as it can be done without the key.
                    p.nickname = "friend";
                    p.announcement!.message = utf8(
                      new TextDecoder().decode(p.announcement!.message).replace("victim", "friend"),
                    );
                  }
                }
                if (lie === "gone" && res.event.case === "changes") {
                  res.event.value.changes = res.event.value.changes.filter(
                    (c) => c.change.case !== "announced" || c.change.value.nickname !== "victim",
                  );
                }
                yield res;
              }
            },
          }),
      }),
    );
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const client = new IntroducerClient({ baseUrl: introducer.url });
    await client.publish([
      announced(1, { "service-name": "lies", nickname: "victim" }),
      announced(2, { "service-name": "lies", nickname: "other" }),
    ]);
  });

  afterAll(async () => {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test("honest for once", async () => {
    lie = undefined;
    const client = start({ baseUrl: url, services: ["lies"] });
    await client.synced();
    expect(nicknames(client, "lies").sort()).toEqual(["other", "victim"]);
  });

  test("an announcement read wrongly is marked, though the digest is right", async () => {
    lie = "nickname";
    const client = start({ baseUrl: url, services: ["lies"] });
    await client.synced();
    expect(client.state).toMatchObject({ forged: 1, digest: "same" });
    expect(nicknames(client, "lies")).toEqual(["other"]);
    expect(client.entries("lies").find((e) => e.verdict === "forged")).toMatchObject({
      nickname: "friend",
      reason: 'the introducer says nickname "friend", the peer signed "victim"',
    });
  });

  test("a changed announcement is marked, and the digest differs, again and again", async () => {
    lie = "message";
    const client = start({ baseUrl: url, services: ["lies"] });
    const state = await client.when((s) => s.mismatches >= 2 && s.forged === 1 && s.checking === 0);
    expect(state).toMatchObject({ digest: "differs" });
    expect(state.connection).not.toBe("live");
    expect(nicknames(client, "lies")).toEqual(["other"]);
    expect(client.entries("lies").find((e) => e.verdict === "forged")?.reason).toBe(
      "not by this peer over this message",
    );
  });

  test("an announcement held back is found out by the digest, and honesty mends it", async () => {
    lie = "gone";
    const client = start({ baseUrl: url, services: ["lies"] });
    await client.when((s) => s.mismatches >= 1);
    lie = undefined;
    client.retryNow();
    await client.synced();
    expect(client.state.digest).toBe("same");
    expect(nicknames(client, "lies").sort()).toEqual(["other", "victim"]);
  });
});

test("an address where no introducer is", async () => {
  const nobody = createServer((_, response) => response.writeHead(404).end("what?"));
  await new Promise<void>((resolve) => nobody.listen(0, "127.0.0.1", resolve));
  const { port } = nobody.address() as { port: number };
  try {
    const client = start({ baseUrl: `http://127.0.0.1:${port}` });
    const state = await client.when((s) => s.error !== undefined);
    expect(state.connection).toBe("connecting");
    expect(state.error).toBeInstanceOf(ConnectError);
    expect((state.error as ConnectError).code).toBe(Code.Unimplemented);
  } finally {
    nobody.closeAllConnections();
    nobody.close();
  }
});

// The client against an introducer that says whatever the story needs.
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { IntroducerClient, MemoryStorage, Verifier, type ClientOptions, type ClientState } from "../src/index.js";
import { hex } from "../src/bytes.js";
import { GoneReason, ResetReason } from "../src/gen/introducer/v1/introducer_pb.js";
import { changes, drain, Liar, logId, progress, reset, synced, truth } from "./liar.js";
import { announced } from "./support.js";

let liar: Liar;
let clients: IntroducerClient[];
const verifier = new Verifier();

beforeEach(() => {
  vi.useFakeTimers();
  liar = new Liar();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((c) => c.stop()));
  vi.useRealTimers();
});

function start(options: Partial<ClientOptions> = {}): IntroducerClient {
  const client = new IntroducerClient({ transport: liar.transport, verifier, ...options });
  clients.push(client);
  client.start();
  return client;
}

const live = (s: ClientState) => s.connection === "live" && s.checking === 0;
const lost = (s: ClientState) => s.retryAt !== undefined;
const alder = announced(1, { nickname: "alder" });
const birch = announced(2, { nickname: "birch" });

/** A client that holds alder and birch, live at revision 2. */
async function settled(options: Partial<ClientOptions> = {}) {
  const client = start(options);
  const connection = await liar.connection(0);
  connection.send(
    reset(),
    changes(2, { announced: truth(alder) }, { announced: truth(birch, 2) }),
    synced(2, alder, birch),
  );
  await client.when(live);
  return { client, connection };
}

const nicknames = (client: IntroducerClient, service = "storage") =>
  client
    .peers(service)
    .map((p) => p.nickname)
    .sort();

describe("from nothing to live", () => {
  test("states, peers, token and digest", async () => {
    const client = new IntroducerClient({
      transport: liar.transport,
      services: ["storage", "helper", "storage"],
      nickname: "me",
      version: "v",
    });
    clients.push(client);
    expect(client.state).toEqual({
      connection: "stopped",
      digest: "unknown",
      mismatches: 0,
      resets: 0,
      draining: false,
      peers: 0,
      forged: 0,
      checking: 0,
    });
    client.start();
    client.start();
    expect(client.state.connection).toBe("stopped"); // not within the call
    await client.when((s) => s.connection === "connecting");
    const connection = await liar.connection(0);
    expect(connection.request).toMatchObject({
      services: ["helper", "storage"],
      subscriber: { nickname: "me", version: "v" },
    });
    expect(connection.request.resume).toBeUndefined();

    connection.send(reset());
    const begun = await client.when((s) => s.connection === "catching-up" && s.resets === 1);
    expect(begun).toMatchObject({ lastReset: "new", digest: "unknown" });
    expect(begun.token).toBeUndefined();

    connection.send(changes(2, { announced: truth(alder) }, { announced: truth(birch, 2) }));
    await client.when((s) => s.token?.revision === 2n);
    expect(client.state).toMatchObject({ connection: "catching-up", peers: 2 });
    expect(client.entries("storage")).toHaveLength(2);

    connection.send(synced(2, alder, birch));
    const state = await client.when(live);
    expect(state).toMatchObject({
      digest: "same",
      digestAt: { logId: hex(logId), revision: 2n },
      lastHeard: new Date(),
      forged: 0,
    });
    expect(nicknames(client)).toEqual(["alder", "birch"]);
    expect(client.services()).toEqual(["storage"]);
    expect(client.entry("storage", alder.peerId)).toMatchObject({
      verdict: "verified",
      nickname: "alder",
      seqnum: 1n,
      revision: 1n,
      announced: new Date(0),
      signed: alder,
      announcement: { nickname: "alder" },
      cached: false,
    });
    expect(client.entry("helper", alder.peerId)).toBeUndefined();
    expect(liar.connections).toHaveLength(1);
    await client.synced();
  });

  test("lists are by peer id and stay the same until something in them changes", async () => {
    const { client, connection } = await settled();
    const before = client.peers("storage");
    const ids = before.map((p) => hex(p.peerId));
    expect(ids).toEqual([...ids].sort());
    connection.send(progress(3, alder, birch));
    await client.when((s) => s.token?.revision === 3n);
    expect(client.peers("storage")).toBe(before);
    expect(client.peers("helper")).toEqual([]);
    connection.send(changes(4, { gone: alder }));
    await client.when((s) => s.token?.revision === 4n);
    expect(nicknames(client)).toEqual(["birch"]);
    expect(before).toHaveLength(2);
  });

  test("one replaces another, one takes it back, one expires", async () => {
    const { client, connection } = await settled();
    const newer = announced(1, { seqnum: 2, nickname: "alder 2" });
    const withdrawal = announced(2, { seqnum: 2, withdrawn: true });
    connection.send(
      changes(3, { announced: truth(newer, 3) }),
      changes(4, { gone: birch, reason: GoneReason.WITHDRAWN, withdrawal }),
      progress(4, newer),
    );
    await client.when(
      (s) => s.digestAt?.revision === 4n && s.checking === 0 && client.gone()[0]?.verdict === "verified",
    );
    expect(nicknames(client)).toEqual(["alder 2"]);
    expect(client.gone()).toMatchObject([
      {
        service: "storage",
        peerId: birch.peerId,
        why: "withdrawn",
        signed: withdrawal,
        last: { nickname: "birch" },
        revision: 4n,
      },
    ]);

    connection.send(changes(5, { gone: newer }), progress(5));
    await client.when((s) => s.digestAt?.revision === 5n);
    expect(client.state).toMatchObject({ peers: 0, digest: "same" });
    expect(client.services()).toEqual([]);
    expect(client.gone().map((g) => [g.why, g.verdict])).toEqual([
      ["expired", undefined],
      ["withdrawn", "verified"],
    ]);
  });

  test("of those gone only so many are remembered", async () => {
    const { client, connection } = await settled({ goneLimit: 3 });
    connection.send(
      ...[3, 4, 5, 6].map((n) => changes(n, { gone: announced(n), reason: GoneReason.EVICTED })),
      changes(7, { gone: alder, reason: 99 as GoneReason }),
    );
    await client.when((s) => s.token?.revision === 7n);
    expect(client.gone().map((g) => [g.revision, g.why])).toEqual([
      [7n, "unknown"],
      [6n, "evicted"],
      [5n, "evicted"],
    ]);
  });
});

test("a byte order mark before a text is lost on the wire, and is no forgery", async () => {
  const client = start();
  const marked = announced(1, { nickname: "\ufeffnode", endpoints: ["\ufeffx"] });
  (await liar.connection(0)).send(reset(), changes(1, { announced: truth(marked) }), synced(1, marked));
  await client.when(live);
  expect(client.peers("storage")).toMatchObject([{ nickname: "\ufeffnode", endpoints: ["\ufeffx"] }]);
});

describe("what an introducer cannot do", () => {
  const lies: [string, ReturnType<typeof truth>, string][] = [
    [
      "another nickname",
      { ...truth(alder), nickname: "<b>" },
      'the introducer says nickname "<b>", the peer signed "alder"',
    ],
    ["another seqnum", { ...truth(alder), seqnum: 2n }, 'the introducer says seqnum "2"'],
    ["another service", { ...truth(alder), service: "helper" }, 'the introducer says service "helper"'],
    [
      "other endpoints, which are secrets and not quoted",
      { ...truth(alder), endpoints: ["pb://x/swissnum"] },
      "the introducer says endpoints that the peer did not sign",
    ],
    ["another seed", { ...truth(alder), permutationSeed: birch.peerId }, "the introducer says permutation seed"],
    ["another peer's word", { ...truth(alder), peerId: birch.peerId }, "it is signed by another peer, v0-"],
    [
      "a changed message",
      { ...truth(alder), announcement: { ...truth(alder).announcement!, message: birch.message } },
      "not by this peer over this message",
    ],
    [
      "no signature",
      { ...truth(alder), announcement: { ...truth(alder).announcement!, signature: new Uint8Array() } },
      "the signature has 0 bytes",
    ],
    [
      "nothing signed",
      (({ announcement: _, ...rest }) => rest)(truth(alder)) as ReturnType<typeof truth>,
      "the peer id has 0 bytes",
    ],
    ["what was withdrawn", truth(announced(1, { withdrawn: true })), "the peer has withdrawn it"],
  ];
  test.each(lies)("%s: it is marked, and no peer", async (_, lie, reason) => {
    const client = start();
    const held = lie.announcement ?? {
      message: new Uint8Array(),
      signature: new Uint8Array(),
      peerId: new Uint8Array(),
    };
    const cedar = announced(3);
    (await liar.connection(0)).send(
      reset(),
      changes(1, { announced: lie }, { announced: truth(cedar, 2) }),
      synced(2, held, cedar),
    );
    const state = await client.when(live);
    const forged = client
      .services()
      .flatMap((s) => client.entries(s))
      .filter((e) => e.verdict === "forged");
    // The introducer's set has it, and its digest is right: only the signature tells.
    expect(state).toMatchObject({ forged: 1, digest: "same" });
    expect(forged).toHaveLength(1);
    expect(forged[0]!.reason).toContain(reason);
    expect(forged[0]!.announcement).toBeUndefined();
    expect(client.services().flatMap((s) => nicknames(client, s))).not.toContain("alder");
    expect(client.permutedPeers("storage", Uint8Array.of(1)).every((p) => p.peer.verdict === "verified")).toBe(true);
  });

  test("make up a withdrawal unseen", async () => {
    const { client, connection } = await settled();
    const other = announced(3, { withdrawn: true });
    connection.send(
      changes(3, { gone: alder, reason: GoneReason.WITHDRAWN }),
      changes(4, { gone: birch, reason: GoneReason.WITHDRAWN, withdrawal: other }),
      changes(5, { gone: birch, reason: GoneReason.WITHDRAWN, withdrawal: birch }),
      changes(6, {
        gone: birch,
        reason: GoneReason.WITHDRAWN,
        withdrawal: announced(2, { "service-name": "helper", withdrawn: true }),
      }),
    );
    await client.when(() => client.gone().length === 4 && client.gone().every((g) => g.verdict === "forged"));
    expect(client.gone().map((g) => g.reason)).toEqual([
      'the introducer says service "storage", the peer signed "helper"',
      "what the peer signed is no withdrawal",
      "it is signed by another peer",
      "the peer id has 0 bytes, must have 32",
    ]);
  });

  test("put a peer's older word in the place of its newer", async () => {
    const client = start();
    const connection = await liar.connection(0);
    const at = (node: number, seqnum: number, more = {}) => announced(node, { seqnum, nickname: `at ${seqnum}`, ...more });
    connection.send(
      reset(),
      changes(3, { announced: truth(at(1, 5)) }, { announced: truth(at(2, 5)) }, { announced: truth(at(3, 5)) }),
      synced(3, at(1, 5), at(2, 5), at(3, 5)),
    );
    await client.when(live);
    connection.send(
      changes(4, { announced: truth(at(1, 4), 4) }),
      changes(5, { gone: at(2, 5), reason: GoneReason.WITHDRAWN, withdrawal: at(2, 4, { withdrawn: true }) }),
      changes(6, { gone: at(3, 5), reason: GoneReason.WITHDRAWN, withdrawal: at(3, 6, { withdrawn: true }) }),
      progress(6, at(1, 4)),
    );
    await client.when((s) => s.digestAt?.revision === 6n && s.forged === 1);
    await client.when(() => client.gone().every((g) => g.verdict !== "checking"));
    const old = "it is old: its seqnum is 4, the peer has signed 5 since";
    expect(client.entries("storage")).toMatchObject([{ nickname: "at 4", verdict: "forged", reason: old }]);
    expect(client.peers("storage")).toEqual([]);
    expect(client.gone().map((g) => [g.verdict, g.reason])).toEqual([
      ["verified", undefined],
      ["forged", old],
    ]);
  });

  test("rewrite history", async () => {
    const id = alder.peerId;
    const changed = { ...alder, message: birch.message };
    const withdrawal = announced(1, { seqnum: 2, withdrawn: true });
    liar.records = [
      { revision: 1n, record: { case: "published", value: alder } },
      { revision: 2n, record: { case: "published", value: changed } },
      { revision: 3n, record: { case: "published", value: birch } },
      { revision: 4n, record: { case: "published", value: withdrawal } },
      {
        revision: 5n,
        record: { case: "removed", value: { service: "storage", peerId: id, reason: GoneReason.EVICTED } },
      },
      { revision: 6n },
    ];
    const client = start();
    const got = [];
    for await (const r of client.history("storage", id)) got.push([r.revision, r.what, r.verdict, r.reason]);
    expect(got).toEqual([
      [1n, "announced", "verified", undefined],
      [2n, "announced", "forged", "not by this peer over this message"],
      [3n, "announced", "forged", "it is of another peer or service than asked for"],
      [4n, "withdrawn", "verified", undefined],
      [5n, "evicted", undefined, undefined],
      [6n, "unknown", undefined, undefined],
    ]);
    await expect(
      client.history("storage", id, { signal: AbortSignal.abort(new Error("enough")) }).next(),
    ).rejects.toThrow("enough");
  });

  test("answer for something else than was published", async () => {
    const client = start();
    liar.results = 2;
    await expect(client.publish([alder])).rejects.toThrow("2 results for 1 announcements");
    liar.results = 1;
    expect(await client.publish([alder])).toHaveLength(1);
  });
});

describe("connections end", () => {
  test("it comes back with its token and goes on without a reset", async () => {
    const { client, connection } = await settled();
    connection.end();
    const state = await client.when(lost);
    expect(state).toMatchObject({ connection: "lost", error: new Error("the introducer ended the stream"), peers: 2 });
    expect(nicknames(client)).toEqual(["alder", "birch"]);
    await vi.advanceTimersByTimeAsync(250);
    const next = await liar.connection(1);
    expect(next.request.resume).toMatchObject({ logId, revision: 2n });
    next.send(changes(3, { gone: alder }), synced(3, birch));
    const again = await client.when((s) => live(s) && s.token?.revision === 3n);
    expect(again).toMatchObject({ resets: 1, mismatches: 0 });
    expect(again.error).toBeUndefined();
    expect(nicknames(client)).toEqual(["birch"]);
  });

  test("each wait is longer, up to half a minute, less some by chance, and a good connection begins anew", async () => {
    const client = start();
    const waits: number[] = [];
    for (let n = 0; n < 12; n++) {
      (await liar.connection(n)).fail(new ConnectError("full", Code.ResourceExhausted));
      const state = await client.when(lost);
      expect(state.error).toBeInstanceOf(ConnectError);
      waits.push(state.retryAt!.getTime() - Date.now());
      await vi.advanceTimersByTimeAsync(waits[n]!);
    }
    for (const [n, wait] of waits.entries()) {
      const most = Math.min(250 * 2 ** n, 30_000);
      expect(wait).toBeGreaterThanOrEqual(Math.floor(most / 2));
      expect(wait).toBeLessThanOrEqual(most);
    }
    const good = await liar.connection(12);
    good.send(reset(), synced(0)).end();
    await client.when((s) => lost(s) && s.resets === 1);
    expect(client.state.retryAt!.getTime() - Date.now()).toBeLessThanOrEqual(250);
  });

  test("retryNow does not wait", async () => {
    const client = start();
    for (let n = 0; n < 8; n++) {
      (await liar.connection(n)).fail(new ConnectError("away", Code.Unavailable));
      await client.when((s) => lost(s) && liar.connections.length === n + 1);
      client.retryNow();
    }
    await liar.connection(8);
    client.retryNow(); // there is nothing to hasten
    expect(liar.connections).toHaveLength(9);
  });

  test("nobody was there yet: connecting, and why not", async () => {
    const transport = {
      ...liar.transport,
      stream: () => Promise.reject(new ConnectError("refused", Code.Unavailable)),
    };
    const client = start({ transport });
    const state = await client.when(lost);
    expect(state.connection).toBe("connecting");
    expect(state.error?.message).toContain("refused");
  });

  test("a drain is obeyed, within limits", async () => {
    const { client, connection } = await settled();
    connection.send(changes(3, { gone: birch }), drain(3, 7500)).end();
    const state = await client.when(lost);
    expect(state).toMatchObject({ draining: true, connection: "lost", token: { revision: 3n } });
    expect(state.retryAt!.getTime() - Date.now()).toBe(7500);
    await vi.advanceTimersByTimeAsync(7499);
    expect(liar.connections).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    const next = await liar.connection(1);
    expect(next.request.resume?.revision).toBe(3n);
    next.send(synced(3, alder), drain(3, 3_600_000)).end();
    await client.when((s) => lost(s) && s.draining);
    expect(client.state.retryAt!.getTime() - Date.now()).toBe(300_000);
    // Asked to come back at once, it waits as after any end, or two that disagree would go round and round.
    await vi.advanceTimersByTimeAsync(300_000);
    (await liar.connection(2)).send(synced(3, alder), drain(3, 0)).end();
    await client.when((s) => lost(s) && s.draining);
    expect(client.state.retryAt!.getTime() - Date.now()).toBeGreaterThanOrEqual(125);
  });

  test("silence is an end", async () => {
    const { client, connection } = await settled({ silence: 60_000 });
    await vi.advanceTimersByTimeAsync(59_000);
    connection.send(progress(2, alder, birch));
    await client.when((s) => s.lastHeard?.getTime() === Date.now());
    await vi.advanceTimersByTimeAsync(59_999);
    expect(client.state.connection).toBe("live");
    await vi.advanceTimersByTimeAsync(1);
    const state = await client.when(lost);
    expect(state.error?.message).toBe("nothing was heard for 60000 ms");
    await connection.closed;
  });

  test("silence from the beginning, too", async () => {
    const client = start({ silence: 1000 });
    await liar.connection(0);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await client.when(lost)).error?.message).toBe("nothing was heard for 1000 ms");
  });

  test("another log: everything is forgotten", async () => {
    const { client, connection } = await settled();
    connection.send(changes(3, { gone: birch })).end();
    await client.when(lost);
    client.retryNow();
    (await liar.connection(1)).send(
      reset(ResetReason.OTHER_LOG),
      changes(1, { announced: truth(birch) }),
      synced(1, birch),
    );
    const state = await client.when((s) => live(s) && s.resets === 2);
    expect(state).toMatchObject({ lastReset: "other-log", mismatches: 0 });
    expect(nicknames(client)).toEqual(["birch"]);
    expect(client.gone()).toEqual([]);
  });
});

describe("a set that is not the introducer's", () => {
  test.each(["synced", "progress"])("found by %s: counted, kept to be looked at, fetched anew", async (by) => {
    const { client, connection } = await settled();
    if (by === "progress") {
      connection.send(progress(3, alder));
    } else {
      connection.end();
      await client.when(lost);
      client.retryNow();
      (await liar.connection(1)).send(synced(3, alder));
    }
    const state = await client.when(lost);
    expect(state).toMatchObject({
      connection: "lost",
      digest: "differs",
      digestAt: { revision: 3n },
      mismatches: 1,
      peers: 2,
    });
    expect(state.error?.message).toBe("what is held is not what the introducer holds");
    expect(state.token).toBeUndefined();
    client.retryNow();
    const next = await liar.connection(by === "progress" ? 1 : 2);
    expect(next.request.resume).toBeUndefined();
    next.send(reset(), changes(3, { announced: truth(alder) }), synced(3, alder));
    expect(await client.when((s) => live(s) && s.digest === "same")).toMatchObject({ mismatches: 1, resets: 2 });
    expect(nicknames(client)).toEqual(["alder"]);
  });

  test("again and again: it waits longer each time", async () => {
    const client = start();
    for (let n = 0; n < 6; n++) {
      (await liar.connection(n)).send(reset(), synced(1, alder));
      const state = await client.when((s) => lost(s) && s.mismatches === n + 1);
      expect(state.retryAt!.getTime() - Date.now()).toBeGreaterThanOrEqual(125 * 2 ** n);
      client.retryNow();
    }
    expect(client.state.connection).not.toBe("live");
  });

  test("what came behind it is not taken", async () => {
    const { client, connection } = await settled();
    connection.send(progress(3, alder), changes(4, { gone: alder }));
    await client.when(lost);
    expect(client.state.peers).toBe(2);
    expect(client.state.token).toBeUndefined();
  });
});

describe("stop and start", () => {
  test("stop ends the stream and keeps the set; start goes on", async () => {
    const { client, connection } = await settled();
    await client.stop();
    await connection.closed;
    expect(client.state).toMatchObject({ connection: "stopped", peers: 2, token: { revision: 2n } });
    expect(client.state.error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(liar.connections).toHaveLength(1);
    client.start();
    const next = await liar.connection(1);
    expect(next.request.resume?.revision).toBe(2n);
    next.send(synced(2, alder, birch));
    expect(await client.when(live)).toMatchObject({ resets: 1 });
  });

  test("while it waits, twice, and before it began", async () => {
    const client = start();
    (await liar.connection(0)).end();
    await client.when(lost);
    await Promise.all([client.stop(), client.stop()]);
    expect(client.state.connection).toBe("stopped");
    expect(vi.getTimerCount()).toBe(0);
    await new IntroducerClient({ transport: liar.transport }).stop();
  });

  test("start right behind stop", async () => {
    const { client } = await settled();
    const stopped = client.stop();
    client.start();
    await stopped;
    (await liar.connection(1)).send(synced(2, alder, birch));
    await client.when(live);
  });
});

describe("hearing of changes", () => {
  test("what comes together is told once, and not to those who left", async () => {
    const { client, connection } = await settled();
    const listener = vi.fn();
    const other = vi.fn();
    client.subscribe(listener);
    const unsubscribe = client.subscribe(other);
    unsubscribe();
    unsubscribe();
    connection.send(changes(3, ...[3, 4, 5, 6, 7, 8].map((n) => ({ announced: truth(announced(n), 3) }))));
    await client.when((s) => s.peers === 8 && s.checking === 0);
    expect(listener.mock.calls.length).toBeGreaterThan(0);
    expect(listener.mock.calls.length).toBeLessThan(6);
    expect(other).not.toHaveBeenCalled();
  });

  test("a slow reader of updates sees the latest", async () => {
    const { client, connection } = await settled();
    const updates = client.updates();
    expect((await updates.next()).value).toBe(client.state);
    connection.send(...[3, 4, 5].map((n) => changes(n, { announced: truth(announced(n), n) })));
    await client.when((s) => s.token?.revision === 5n && s.checking === 0);
    expect((await updates.next()).value.token?.revision).toBe(5n);
    await updates.return(undefined as never);
  });

  test("a signal ends the waiting", async () => {
    const client = start();
    const abort = new AbortController();
    const waiting = client.synced(abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await expect(client.synced(abort.signal)).rejects.toThrow("enough");
  });
});

describe("the cache", () => {
  test("another run resumes from it, and shows what it has before the introducer answers", async () => {
    const storage = new MemoryStorage();
    const { client } = await settled({ storage, baseUrl: "https://one" });
    await client.stop();

    const next = start({ storage, baseUrl: "https://one" });
    await next.when((s) => s.peers === 2 && s.checking === 0);
    expect(nicknames(next)).toEqual(["alder", "birch"]);
    expect(next.entry("storage", alder.peerId)).toMatchObject({
      cached: true,
      verdict: "verified",
      revision: 1n,
      announced: new Date(0),
    });
    const connection = await liar.connection(1);
    expect(connection.request.resume).toMatchObject({ logId, revision: 2n });
    connection.send(changes(3, { gone: birch }), synced(3, alder));
    expect(await next.when(live)).toMatchObject({ resets: 0, digest: "same" });
    await next.stop();

    // Of another introducer, or of other services, nothing is known.
    for (const options of [{ baseUrl: "https://two" }, { baseUrl: "https://one", services: ["storage"] }]) {
      const n = liar.connections.length;
      const other = start({ storage, ...options });
      expect((await liar.connection(n)).request.resume).toBeUndefined();
      await other.stop();
    }
    const last = start({ storage, baseUrl: "https://one" });
    await last.when((s) => s.token?.revision === 3n && s.peers === 1);
  });

  test("is written a second after a change, in small changes", async () => {
    const storage = new MemoryStorage();
    const save = vi.spyOn(storage, "save");
    const { client, connection } = await settled({ storage });
    expect(save).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1000);
    expect(save).toHaveBeenCalledTimes(1);
    connection.send(changes(3, { gone: birch }), progress(3, alder));
    await client.when((s) => s.digestAt?.revision === 3n);
    await vi.advanceTimersByTimeAsync(1000);
    expect(save).toHaveBeenCalledTimes(2);
    expect(save.mock.calls[1]![1]).toMatchObject({
      from: { revision: 2n },
      token: { revision: 3n },
      put: [],
      removed: [{ peer: hex(birch.peerId) }],
    });
    await client.stop();
    expect(save).toHaveBeenCalledTimes(2); // nothing new
  });

  test("somebody changed what is stored: it is found out, dropped, and fetched anew", async () => {
    for (const change of ["signature", "message"] as const) {
      liar = new Liar();
      const storage = new MemoryStorage();
      const { client } = await settled({ storage });
      await client.stop();
      const stored = (await storage.load(JSON.stringify(["", []])))!;
      const peers = stored.peers.map((p) =>
        p.peer === hex(alder.peerId) ? { ...p, signed: { ...p.signed, [change]: birch[change] } } : p,
      );
      await storage.clear(JSON.stringify(["", []]));
      await storage.save(JSON.stringify(["", []]), { token: stored.token, put: peers, removed: [], all: () => peers });

      const next = start({ storage });
      (await liar.connection(1)).send(synced(2, alder, birch));
      const state = await next.when((s) => lost(s) && s.forged === 1);
      expect(nicknames(next)).not.toContain("alder");
      expect(state.token).toBeUndefined();
      if (change === "signature") expect(state.storageError?.message).toBe("what was stored does not verify");
      next.retryNow();
      const connection = await liar.connection(2);
      expect(connection.request.resume).toBeUndefined();
      connection.send(
        reset(),
        changes(2, { announced: truth(alder) }, { announced: truth(birch, 2) }),
        synced(2, alder, birch),
      );
      expect(await next.when(live)).toMatchObject({ forged: 0, digest: "same" });
      await next.stop();
    }
  });

  test("damaged or failing, it is said, and the client works without", async () => {
    const broken: [Partial<MemoryStorage>, string][] = [
      [{ load: () => Promise.reject(new Error("no load")) }, "no load"],
      [{ load: async () => ({ token: { logId: "x", revision: 1n }, peers: [] }) }, "what is stored has no token"],
      [
        {
          load: async () => ({
            token: { logId: hex(logId), revision: 1n },
            peers: [
              {
                service: "storage",
                peer: "",
                revision: 1n,
                signed: { message: new Uint8Array(), signature: new Uint8Array(), peerId: new Uint8Array() },
              },
            ],
          }),
        },
        "ends too early",
      ],
      [{ save: () => Promise.reject(new Error("no save")) }, "no save"],
    ];
    for (const [methods, want] of broken) {
      liar = new Liar();
      const { client } = await settled({ storage: Object.assign(new MemoryStorage(), methods) });
      await vi.advanceTimersByTimeAsync(1000);
      const state = await client.when((s) => s.storageError !== undefined);
      expect(state.storageError?.message).toContain(want);
      expect(state).toMatchObject({ connection: "live", peers: 2, resets: 1 });
      expect(liar.connections[0]!.request.resume).toBeUndefined();
      await client.stop();
    }
  });

  test("a write that failed is made good by the next", async () => {
    const storage = new MemoryStorage();
    const save = vi.spyOn(storage, "save").mockRejectedValueOnce(new Error("full"));
    const { client, connection } = await settled({ storage });
    await vi.advanceTimersByTimeAsync(1000);
    connection.send(changes(3, { gone: birch }));
    await client.when((s) => s.token?.revision === 3n);
    await client.stop();
    expect(save).toHaveBeenCalledTimes(2);
    expect(await storage.load(JSON.stringify(["", []]))).toMatchObject({
      token: { revision: 3n },
      peers: [{ peer: hex(alder.peerId) }],
    });
  });

  test("a set with forged ones is not kept", async () => {
    const storage = new MemoryStorage();
    const client = start({ storage });
    (await liar.connection(0)).send(
      reset(),
      changes(1, { announced: { ...truth(alder), nickname: "x" } }),
      synced(1, alder),
    );
    await client.when(live);
    await client.stop();
    expect(await storage.load(JSON.stringify(["", []]))).toBeUndefined();
  });
});

test("permuted peers are in the order of the storage index", async () => {
  const { client } = await settled();
  const si = new Uint8Array(16).fill(3);
  const all = client.permutedPeers("storage", si);
  expect(all.map((p) => hex(p.permutedId))).toEqual(all.map((p) => hex(p.permutedId)).sort());
  expect(client.permutedPeers("storage", si, { limit: 1 })).toEqual(all.slice(0, 1));
  expect(client.permutedPeers("storage", si, { preferred: [all[1]!.peer.peerId] })).toEqual([all[1], all[0]]);
});

test("needs to know where", () => {
  expect(() => new IntroducerClient({})).toThrow(TypeError);
});

test("a large grid: shown at once, verified in slices, keys looked at together", async () => {
  const crowd = Array.from({ length: 600 }, (_, i) => announced(i + 10));
  const client = start({ verifier: new Verifier() });
  const shown: number[] = [];
  client.subscribe(() => shown.push(client.peers("storage").length));
  (await liar.connection(0)).send(
    reset(),
    changes(600, ...crowd.map((s) => ({ announced: truth(s) }))),
    synced(600, ...crowd),
  );
  await client.when((s) => s.connection === "live");
  expect(client.entries("storage")).toHaveLength(600);
  vi.useRealTimers();
  await client.synced();
  expect(client.peers("storage")).toHaveLength(600);
  expect(shown).toEqual([...shown].sort((a, b) => a - b));
  expect(new Set(shown).size).toBeGreaterThan(5);
});

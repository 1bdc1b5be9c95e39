// One story for every storage.
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { IndexedDBStorage, MemoryStorage, type Storage, type StoredPeer, type Token } from "../src/index.js";
import { keyOf } from "../src/set.js";
import { announced, randomFrom } from "./support.js";

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("IDBKeyRange", IDBKeyRange);
});

afterEach(() => {
  vi.unstubAllGlobals();
});

const at = (revision: number): Token => ({ logId: "07".repeat(16), revision: BigInt(revision) });

function stored(node: number, revision: number, service = "storage"): StoredPeer {
  const signed = announced(node, { "service-name": service });
  return {
    ...keyOf({ service, peerId: signed.peerId }),
    signed,
    revision: BigInt(revision),
    announced: new Date(revision),
  };
}

const byKey = (peers: readonly StoredPeer[]) =>
  [...peers].sort((a, b) => (a.service + a.peer < b.service + b.peer ? -1 : 1));

describe.each<[string, () => Storage]>([
  ["memory", () => new MemoryStorage()],
  ["IndexedDB", () => new IndexedDBStorage("test")],
])("%s", (_, make) => {
  test("keeps scopes apart, takes changes, clears", async () => {
    const storage = make();
    const [one, two, other] = [stored(1, 1), stored(2, 2), stored(1, 3, "helper")];
    expect(await storage.load("a")).toBeUndefined();
    await storage.clear("a");
    await storage.save("a", { token: at(2), put: [one, two], removed: [], all: () => [one, two] });
    await storage.save("aa", { token: at(3), put: [other], removed: [], all: () => [other] });
    expect((await storage.load("a"))?.token).toEqual(at(2));
    expect(byKey((await storage.load("a"))!.peers)).toEqual(byKey([one, two]));

    const newer = stored(1, 4);
    const none = () => {
      throw new Error("it need not ask for all");
    };
    await storage.save("a", {
      from: at(2),
      token: at(5),
      put: [newer, other],
      removed: [two, stored(9, 9)],
      all: none,
    });
    expect((await storage.load("a"))?.token).toEqual(at(5));
    expect(byKey((await storage.load("a"))!.peers)).toEqual(byKey([newer, other]));
    expect(await storage.load("aa")).toEqual({ token: at(3), peers: [other] });

    await storage.clear("a");
    expect(await storage.load("a")).toBeUndefined();
    expect(await storage.load("aa")).toEqual({ token: at(3), peers: [other] });
  });

  test("what stands elsewhere is written whole", async () => {
    const storage = make();
    const [one, two, three] = [stored(1, 1), stored(2, 2), stored(3, 3)];
    await storage.save("s", { token: at(1), put: [one], removed: [], all: () => [one] });
    await storage.save("s", { from: at(7), token: at(8), put: [two], removed: [], all: () => [two, three] });
    expect(byKey((await storage.load("s"))!.peers)).toEqual(byKey([two, three]));
    await storage.save("s", { token: at(9), put: [one], removed: [], all: () => [one] });
    expect(await storage.load("s")).toEqual({ token: at(9), peers: [one] });
  });

  test("two writers in turn: it always holds the set of one of them", async () => {
    const storage = make();
    const random = randomFrom(4);
    const writers = [new Map<string, StoredPeer>(), new Map<string, StoredPeer>()];
    const saved: (Token | undefined)[] = [undefined, undefined];
    for (let step = 1; step < 60; step++) {
      const w = random(2);
      const set = writers[w]!;
      const put = stored(random(6), step);
      const removed = stored(random(6), step);
      set.set(put.peer, put);
      if (removed.peer !== put.peer) set.delete(removed.peer);
      const from = saved[w];
      const all = () => [...set.values()];
      const delta = { put: from ? [put] : all(), removed: removed.peer === put.peer ? [] : [removed] };
      await storage.save("s", { ...(from && { from }), token: at(step), ...delta, all });
      saved[w] = at(step);
      expect(byKey((await storage.load("s"))!.peers)).toEqual(byKey(all()));
    }
  });
});

describe("IndexedDB", () => {
  test("another storage on the same database finds it", async () => {
    const one = stored(1, 1);
    const first = new IndexedDBStorage("test");
    await first.save("s", { token: at(1), put: [one], removed: [], all: () => [one] });
    await first.close();
    await first.close();
    expect(await new IndexedDBStorage("test").load("s")).toEqual({ token: at(1), peers: [one] });
    expect(await new IndexedDBStorage("other").load("s")).toBeUndefined();
    expect(await first.load("s")).toEqual({ token: at(1), peers: [one] }); // opened again
  });

  test("a write that fails leaves what was there", async () => {
    const storage = new IndexedDBStorage("test");
    const one = stored(1, 1);
    await storage.save("s", { token: at(1), put: [one], removed: [], all: () => [one] });
    const unstorable = { ...stored(2, 2), f: () => {} };
    await expect(
      storage.save("s", { from: at(1), token: at(2), put: [stored(3, 3), unstorable], removed: [one], all: () => [] }),
    ).rejects.toThrow();
    expect(await storage.load("s")).toEqual({ token: at(1), peers: [one] });
  });

  test("somebody deletes the database meanwhile", async () => {
    const storage = new IndexedDBStorage("test");
    const one = stored(1, 1);
    await storage.save("s", { token: at(1), put: [one], removed: [], all: () => [one] });
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.deleteDatabase("test");
      request.onsuccess = () => resolve();
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error("it holds on to the database"));
    });
    expect(await storage.load("s")).toBeUndefined();
    await storage.save("s", { from: at(1), token: at(2), put: [], removed: [], all: () => [one] });
    expect((await storage.load("s"))?.peers).toEqual([one]);
  });

  test("a database that cannot be opened", async () => {
    const open = vi.spyOn(indexedDB, "open").mockImplementationOnce(() => {
      throw new DOMException("private", "SecurityError");
    });
    const storage = new IndexedDBStorage("test");
    await expect(storage.load("s")).rejects.toThrow("private");
    expect(await storage.load("s")).toBeUndefined(); // the next try
    expect(open).toHaveBeenCalledTimes(2);
  });
});

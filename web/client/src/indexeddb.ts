import { sameToken, type Storage, type StoredChange, type StoredPeer, type StoredSet, type Token } from "./storage.js";

/**
 * Keeps it in IndexedDB, in two object stores of one database:
 *
 *     sets    key scope                     { token: { logId, revision } }
 *     peers   key [scope, service, peer]    a StoredPeer
 *
 * Each save is one transaction. One that finds the set at another token than it starts from, since
 * another tab was there, writes the whole set.
 */
export class IndexedDBStorage implements Storage {
  readonly #name: string;
  #opened: Promise<IDBDatabase> | undefined;

  /** The database's name; its version is 1. Nothing is opened yet. */
  constructor(name = "introducer") {
    this.#name = name;
  }

  async load(scope: string): Promise<StoredSet | undefined> {
    const tx = (await this.#open()).transaction(["sets", "peers"]);
    const [set, peers] = await Promise.all([
      result<{ token: Token } | undefined>(tx.objectStore("sets").get(scope)),
      result<StoredPeer[]>(tx.objectStore("peers").getAll(within(scope))),
    ]);
    return set && { token: set.token, peers };
  }

  async save(scope: string, change: StoredChange): Promise<void> {
    await this.#write(async (sets, peers) => {
      const old = await result<{ token: Token } | undefined>(sets.get(scope));
      const whole = !sameToken(old?.token, change.from);
      if (whole) peers.delete(within(scope));
      for (const k of whole ? [] : change.removed) peers.delete([scope, k.service, k.peer]);
      let n = 0;
      for (const p of whole ? change.all() : change.put) {
        const put = peers.put(p, [scope, p.service, p.peer]);
        // Ten thousand in one go would take seconds in which the page does nothing else.
        if (++n % 64 === 0) await result(put);
      }
      sets.put({ token: change.token }, scope);
    });
  }

  async clear(scope: string): Promise<void> {
    await this.#write(async (sets, peers) => {
      sets.delete(scope);
      peers.delete(within(scope));
    });
  }

  /** Closes the database. The next use opens it again. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    (await opened)?.close();
  }

  async #write(change: (sets: IDBObjectStore, peers: IDBObjectStore) => Promise<void>): Promise<void> {
    const tx = (await this.#open()).transaction(["sets", "peers"], "readwrite");
    const done = new Promise<void>((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = () => reject(tx.error ?? new Error("the transaction was aborted"));
    });
    const changed = change(tx.objectStore("sets"), tx.objectStore("peers")).catch((e: unknown) => {
      try {
        tx.abort();
      } catch {
        // It has ended by itself, with the error that done has.
      }
      throw e;
    });
    await Promise.all([done, changed]);
  }

  async #open(): Promise<IDBDatabase> {
    this.#opened ??= this.#request();
    try {
      return await this.#opened;
    } catch (e) {
      this.#opened = undefined; // the next try may do better
      throw e;
    }
  }

  async #request(): Promise<IDBDatabase> {
    const request = indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("sets");
      request.result.createObjectStore("peers");
    };
    const db = await result(request);
    const gone = () => {
      db.close();
      this.#opened = undefined;
    };
    db.onversionchange = gone; // somebody deletes it, or has a newer program
    db.onclose = gone;
    return db;
  }
}

function within(scope: string): IDBKeyRange {
  return IDBKeyRange.bound([scope], [scope, []]); // a list stands behind every text
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

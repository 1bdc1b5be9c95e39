// A real introducer for a test, and what is published to it.

import { spawn } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { once } from "node:events";
import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The program under test: a path, made by whoever runs the tests. */
const program = process.env.INTRODUCER;
if (!program) throw new Error("INTRODUCER must name the program to test: see make browser-test");

export class Introducer {
  #dir;
  #flags;
  #process;
  url;

  /** Starts one on a new directory, with more flags; it ends with the test t. */
  static async start(t, ...flags) {
    const me = new Introducer();
    me.#flags = flags;
    me.#dir = await mkdtemp(join(tmpdir(), "introducer-"));
    t.after(async () => {
      await me.kill();
      await rm(me.#dir, { recursive: true });
    });
    await me.#serve("127.0.0.1:0");
    return me;
  }

  async #serve(listen) {
    const p = spawn(program, ["serve", "--data", join(this.#dir, "data"), "--listen", listen, "--log-level", "error", "--drain-timeout", "2s", ...this.#flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = p;
    for await (const line of createInterface(p.stdout)) {
      const ready = /^introducer ready at (\S+):/.exec(line);
      if (ready) {
        this.url = ready[1];
        p.stdout.resume();
        return;
      }
    }
    throw new Error("the introducer ended before it was ready");
  }

  /** kill -9. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** Asks it to stop in order. */
  async stop() {
    await this.#end("SIGTERM");
  }

  async #end(signal) {
    const p = this.#process;
    if (p.exitCode !== null || p.signalCode !== null) return;
    const exit = once(p, "exit");
    p.kill(signal);
    await exit;
  }

  /** Starts it again at the same address, on the same directory. */
  async restart() {
    await this.#serve(new URL(this.url).host);
  }

  /** Takes all that it knew away; to be called while it does not run. */
  async wipe() {
    await rm(join(this.#dir, "data"), { recursive: true });
  }

  /** Keeps a copy of all that it knows; to be called while it does not run. */
  async backUp() {
    await cp(join(this.#dir, "data"), join(this.#dir, "copy"), { recursive: true });
  }

  /** Puts the copy in the place of what it knows; to be called while it does not run. */
  async restore() {
    await this.wipe();
    await rename(join(this.#dir, "copy"), join(this.#dir, "data"));
  }

  /** Publishes signed announcements; those that are refused make it throw, unless they may be. */
  async publish(all, mayRefuse = false) {
    const outcomes = [];
    for (let i = 0; i < all.length; i += 1000) {
      const { results } = await this.call("Publish", { announcements: all.slice(i, i + 1000) });
      for (const r of results) {
        outcomes.push(r.outcome.replace("PUBLISH_OUTCOME_", ""));
        if (!mayRefuse && !["ACCEPTED", "WITHDRAWN"].includes(outcomes.at(-1))) throw new Error(`${r.outcome}: ${r.reason}`);
      }
    }
    return outcomes;
  }

  /** Calls an RPC in JSON. */
  async call(method, message) {
    const res = await fetch(`${this.url}/introducer.v1.IntroducerService/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(message),
    });
    if (!res.ok) throw new Error(`${method}: ${res.status} ${await res.text()}`);
    return res.json();
  }
}

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** Tahoe-LAFS's base32. */
export function base32(bytes) {
  let bits = "";
  for (const b of bytes) bits += b.toString(2).padStart(8, "0");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet[parseInt(five.padEnd(5, "0"), 2)]).join("");
}

/** A node whose key follows from its name. */
export class Node {
  #key;
  peerId;

  constructor(name) {
    this.name = name;
    const seed = createHash("sha256").update("browser test " + name).digest();
    // RFC 8410: what stands before the 32 bytes.
    const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
    this.#key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    this.peerId = createPublicKey(this.#key).export({ format: "der", type: "spki" }).subarray(-32);
  }

  get id() {
    return "v0-" + base32(this.peerId);
  }

  /** Signs any bytes, as the wire has them in JSON. */
  sign(message) {
    const bytes = Buffer.from(message);
    return {
      message: bytes.toString("base64"),
      signature: sign(null, bytes, this.#key).toString("base64"),
      peerId: this.peerId.toString("base64"),
    };
  }

  /** An announcement by this node, with what members say beside or instead. */
  offer(service, members = {}) {
    return this.sign(JSON.stringify({ "service-name": service, seqnum: 1, nickname: this.name, ...members }));
  }
}

/** Nodes named prefix-1, prefix-2, … */
export function nodes(n, prefix = "node") {
  return Array.from({ length: n }, (_, i) => new Node(`${prefix}-${i + 1}`));
}

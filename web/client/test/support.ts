import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";

import { signAnnouncement, type AnnouncementMembers, type Signed } from "../src/index.js";

/** Reads JSON from a folder of the repository, by its path from the root. */
export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, "../../..", path), "utf8")) as T;
}

export function bytes(hexText: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(hexText, "hex"));
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}

/** The private key of a test's node. */
export function seedOf(node: number): Uint8Array {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, node);
  return seed;
}

/** What a test's node announces. */
export function announced(node: number, members: Partial<AnnouncementMembers> = {}): Signed {
  return signAnnouncement({ "service-name": "storage", seqnum: 1, nickname: `node ${node}`, ...members }, seedOf(node));
}

/** A generator of the same numbers each time: from 0 to below n. */
export function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0 || 1; // xorshift32
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % n;
  };
}

export interface Judgement {
  readonly fault: "" | "form" | "signature";
  readonly said: null | {
    readonly service: string;
    readonly seqnum: string;
    readonly nickname: string;
    readonly seed: string | null;
    readonly furl: string;
    readonly nurls: string[] | null;
    readonly endpoints: string[] | null;
    readonly ttlSeconds: number;
    readonly withdrawn: boolean;
  };
}

/** What the introducer's own code makes of announcements. */
export function introducerJudges(all: readonly Signed[]): Promise<Judgement[]> {
  const child = spawn(inject("judge"), { stdio: ["pipe", "pipe", "inherit"] });
  const word = (b: Uint8Array) => Buffer.from(b).toString("base64") + ".";
  child.stdin.end(all.map((s) => `${word(s.message)} ${word(s.signature)} ${word(s.peerId)}\n`).join(""));
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code !== 0) reject(new Error(`judge ended with ${code}`));
      else
        resolve(
          text
            .trimEnd()
            .split("\n")
            .map((line) => JSON.parse(line) as Judgement),
        );
    });
  });
}

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { inject } from "vitest";

/** A running introducer: the real program. */
export class Introducer {
  private constructor(
    readonly url: string,
    readonly data: string,
    readonly process: ChildProcess,
  ) {}

  /** Resolves when it answers. */
  static async start(data: string, listen = "127.0.0.1:0"): Promise<Introducer> {
    const child = spawn(inject("introducer"), ["serve", "--data", data, "--listen", listen, "--log-level", "error"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface(child.stdout!)) {
      const url = /^introducer ready at (http:\S+):/.exec(line)?.[1];
      if (url !== undefined) return new Introducer(url, data, child);
    }
    throw new Error("the introducer did not start");
  }

  /** Ends it: SIGKILL as a crash does, SIGTERM in order. Resolves when it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill(signal);
    await gone;
  }

  /** Another on the same address. */
  again(data = this.data): Promise<Introducer> {
    return Introducer.start(data, new URL(this.url).host);
  }
}

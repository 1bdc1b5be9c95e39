import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of the introducer's program. */
    introducer: string;
    /** Path of test/judge's program. */
    judge: string;
  }
}

/**
 * Builds what the tests run against: the introducer of this tree, or what INTRODUCER_PROGRAM names, and
 * the judge of announcements.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), "introducer-client-"));
  const root = join(import.meta.dirname, "../../..");
  const remove = () => rm(dir, { recursive: true });
  for (const [name, path] of [
    ["introducer", "./cmd/introducer"],
    ["judge", "./web/client/test/judge"],
  ] as const) {
    const ready = name === "introducer" && process.env.INTRODUCER_PROGRAM;
    if (ready) {
      project.provide(name, ready);
      continue;
    }
    const program = join(dir, name);
    await promisify(execFile)("go", ["build", "-buildvcs=false", "-o", program, path], {
      cwd: root,
      env: { ...process.env, CGO_ENABLED: "0" },
    }).catch(async (e: unknown) => {
      await remove();
      throw e;
    });
    project.provide(name, program);
  }
  return remove;
}

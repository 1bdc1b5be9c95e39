// The package as its users get it: packed, installed elsewhere, imported without a bundler, typed.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const run = promisify(execFile);
let dir: string;
let files: string[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "introducer-client-"));
  const { stdout } = await run("npm", ["pack", "--json", "--silent", "--pack-destination", dir], { cwd: root });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf("["))) as { filename: string; files: { path: string }[] }[];
  files = packed!.files.map((f) => f.path);
  await writeFile(join(dir, "package.json"), '{"name":"user","private":true,"type":"module"}');
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(dir, packed!.filename)], {
    cwd: dir,
  });
});

afterAll(() => rm(dir, { recursive: true }));

test("holds what it should and nothing else", () => {
  const others = files.filter((f) => !/^dist\/[\w/]+\.(js|d\.ts)$/.test(f));
  expect(others.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
  expect(files).toContain("dist/index.js");
  expect(files).toContain("dist/gen/introducer/v1/introducer_pb.d.ts");
});

test("has the licence of the repository", async () => {
  expect(await readFile(join(root, "LICENSE"), "utf8")).toBe(await readFile(join(root, "../../LICENSE"), "utf8"));
});

test("is imported by Node.js as it is", async () => {
  const program = `
    import { IntroducerClient, peerIdText, signAnnouncement, verifyAnnouncement } from "@introducer/client";
    import { IntroducerService } from "@introducer/client/proto";
    const signed = signAnnouncement({ "service-name": "storage", seqnum: 1 }, new Uint8Array(32));
    const { ok } = await verifyAnnouncement(signed);
    const client = new IntroducerClient({ baseUrl: "http://127.0.0.1:1" });
    console.log(ok, client.state.connection, IntroducerService.typeName, peerIdText(signed.peerId));
  `;
  const { stdout } = await run("node", ["--input-type=module", "-e", program], { cwd: dir });
  expect(stdout.trim()).toBe(
    "true stopped introducer.v1.IntroducerService v0-hnvcppgow2sc2yvdvdicu3ynonsteflxdxrehjr2ybekdc2z3iuq",
  );
});

test("is typed for its users, and the README's programs compile", async () => {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const programs = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((m) => m[1]!);
  expect(programs.length).toBeGreaterThan(1);
  for (const [i, program] of programs.entries()) await writeFile(join(dir, `readme${i}.ts`), program);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "ES2022",
    lib: ["ES2022", "DOM", "DOM.AsyncIterable"],
    types: [],
  };
  for (const [module, moduleResolution] of [
    ["NodeNext", "NodeNext"],
    ["ESNext", "Bundler"],
  ]) {
    await writeFile(
      join(dir, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...compilerOptions, module, moduleResolution }, include: ["*.ts"] }),
    );
    await run(join(root, "node_modules/.bin/tsc"), ["-p", dir]).catch((e: { stdout: string }) => {
      throw new Error(e.stdout);
    });
  }
});

test("stays small in a browser's bundle, and what is not used is left out", async () => {
  const size = async (contents: string) => {
    const result = await build({
      stdin: { contents, resolveDir: dir },
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      platform: "browser",
      target: "es2022",
    });
    return gzipSync(result.outputFiles[0]!.contents, { level: 9 }).length;
  };
  const all = await size('export * from "@introducer/client"');
  const verify = await size('export { verifyAnnouncement } from "@introducer/client"');
  const permute = await size('export { permute, peerIdText } from "@introducer/client"');
  console.log(`compressed: all ${all} bytes, verifyAnnouncement ${verify}, permute ${permute}`);
  expect(all).toBeLessThan(55_000);
  expect(verify).toBeLessThan(15_000);
  expect(permute).toBeLessThan(4_000);
});

// Builds the page into ../dist, the same bytes each time; or, as `build.js test`, its tests into build/.
import { build } from "esbuild";
import { copyFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = {
  absWorkingDir: here("."),
  bundle: true,
  format: "esm",
  jsx: "automatic",
  jsxImportSource: "preact",
  alias: {
    "@introducer/client": here("../client/src/index.ts"),
    "@introducer/client/proto": here("../client/src/gen/introducer/v1/introducer_pb.ts"),
  },
  nodePaths: [here("../client/node_modules")], // the page hashes with the client's library
  logLevel: "warning",
};

if (process.argv[2] === "test") {
  await rm(here("build"), { recursive: true, force: true });
  await build({ ...common, entryPoints: ["test/*.test.ts"], outdir: "build", platform: "node", outExtension: { ".js": ".mjs" } });
} else {
  const out = { ...common, minify: true, target: "es2022", charset: "utf8", legalComments: "none" };
  await build({ ...out, entryPoints: ["src/main.tsx"], outfile: here("../dist/app.js") });
  await build({ ...out, entryPoints: ["src/style.css"], outfile: here("../dist/style.css") });
  await copyFile(here("src/index.html"), here("../dist/index.html"));
  await copyFile(here("src/icon.svg"), here("../dist/icon.svg"));
}

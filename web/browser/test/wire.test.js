// The wire contract from a page's own script, by Connect's own library for browsers.

import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { test } from "node:test";
import { fact, live, openPage, says, startBrowser } from "../browser.js";
import { Introducer, Node, nodes } from "../introducer.js";

const client = new URL("../../client/", import.meta.url);

/** connect-web, the generated messages and our client, as a script that puts them into window.wire. */
async function library() {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { createClient, ConnectError, Code } from "@connectrpc/connect";
        import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
        import { IndexedDBStorage, IntroducerClient } from "./src/index.ts";
        import { IntroducerService } from "./src/gen/introducer/v1/introducer_pb.ts";
        window.wire = { createClient, ConnectError, Code, createConnectTransport, createGrpcWebTransport, IntroducerService, IntroducerClient, IndexedDBStorage };`,
      resolveDir: fileURLToPath(client),
    },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
  });
  return outputFiles[0].text;
}

test("gRPC-Web and Connect from a page", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(nodes(30).map((n) => n.offer("storage")));
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, introducer.url);
  await page.evaluate(await library());

  for (const kind of ["createGrpcWebTransport", "createConnectTransport"]) {
    const signed = new Node(kind).offer("storage");
    const got = await page.evaluate(
      async ({ kind, signed }) => {
        const { createClient, ConnectError, Code, IntroducerService, ...transports } = window.wire;
        const c = createClient(IntroducerService, transports[kind]({ baseUrl: location.origin }));
        const bytes = (b64) => Uint8Array.from(atob(b64), (ch) => ch.charCodeAt(0));
        const out = {};
        const published = await c.publish({ announcements: [{ message: bytes(signed.message), signature: bytes(signed.signature), peerId: bytes(signed.peerId) }] });
        out.outcome = published.results[0].outcome;
        out.peers = Number((await c.getInfo({})).peers);
        out.permuted = (await c.getPermutedPeers({ service: "storage", storageIndex: new Uint8Array(16), limit: 5 })).peers.length;
        out.code = await c.getPeers({ service: "No Service" }).then(() => "none", (e) => Code[ConnectError.from(e).code]);
        const ended = new AbortController();
        out.streamed = 0;
        for await (const { event } of c.subscribe({ services: ["storage"] }, { signal: ended.signal })) {
          if (event.case === "changes") out.streamed += event.value.changes.length;
          if (event.case === "synced") break;
        }
        ended.abort();
        return out;
      },
      { kind, signed },
    );
    const peers = kind === "createGrpcWebTransport" ? 31 : 32;
    assert.deepEqual(got, { outcome: 1, peers, permuted: 5, code: "InvalidArgument", streamed: peers }, kind);
  }
});

test("a page of another website calls where it may, and nowhere else", async (t) => {
  const site = createServer((_, res) => res.setHeader("Content-Type", "text/html").end("<!DOCTYPE html>"));
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  t.after(() => {
    site.closeAllConnections();
    return new Promise((done) => site.close(done));
  });
  const origin = `http://127.0.0.1:${site.address().port}`;
  const page = await (await startBrowser(t)).newPage();
  await page.goto(origin);
  await page.evaluate(await library());
  const call = (url, kind) =>
    page.evaluate(
      async ({ url, kind }) => {
        const { createClient, ConnectError, Code, IntroducerService, ...transports } = window.wire;
        const c = createClient(IntroducerService, transports[kind]({ baseUrl: url }));
        try {
          const { peers } = await c.getPeers({ service: "storage" }, { timeoutMs: 20_000 });
          let streamed = 0;
          for await (const { event } of c.subscribe({ services: ["storage"] })) {
            if (event.case === "changes") streamed += event.value.changes.length;
            if (event.case === "synced") break;
          }
          const code = await c.getPeers({ service: "No Service" }).then(() => "none", (e) => Code[ConnectError.from(e).code]);
          return { peers: peers.length, streamed, code };
        } catch (e) {
          return ConnectError.from(e).rawMessage;
        }
      },
      { url, kind },
    );
  const may = await Introducer.start(t, "--cors-origin", "https://other.example", "--cors-origin", origin);
  const mayNot = await Introducer.start(t);
  for (const introducer of [may, mayNot]) await introducer.publish(nodes(5).map((n) => n.offer("storage")));
  for (const kind of ["createGrpcWebTransport", "createConnectTransport"]) {
    assert.deepEqual(await call(may.url, kind), { peers: 5, streamed: 5, code: "InvalidArgument" }, kind);
    assert.equal(await call(mayNot.url, kind), "Failed to fetch", kind);
  }
});

test("the client's cache in a browser", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(nodes(200).map((n) => n.offer("storage")));
  const page = await openPage(t, await startBrowser(t), introducer.url);
  await page.evaluate(await library());
  const stored = await page.evaluate(async () => {
    const { IntroducerClient, IndexedDBStorage } = window.wire;
    const client = new IntroducerClient({ baseUrl: location.origin, services: ["storage"], storage: new IndexedDBStorage("test") });
    client.start();
    await client.synced();
    await client.stop();
    return { peers: client.peers("storage").length, revision: Number(client.state.token.revision) };
  });
  assert.deepEqual(stored, { peers: 200, revision: 200 });

  // Another run, whose introducer is away: it knows all of them, and verifies them anew.
  await page.reload();
  await page.evaluate(await library());
  const loaded = await page.evaluate(async () => {
    const { IntroducerClient, IndexedDBStorage } = window.wire;
    const away = () => Promise.reject(new Error("away"));
    const client = new IntroducerClient({ baseUrl: location.origin, services: ["storage"], storage: new IndexedDBStorage("test"), fetch: away });
    client.start();
    const state = await client.when((s) => s.peers === 200 && s.checking === 0);
    const peers = client.peers("storage");
    await client.stop();
    return { peers: peers.length, cached: peers.every((p) => p.cached), forged: state.forged, revision: Number(state.token.revision) };
  });
  assert.deepEqual(loaded, { peers: 200, cached: true, forged: 0, revision: 200 });

  // Somebody changed what is stored: that one is not believed.
  await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const open = indexedDB.open("test");
        open.onsuccess = () => {
          const tx = open.result.transaction("peers", "readwrite");
          tx.objectStore("peers").openCursor().onsuccess = ({ target: { result: cursor } }) => {
            cursor.value.signed.message[30] ^= 1;
            cursor.update(cursor.value);
          };
          tx.oncomplete = resolve;
          tx.onabort = reject;
        };
      }),
  );
  await page.reload();
  await page.evaluate(await library());
  const mended = await page.evaluate(async () => {
    const { IntroducerClient, IndexedDBStorage } = window.wire;
    const client = new IntroducerClient({ baseUrl: location.origin, services: ["storage"], storage: new IndexedDBStorage("test") });
    client.start();
    await client.when((s) => s.connection === "live" && s.digest === "same" && s.checking === 0 && s.peers === 200);
    await client.stop();
    return { peers: client.peers("storage").length, forged: client.state.forged };
  });
  assert.deepEqual(mended, { peers: 200, forged: 0 });
});

test("a browser that does not read holds nobody up", async (t) => {
  const introducer = await Introducer.start(t);
  const many = nodes(3000);
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, introducer.url);
  await live(page);

  // In one tab a stream whose body nobody takes; beside it a socket that never reads at all.
  const other = await openPage(t, browser, introducer.url + "/status.json");
  await other.evaluate(async () => {
    const res = await fetch("/introducer.v1.IntroducerService/Subscribe", {
      method: "POST",
      headers: { "Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1" },
      body: new Uint8Array(5),
    });
    window.held = res.body.getReader(); // and that is all
  });
  const { hostname, port } = new URL(introducer.url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  t.after(() => socket.destroy());
  await once(socket, "connect");
  socket.pause();
  socket.write(
    `POST /introducer.v1.IntroducerService/Subscribe HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/connect+proto\r\nConnect-Protocol-Version: 1\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0`,
  );
  await page.evaluate(() => void (location.hash = "#/visitors"));
  await says(page.locator("main"), "3 connected.");

  // Some 20 MB for each subscriber that would read.
  const padding = "x".repeat(1500);
  for (const seqnum of [1, 2, 3, 4]) await introducer.publish(many.map((n) => n.offer("storage", { seqnum, padding })));
  await page.evaluate(() => void (location.hash = "#/peers"));
  await says(fact(page, "Revision"), /^12,000$/);
  await says(fact(page, "Signatures"), "all 3,000 verified here");
});

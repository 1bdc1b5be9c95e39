// An introducer's words changed on their way, by a proxy that lies.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { fact, live, openPage, says, screenshot, startBrowser } from "../browser.js";
import { Introducer, Node, nodes } from "../introducer.js";

/** A proxy before an introducer that puts one text in the place of another of the same length. */
async function startLiar(t, introducer) {
  const lie = { truth: "", untruth: "" };
  const server = createServer((req, res) => {
    const up = request(introducer.url + req.url, { method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.on("data", (chunk) => {
        let bytes = chunk.toString("latin1");
        if (lie.truth !== "") bytes = bytes.replaceAll(lie.truth, lie.untruth);
        res.write(Buffer.from(bytes, "latin1"));
      });
      answer.on("end", () => res.end());
      answer.on("error", () => res.destroy());
    });
    up.on("error", () => res.destroy());
    req.pipe(up);
    res.on("close", () => up.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return { url: `http://127.0.0.1:${server.address().port}`, lie };
}

test("what a lying proxy changes is shown as forged", async (t) => {
  const introducer = await Introducer.start(t);
  const liar = await startLiar(t, introducer);
  const mallory = new Node("honest name");
  await introducer.publish([...nodes(8).map((n) => n.offer("storage", { endpoints: ["https://192.0.2.1/"] })), mallory.offer("storage", { endpoints: ["https://192.0.2.66/"] })]);
  const page = await openPage(t, await startBrowser(t), liar.url);
  await live(page);
  await says(fact(page, "Signatures"), "all 9 verified here");
  await says(fact(page, "Set digest"), "matches");

  // From now on the proxy lies: of what is announced from now on.
  Object.assign(liar.lie, { truth: "mallory's name", untruth: "operator+admin" });
  await introducer.publish([mallory.offer("storage", { seqnum: 2, nickname: "mallory's name" })]);
  await says(page.locator(".alarm"), "Do not trust this introducer.");
  await says(fact(page, "Signatures"), "1 forged");
  const row = page.locator(".table .row.forged");
  await says(row, "operator+admin");
  assert.match(await row.locator(".mark").getAttribute("title"), /^forged: not by this peer over this message/);
  await screenshot(page, "forged");
  assert.equal(await page.locator(".table .mark.verified").count(), 8);
  await page.getByRole("combobox").selectOption("forged");
  await says(page.locator(".found"), "1 of 9 peers");
  await row.getByRole("link").click();
  await says(page.locator(".verdict.forged"), "Forged. not by this peer over this message. What follows is the introducer's word.");

  // A forged peer is in no order, and the introducer's, which has it, differs.
  await page.evaluate(() => void (location.hash = "#/ring/storage/aaisem2ekvthpcezvk54zxpo74"));
  await says(page.locator(".comparison"), /The introducer's order differs from place \d/);
  assert.equal(await page.locator("svg circle.peer").count(), 8);

  // The truth again, and a reload.
  Object.assign(liar.lie, { truth: "", untruth: "" });
  await page.goto(liar.url);
  await page.reload();
  await says(fact(page, "Signatures"), "all 9 verified here");
  await says(page.locator(".table"), "mallory's name");
  assert.equal(await page.locator(".alarm").count(), 0);
});

test("a peer that is kept from the page is missed", async (t) => {
  const introducer = await Introducer.start(t);
  const liar = await startLiar(t, introducer);
  await introducer.publish(nodes(3).map((n) => n.offer("storage")));
  // The bytes of its key: then it is another peer that nobody signed for.
  Object.assign(liar.lie, { truth: new Node("node-2").peerId.toString("latin1"), untruth: new Node("other").peerId.toString("latin1") });
  const page = await openPage(t, await startBrowser(t), liar.url);
  await says(fact(page, "Set digest"), "differs");
  await says(page.locator(".alarm"), "Do not trust this introducer.");
  await says(page.locator(".connection"), "Lost");
});

// The page before a real introducer, clicked through.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fact, live, openPage, says, startBrowser } from "../browser.js";
import { base32, Introducer, Node, nodes } from "../introducer.js";

const storageIndex = "aaisem2ekvthpcezvk54zxpo74";

/** A grid of n nodes that store and serve, and a helper. */
function grid(n) {
  return [
    ...nodes(n).flatMap((node, i) => [
      node.offer("upload_storage", {
        "anonymous-storage-FURL": `pb://${base32(node.peerId.subarray(0, 20))}@tcp:192.0.2.${i % 250}:3456/swissnum${i}`,
        endpoints: [`https://node${i + 1}.example/`],
        ...(i % 2 === 0 && { "permutation-seed-base32": base32(node.peerId.subarray(0, 20)) }),
        ...(i % 3 === 0 && { "ttl-seconds": 86400 }),
      }),
      node.offer("download_storage"),
    ]),
    new Node("larch").offer("helper"),
  ];
}

test("the page", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(grid(300));
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, introducer.url);
  const rows = page.locator(".table .body .row");
  const names = async () => (await rows.locator(".name").allInnerTexts()).map((s) => s.replace(/^\W*(signature verified)?\s*/, "").trim());
  const go = (hash) => page.evaluate((h) => void (location.hash = h), hash);
  await live(page);

  await t.test("says what introducer it is, and that all is verified", async () => {
    await says(fact(page, "Peers"), "601");
    await says(fact(page, "Revision"), "601");
    await says(fact(page, "Signatures"), "all 601 verified here");
    await says(fact(page, "Set digest"), "matches");
    await says(fact(page, "Last restart took"), /\d ms|\d s/);
    const { logId } = await introducer.call("GetInfo", {});
    assert.equal(await fact(page, "Log id").locator("code").getAttribute("title"), Buffer.from(logId, "base64").toString("hex"));
    await says(page.locator(".services"), /All services\s*601.*download_storage\s*300.*helper\s*1.*upload_storage\s*300/s);
    await says(page.locator(".services"), /helper\s*1\s*1 subscriber/);
  });

  await t.test("is a table of all rows, of which it draws some", async () => {
    await page.getByRole("link", { name: /upload_storage/ }).click();
    const table = page.getByRole("table", { name: "Peers" });
    assert.equal(await table.getAttribute("aria-rowcount"), "301");
    assert.ok((await rows.count()) < 80, `${await rows.count()} rows are drawn`);
    await says(rows.first(), "node-1");
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await says(rows.last(), "node-300");
    assert.equal(await rows.last().getAttribute("aria-rowindex"), "301");
    await page.evaluate(() => scrollTo(0, 0));
  });

  await t.test("sorts", async () => {
    const head = (name) => page.getByRole("columnheader", { name });
    await head("Nickname").getByRole("button").click();
    assert.equal(await head("Nickname").getAttribute("aria-sort"), "descending");
    assert.deepEqual((await names()).slice(0, 3), ["node-300", "node-299", "node-298"]);
    await head("Peer id").getByRole("button").click();
    assert.equal(await head("Nickname").getAttribute("aria-sort"), "none");
    const ids = nodes(300).map((n) => n.id).sort();
    assert.equal(await rows.first().locator("code").getAttribute("title"), ids[0]);
    await head("Nickname").getByRole("button").click();
    assert.deepEqual((await names()).slice(0, 3), ["node-1", "node-2", "node-3"]);
  });

  await t.test("searches and filters", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("NODE-29");
    await says(page.locator(".found"), "11 of 300 peers");
    assert.deepEqual(await names(), ["node-29", ...Array.from({ length: 10 }, (_, i) => `node-29${i}`)]);
    await page.keyboard.press("Control+a");
    await page.keyboard.type(nodes(300)[16].id.slice(0, 20));
    await says(page.locator(".found"), "1 of 300 peers");
    assert.deepEqual(await names(), ["node-17"]);
    await page.getByRole("searchbox").fill("swissnum"); // a secret is not searched
    await says(page.locator(".found"), "0 of 300 peers");
    await says(page.locator(".empty"), "No peer is like that.");
    await page.getByRole("searchbox").fill("");
    await page.getByRole("combobox").selectOption("expiring");
    await says(page.locator(".found"), "100 of 300 peers");
    await page.getByRole("combobox").selectOption("all");
  });

  await t.test("goes by keyboard alone", async () => {
    await page.getByRole("columnheader", { name: "Expires" }).getByRole("button").focus();
    await page.keyboard.press("Tab");
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    assert.equal(await focused(), "node-1");
    for (const [key, want] of [["ArrowDown", "node-2"], ["End", "node-300"], ["ArrowUp", "node-299"], ["Home", "node-1"]]) {
      await page.keyboard.press(key);
      await page.waitForFunction((name) => document.activeElement.textContent === name, want);
    }
    await page.keyboard.press("PageDown");
    await page.waitForFunction(() => /^node-1\d$/.test(document.activeElement.textContent));
    // The row with the focus stays, wherever one scrolls to.
    const at = await focused();
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await says(rows, "node-300");
    assert.equal(await focused(), at);
    await page.keyboard.press("Enter");
    await says(page.locator("h1"), at);
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    await page.goBack();
    await says(page.locator(".found"), "300 peers");
  });

  const [first, second] = nodes(2);
  await t.test("shows one peer", async () => {
    await go(`#/peer/upload_storage/${first.id}`);
    await says(page.locator(".verdict"), /Signature verified in this browser: Ed25519 over \d+ bytes/);
    await says(page.locator(".fields"), first.id);
    await says(page.locator(".fields"), /Permutation seed\s*\w{32} 20 bytes$/);
    await says(page.locator(".endpoints"), "pb://192.0.2.0:3456/…");
    assert.ok(!(await page.content()).includes("swissnum0"), "the secret is in the page");
    await page.locator(".endpoints li").first().getByRole("button", { name: "Reveal" }).click();
    await says(page.locator(".endpoints"), `pb://${base32(first.peerId.subarray(0, 20))}@tcp:192.0.2.0:3456/swissnum0`);
    await page.locator(".endpoints").getByRole("button", { name: "Hide" }).click();
    assert.ok(!(await page.content()).includes("swissnum0"), "the secret stays in the page");
    await page.getByRole("button", { name: /Reveal \d+ bytes/ }).click();
    await says(page.locator(".raw"), /^\{"service-name":"upload_storage","seqnum":1,"nickname":"node-1",.*\}$/);
    await page.getByRole("link", { name: "download_storage" }).click();
    await says(page.locator(".fields"), /32 bytes, derived: the peer announced none, so its peer id is hashed/);
    await go("#/peer/upload_storage/nonsense");
    await says(page.locator(".alarm"), "That is no peer id.");
    await go(`#/peer/upload_storage/${new Node("nobody").id}`);
    await says(page.locator(".notice"), "This peer does not offer this service now.");
  });

  await t.test("follows what happens, with history", async () => {
    await go(`#/peer/upload_storage/${second.id}`);
    await says(page.locator("table.plain tbody"), /announced\s*1\s*node-2/);
    await introducer.publish([second.offer("upload_storage", { seqnum: 2, nickname: "renamed" })]);
    await says(page.locator("h1"), "renamed");
    await says(page.locator("table.plain tbody"), /announced\s*2\s*renamed.*announced\s*1\s*node-2/s);
    await introducer.publish([second.offer("upload_storage", { seqnum: 3, withdrawn: true })]);
    await says(page.locator(".notice"), "This peer has withdrawn its announcement");
    await says(page.locator("table.plain tbody"), /withdrawn\s*3.*announced\s*2\s*renamed.*announced\s*1\s*node-2/s);
    await go("#/recent");
    await says(page.locator(".table.gone"), /renamed.*upload_storage.*withdrawn/s);
    const short = new Node("short-lived");
    await introducer.publish([short.offer("helper", { "ttl-seconds": 1 })]);
    await says(page.locator(".table.gone"), /short-lived.*helper.*expired/s);
    // A page opened later has it from the log.
    await page.reload();
    await says(page.locator(".table.gone"), /helper.*expired.*upload_storage.*withdrawn/s);
    await go("#/peers/upload_storage");
    await says(page.locator(".found"), "299 peers");
    await introducer.publish([new Node("a newcomer").offer("upload_storage")]);
    await says(rows.first(), "a newcomer");
  });

  await t.test("shows who visits", async () => {
    await go("#/visitors");
    await says(page.locator("main"), "1 connected.");
    await says(page.locator("table.plain").first(), /status page.*every one/s);
    await says(page.locator("table.plain").nth(1), /a newcomer.*1/s);
  });

  await t.test("draws the ring", async () => {
    await go(`#/ring/upload_storage/${storageIndex}`);
    await says(page.locator(".comparison"), /Computed in this browser; the introducer says the same of all 300 peers/);
    // The order by the rule, computed a third time.
    const si = Buffer.from("00112233445566778899aabbccddeeff", "hex");
    const order = [...nodes(300), new Node("a newcomer")]
      .map((n, i) => ({ name: n.name, at: createHash("sha1").update(si).update(n.peerId.subarray(0, i % 2 === 0 && i < 300 ? 20 : 32)).digest("hex") }))
      .filter((n) => n.name !== "node-2")
      .sort((a, b) => (a.at < b.at ? -1 : 1));
    assert.deepEqual((await names()).slice(0, 10), order.slice(0, 10).map((o) => o.name));
    assert.equal(await page.locator("svg .place").count(), 10);
    assert.equal(await page.locator("svg circle.peer").count(), 300);

    const input = page.getByRole("textbox", { name: "Storage index" });
    await input.fill("00112233445566778899aabbccddeeff");
    await says(page.locator("#index-note"), "read as hexadecimal, 16 bytes");
    assert.deepEqual((await names()).slice(0, 3), order.slice(0, 3).map((o) => o.name));
    await input.fill("no index");
    await says(page.locator("#index-note"), "8 characters; 26 of base32 or 32 hexadecimal digits");
    assert.equal(await input.getAttribute("aria-invalid"), "true");

    await page.locator("input[type=file]").setInputFiles({ name: "<b>a file\u202e", mimeType: "text/plain", buffer: Buffer.from("hello") });
    await says(page.locator("#index-note"), "SHA-256 of <b>a file\\u{202e}, its first 16 bytes; the file stays here");
    assert.equal(await input.inputValue(), base32(createHash("sha256").update("hello").digest().subarray(0, 16)));
    await says(page.locator(".comparison"), "the introducer says the same");
    await page.getByRole("button", { name: "Random" }).click();
    await says(page.locator("#index-note"), "read as base32, 16 bytes");
    await says(page.locator(".comparison"), "the introducer says the same");

    // Who joins and who leaves makes a wave, which passes.
    const joins = page.locator("svg .pulse.joined").waitFor();
    await introducer.publish([new Node("joins").offer("upload_storage")]);
    await joins;
    await says(page.locator(".comparison"), "all 301 peers");
    const leaves = page.locator("svg .pulse.left").waitFor();
    await introducer.publish([new Node("joins").offer("upload_storage", { seqnum: 2, withdrawn: true })]);
    await leaves;
    await page.waitForFunction(() => document.querySelector("svg .pulse") === null);
  });

  await t.test("gives its connection back when nobody looks, and resumes", async () => {
    await page.clock.install();
    await go("#/peers");
    const show = (shown) =>
      page.evaluate((h) => {
        Object.defineProperty(document, "hidden", { value: h, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, !shown);
    await show(false);
    await page.clock.fastForward(61_000);
    await says(page.locator(".connection"), "Paused");
    await introducer.publish([new Node("meanwhile").offer("helper")]);
    await show(true);
    await says(page.locator(".connection"), "Connected");
    await go("#/peers/helper");
    await says(rows, "meanwhile");
  });
});

test("a page opened in the background gives its connection back, too", async (t) => {
  const introducer = await Introducer.start(t);
  const page = await openPage(t, await startBrowser(t), introducer.url, {
    before: async (p) => {
      await p.clock.install();
      await p.addInitScript(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
    },
  });
  await says(page.locator(".connection"), "Connected");
  await page.clock.fastForward(61_000);
  await says(page.locator(".connection"), "Paused");
});

test("how long the introducer runs is by its own clock", async (t) => {
  const introducer = await Introducer.start(t);
  const page = await openPage(t, await startBrowser(t), introducer.url, { before: (p) => p.clock.setFixedTime(new Date("2101-01-01T00:00:00Z")) });
  await says(fact(page, "Running for"), /^\d+ s/);
});

test("an introducer that is not well says so", async (t) => {
  const introducer = await Introducer.start(t);
  const page = await openPage(t, await startBrowser(t), introducer.url, {
    before: (p) =>
      p.route("**/status.json", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), quarantined: "<b>records</b> are \u202emissing", not_ready: "records are missing" } });
      }),
  });
  await says(page.getByRole("alert"), "Quarantined. <b>records</b> are \\u{202e}missing");
  await says(page.locator(".empty"), "Nobody has announced anything yet.");
});

test("without a script there is a plain page", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(grid(3));
  const page = await openPage(t, await startBrowser(t), introducer.url, { javaScriptEnabled: false });
  await page.getByRole("link", { name: "a plain one" }).click();
  await page.getByRole("link", { name: "upload_storage" }).click();
  await says(page.locator("tbody").last(), "node-3");
});

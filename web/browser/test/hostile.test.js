// What strangers can sign and publish, looked at from every side.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { live, openPage, says, startBrowser } from "../browser.js";
import { Introducer, Node } from "../introducer.js";

const hostile = JSON.parse(await readFile(new URL("../../testdata/hostile.json", import.meta.url), "utf8"));

/** Characters that do not print: what is shown has none. */
const hidden = /[^\p{L}\p{M}\p{N}\p{P}\p{S} \n\t]/u;

test("hostile announcements stay text", async (t) => {
  assert.ok(hostile.length >= 60);
  const introducer = await Introducer.start(t);
  const signers = hostile.map((h, i) => ({ ...h, node: new Node(`hostile ${i}`) }));
  const outcomes = await introducer.publish(signers.map((h) => h.node.sign(h.message)), true);
  for (const [i, h] of signers.entries()) assert.equal(outcomes[i], h.accepted ? "ACCEPTED" : "INVALID", h.name);
  const accepted = signers.filter((h) => h.accepted);

  const page = await openPage(t, await startBrowser(t), introducer.url); // and that nothing went wrong in it
  const go = (hash) => page.evaluate((h) => void (location.hash = h), hash);
  const check = async (where) => {
    const found = await page.evaluate(() => ({
      text: document.body.innerText,
      owned: "owned" in window,
      links: [...document.body.querySelectorAll("[href], [src], [action], [formaction]")].map((e) => e.getAttribute("href") ?? e.getAttribute("src") ?? "?"),
      elements: [...new Set([...document.querySelectorAll("body *")].map((e) => e.localName))],
      wide: document.documentElement.scrollWidth > innerWidth,
    }));
    assert.ok(!found.owned, `${where}: a script ran`);
    assert.deepEqual(found.links.filter((l) => !/^#\/[\w/%.-]*$|^#main$/.test(l)), [], `${where}: links`);
    assert.deepEqual(found.elements.filter((e) => ["script", "img", "iframe", "form", "style", "link", "base", "object", "embed", "template", "math", "details"].includes(e)), [], `${where}: elements`);
    assert.equal(hidden.exec(found.text)?.[0].codePointAt(0).toString(16), undefined, `${where}: a hidden character`);
    assert.ok(!found.wide, `${where}: wider than the screen`);
  };

  await live(page);
  await says(page.locator(".overview"), `all ${accepted.length} verified here`);
  const rows = page.locator(".table .body .row");
  const height = await rows.first().evaluate((r) => r.offsetHeight);
  for (let at = 0; at < accepted.length; at += 12) {
    await page.evaluate((y) => scrollTo(0, y), at * height);
    await page.locator(`[data-at="${at}"]`).waitFor();
    await check(`rows from ${at}`);
  }
  // No name is higher or wider than its row.
  assert.equal(await rows.evaluateAll((all) => all.filter((r) => r.scrollWidth > r.clientWidth).length), 0);

  for (const { name, message, node } of accepted) {
    const service = JSON.parse(message)["service-name"];
    await go(`#/peer/${service}/${node.id}`);
    await says(page.locator(".fields"), node.id);
    await page.evaluate(() => document.querySelectorAll("button[aria-expanded=false]").forEach((b) => b.click()));
    await page.waitForFunction(() => document.querySelector("button[aria-expanded=false]") === null);
    await says(page.locator("table.plain tbody"), "announced");
    await check(name);
  }

  // A subscriber calls itself what it likes, too.
  const ended = new AbortController();
  const name = hostile.map((h) => h.message).find((m) => m.includes("\u202egpj"));
  const subscribe = { services: ["constructor"], subscriber: { nickname: `<script>alert(1)</script>${name.slice(0, 80)}`, version: "\u202e<img src=x onerror=alert(1)>" } };
  const body = Buffer.from(JSON.stringify(subscribe));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const res = await fetch(`${introducer.url}/introducer.v1.IntroducerService/Subscribe`, {
    method: "POST",
    headers: { "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1" },
    body: Buffer.concat([head, body]),
    signal: ended.signal,
  });
  assert.equal(res.status, 200);
  await go("#/visitors");
  await says(page.locator("table.plain").first(), "\\u{202e}<img src=x onerror=alert(1)>");
  await check("visitors");
  ended.abort();

  for (const hash of ["#/ring/storage", "#/ring/constructor/__proto__", "#/peers/__proto__", "#/peers/<img src=x>", "#/peer/<b>/<i>", "#/%E0%A4%A", "#//////", "#/recent"]) {
    await go(hash);
    await page.waitForFunction((h) => location.hash === h || location.hash === encodeURI(h), hash);
    await check(hash);
  }
});

// A page that is left open while the introducer goes away and comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fact, live, openPage, says, startBrowser } from "../browser.js";
import { Introducer, Node, nodes } from "../introducer.js";

test("a page left open", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(nodes(50).map((n) => n.offer("storage")));
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, introducer.url);
  await live(page);
  await says(fact(page, "Peers"), /^50$/);
  await page.evaluate(() => { window.sameDocument = true; });
  const connection = page.locator(".connection");
  const logId = () => fact(page, "Log id").locator("code").getAttribute("title");
  const log = await logId();

  await t.test("over a kill", async () => {
    await introducer.kill();
    await says(connection, /Lost.*(last heard|heard just now).*, (next try in|trying)/);
    await says(fact(page, "Peers"), /^50$/); // what was known stays to be looked at
    await introducer.restart();
    await introducer.publish([new Node("after the kill").offer("storage")]);
    await live(page);
    await says(fact(page, "Peers"), /^51$/);
    await says(page.locator(".table"), "after the kill");
    await says(fact(page, "Set digest"), "matches");
  });

  await t.test("over an orderly stop", async () => {
    await introducer.stop();
    await says(connection, "Lost");
    await introducer.restart();
    await introducer.publish([new Node("after the stop").offer("storage")]);
    await live(page);
    await says(fact(page, "Peers"), /^52$/);
    assert.equal(await logId(), log);
  });

  await t.test("over a break in which it was asked for more", async () => {
    const go = (hash) => page.evaluate((h) => void (location.hash = h), hash);
    await introducer.kill();
    await says(connection, "Lost");
    await go(`#/peer/storage/${new Node("node-7").id}`);
    await says(page.locator(".notice"), "It could not be read");
    await introducer.restart();
    await says(page.locator("table.plain tbody"), /announced\s*1\s*node-7/);
    assert.equal(await page.locator(".notice").count(), 0);
    await introducer.kill();
    await says(connection, "Lost");
    await go("#/ring/storage/aaisem2ekvthpcezvk54zxpo74");
    await says(page.locator(".comparison"), "Not compared: ");
    await introducer.restart();
    await says(page.locator(".comparison"), "the introducer says the same of all 52 peers");
    await go("#/peers");
  });

  await t.test("over a wipe", async () => {
    await introducer.kill();
    await introducer.wipe();
    await introducer.restart();
    await introducer.publish([new Node("of the new log").offer("helper")]);
    await live(page);
    await says(fact(page, "Peers"), /^1$/);
    await says(page.locator(".table"), "of the new log");
    assert.equal(await page.locator(".table .body .row").count(), 1);
    await says(fact(page, "Set digest"), "matches");
    await page.waitForFunction((old) => document.querySelector(".log code").title !== old, log);
  });

  await t.test("over the restore of an older copy", async () => {
    await introducer.kill();
    await introducer.backUp();
    await introducer.restart();
    await introducer.publish([new Node("not in the copy").offer("helper"), new Node("of the new log").offer("helper", { seqnum: 2, withdrawn: true })]);
    await says(page.locator(".table"), "not in the copy");
    await says(fact(page, "Revision"), /^3$/);
    await introducer.kill();
    await introducer.restore();
    await introducer.restart();
    await says(page.locator(".table"), "of the new log");
    await live(page);
    await says(fact(page, "Peers"), /^1$/);
    await says(fact(page, "Revision"), /^1$/);
    await says(fact(page, "Set digest"), "matches");
  });

  assert.ok(await page.evaluate(() => window.sameDocument), "the page was loaded anew");
});

// A minute of changes through one page, the introducer killed in the midst of it.

import assert from "node:assert/strict";
import { setInterval } from "node:timers/promises";
import { test } from "node:test";
import { fact, live, openPage, says, startBrowser } from "../browser.js";
import { Introducer, Node } from "../introducer.js";

test("a minute of streaming", async (t) => {
  const introducer = await Introducer.start(t);
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, introducer.url);
  await live(page);
  // How many streams the page opens, and what it shows at the end.
  const streams = [];
  page.on("request", (r) => r.url().endsWith("/Subscribe") && streams.push(r));

  const seconds = 60;
  let published = 0;
  for await (const _ of setInterval(1000)) {
    await introducer.publish([new Node(`second ${published + 1}`).offer("storage")]);
    published++;
    if (published === 30) {
      await introducer.kill();
      await says(page.locator(".connection"), "Lost");
      await introducer.restart();
    }
    if (published === seconds) break;
  }
  await says(fact(page, "Peers"), new RegExp(`^${seconds}$`));
  await says(fact(page, "Signatures"), `all ${seconds} verified here`);
  await says(fact(page, "Set digest"), "matches");
  await says(page.locator(".connection"), "Connected");
  // One that was lost and those that tried to come back: no more than a backoff allows.
  assert.ok(streams.length >= 1 && streams.length <= 8, `${streams.length} streams were begun after the first`);
});

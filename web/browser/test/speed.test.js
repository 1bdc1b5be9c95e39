// Ten thousand peers, and a hundred changes a second. It measures, and fails only where something is
// wrong by far: machines differ.

import assert from "node:assert/strict";
import { setInterval } from "node:timers/promises";
import { test } from "node:test";
import { fact, openPage, says, startBrowser } from "../browser.js";
import { Introducer, nodes } from "../introducer.js";

const peers = 10_000;

/** Notes when what was first seen, and tasks of more than 50 ms: a page that runs one answers to nobody. */
const watch = (page) =>
  page.addInitScript(() => {
    window.times = {};
    window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
    const look = () => {
      const now = performance.now();
      if (document.querySelector(".table .body .row") !== null) window.times.rows ??= now;
      if (document.querySelector(".connection.live") !== null) window.times.heard ??= now;
      if (/^all /.test(document.querySelector(".overview .field:nth-child(4) dd")?.textContent ?? "")) window.times.verified ??= now;
      if (Object.keys(window.times).length < 3) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });

const ms = (n) => `${n.toFixed(0)} ms`;
const longest = (long) => `${long.length} tasks above 50 ms, the longest ${ms(Math.max(0, ...long))}`;

test("speed", async (t) => {
  const introducer = await Introducer.start(t);
  const all = nodes(peers);
  await introducer.publish(all.map((n, i) => n.offer("storage", { endpoints: [`https://node${i}.example/`] })));
  const browser = await startBrowser(t);
  // The browser is warm, as a person's is.
  await (await openPage(t, browser, introducer.url)).close();

  const page = await openPage(t, browser, introducer.url, { before: watch });
  page.setDefaultTimeout(90_000);
  const visit = async (name) => {
    await page.waitForFunction(() => window.times.rows !== undefined && window.times.heard !== undefined && window.times.verified !== undefined);
    const { paint, rows, heard, verified, long } = await page.evaluate(() => ({
      ...window.times,
      long: window.long,
      paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    }));
    t.diagnostic(`${name}, ${peers} peers: first paint ${ms(paint)}, first rows ${ms(rows)}, all heard ${ms(heard)}, all verified ${ms(verified)}; ${longest(long)}`);
    assert.ok(rows < 15_000, `the first rows took ${ms(rows)}`);
  };
  await visit("first visit");
  await page.reload();
  await visit("reload");

  // Each change is one call, as a hundred nodes would make them.
  const seconds = 6;
  await page.evaluate(() => {
    window.long.length = 0;
    window.frames = [];
    let last = performance.now();
    const frame = (now) => {
      window.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  let changes = 0;
  const began = performance.now();
  for await (const _ of setInterval(50)) {
    await Promise.all(all.slice(changes, changes + 5).map((n) => introducer.publish([n.offer("storage", { seqnum: 2 })])));
    changes += 5;
    // Meanwhile somebody scrolls and types.
    await page.mouse.wheel(0, 300);
    if (changes === 200) await page.keyboard.press("/");
    if (changes % 100 === 0) await page.keyboard.type("node"[(changes / 100) % 4]);
    if (changes === 100 * seconds) break;
  }
  const rate = changes / ((performance.now() - began) / 1000);
  await says(fact(page, "Revision"), new RegExp(`^${(peers + changes).toLocaleString("en")}$`));
  const { long, frames } = await page.evaluate(() => ({ long: window.long, frames: window.frames }));
  frames.sort((a, b) => a - b);
  t.diagnostic(`${rate.toFixed(0)} changes/s: ${longest(long)}; of ${frames.length} frames the 99th of a hundred took ${ms(frames[Math.floor(frames.length * 0.99)])}`);
  assert.ok(Math.max(0, ...long) < 3000, "the page stood still");
});

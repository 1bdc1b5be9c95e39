// How it looks: light, dark, on a phone, and the ring.

import assert from "node:assert/strict";
import { test } from "node:test";
import { live, openPage, says, screenshot, startBrowser } from "../browser.js";
import { base32, Introducer, Node } from "../introducer.js";

const trees = [
  "alder", "aspen", "beech", "birch", "cedar", "cherry", "cypress", "douglas", "elm", "fir", "ginkgo", "hazel", "hemlock", "holly", "ironwood", "juniper",
  "katsura", "larch", "linden", "maple", "medlar", "oak", "olive", "pine", "plane", "poplar", "rowan", "spruce", "sycamore", "walnut", "willow", "yew",
];

function grove() {
  return trees.flatMap((name, i) => {
    const node = new Node(name);
    const tub = base32(node.peerId.subarray(0, 20));
    const members = {
      seqnum: 1 + ((i * 37) % 50),
      "anonymous-storage-FURL": `pb://${tub}@tcp:192.0.2.${i + 11}:3456/${base32(node.peerId.subarray(12))}`,
      ...(i % 4 !== 0 && { "permutation-seed-base32": tub }),
      ...(i % 3 === 0 && { "ttl-seconds": 86400 * (1 + (i % 7)) }),
    };
    return [node.offer("download_storage", members), ...(i % 5 !== 0 ? [node.offer("upload_storage", members)] : []), ...(i % 11 === 0 ? [node.offer("helper")] : [])];
  });
}

test("how it looks", async (t) => {
  const introducer = await Introducer.start(t);
  await introducer.publish(grove());
  const browser = await startBrowser(t);
  const ring = "#/ring/upload_storage/aaisem2ekvthpcezvk54zxpo74";
  const brightness = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3);
  const fits = async (page, what) => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} is wider than the screen`);

  const light = await openPage(t, browser, introducer.url, { colorScheme: "light", reducedMotion: "reduce" });
  await live(light);
  await says(light.locator(".overview"), /all \d+ verified here/);
  assert.ok((await brightness(light)) > 200);
  await screenshot(light, "light");
  await light.goto(introducer.url + ring);
  await says(light.locator(".comparison"), "the introducer says the same");
  await screenshot(light, "ring");
  assert.equal(await light.locator(".visits").evaluate((e) => getComputedStyle(e).animationName), "none", "it moves though nothing should");

  const dark = await openPage(t, browser, introducer.url, { colorScheme: "dark" });
  await live(dark);
  await says(dark.locator(".overview"), /all \d+ verified here/);
  assert.ok((await brightness(dark)) < 60);
  await screenshot(dark, "dark");

  const phone = await openPage(t, browser, introducer.url, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  await live(phone);
  await says(phone.locator(".overview"), /all \d+ verified here/);
  await screenshot(phone, "phone");
  await fits(phone, "the table");
  for (const hash of [ring, `#/peer/download_storage/${new Node("alder").id}`, "#/visitors", "#/recent"]) {
    await phone.goto(introducer.url + hash);
    await phone.locator("h1").first().waitFor();
    await fits(phone, hash);
  }
});

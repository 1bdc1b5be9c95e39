// Debian's Chromium, and a page in it that is watched.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

/** Starts a browser, which ends with the test t. */
export async function startBrowser(t) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Root, which is who builds in a container, cannot have the sandbox; and /dev/shm is small there.
    args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-dev-shm-usage"],
  });
  t.after(() => browser.close());
  return browser;
}

/**
 * Opens a page of an introducer. When the test ends, nothing may have gone wrong in it: no request to
 * another host, no dialog, no error, nothing that its security policy had to forbid. Options are
 * Playwright's for a context; before is called with the page before anything is loaded.
 */
export async function openPage(t, browser, url, { before = () => {}, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  const { host } = new URL(url);
  page.on("request", (r) => new URL(r.url()).host === host || wrong.push(`request to ${r.url()}`));
  page.on("dialog", (d) => {
    wrong.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  page.on("pageerror", (e) => wrong.push(`error: ${e.stack}`));
  page.on("popup", () => wrong.push("a window was opened"));
  page.on("console", (m) => {
    // That an introducer is away, or refuses what it should, Chromium says by itself.
    if (m.type() === "error" && !m.text().startsWith("Failed to load resource")) wrong.push(`console: ${m.text()}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  await before(page);
  await page.goto(url);
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  return page;
}

/** Waits until the page says that it is connected and has verified all. */
export async function live(page) {
  await page.locator(".connection.live").waitFor();
}

/** What the page says of one thing in its overview. */
export function fact(page, name) {
  return page.locator(".overview .field").filter({ has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) }).locator("dd");
}

/** Waits until a locator's text matches. */
export async function says(locator, pattern) {
  await locator.filter({ hasText: pattern }).first().waitFor();
}

/** Keeps a picture of the page, where the directory SCREENSHOTS is named; it is looked at for docs/. */
export async function screenshot(page, name) {
  // What moves has come to rest, and no pointer lies on anything.
  await page.mouse.move(0, 0);
  const path = join(process.env.SCREENSHOTS ?? (await mkdtemp(join(tmpdir(), "screenshots-"))), `${name}.png`);
  await page.screenshot({ path, animations: "disabled" });
  if (process.env.SCREENSHOTS === undefined) await rm(dirname(path), { recursive: true });
}

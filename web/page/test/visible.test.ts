import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { about, ago, clip, count, endpointHost, moment, span, visible } from "../src/visible.js";

/** The table that the Go package web/visible is tested by. The tests run in web/page. */
const table = JSON.parse(readFileSync("../visible/testdata/visible.json", "utf8")) as {
  text: [string, string, string][];
  clip: [string, number, string][];
  endpoint: [string, string][];
};

test("a stranger's text is shown as the Go side shows it", () => {
  for (const [name, s, want] of table.text) assert.equal(visible(s), want, name);
  for (const [s, n, want] of table.clip) assert.equal(clip(s, n), want, `${s} in ${n}`);
  for (const [s, want] of table.endpoint) assert.equal(endpointHost(s), want, s);
  assert.equal(visible("a\ud800b"), "a\\u{d800}b");
});

test("numbers and times", () => {
  assert.deepEqual([0, 999, 1000, 1234567, 18446744073709551615n].map(count), ["0", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
  assert.deepEqual([0, 0.0032, 0.99999, 41.5, 307, 12000, 1055000, -90].map(span), ["0 ms", "3.2 ms", "999.9 ms", "41 s", "5 min 7 s", "3 h 20 min", "12 d 5 h", "−1 min 30 s"]);
  assert.deepEqual([0, 59, 60, 7300, 1e6, -5].map(about), ["0 s", "59 s", "1 min", "2 h", "11 d", "0 s"]);
  const t = new Date("2026-11-23T09:00:00.500Z");
  assert.equal(moment(t), "2026-11-23 09:00:00");
  assert.deepEqual([0, 7000, 3 * 3600e3, -5000].map((d) => ago(t, t.getTime() + d)), ["now", "7 s ago", "3 h ago", "now"]);
});

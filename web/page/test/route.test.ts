import assert from "node:assert/strict";
import { test } from "node:test";

import { href, parseRoute, type Route } from "../src/route.js";

test("a route and its address", () => {
  const routes: [Route, string][] = [
    [{ view: "peers", service: "" }, "#/peers"],
    [{ view: "peers", service: "upload_storage" }, "#/peers/upload_storage"],
    [{ view: "peer", service: "a/b", id: "<x>#" }, "#/peer/a%2Fb/%3Cx%3E%23"],
    [{ view: "ring", service: "storage", storageIndex: "" }, "#/ring/storage"],
    [{ view: "ring", service: "storage", storageIndex: "hex:00" }, "#/ring/storage/hex%3A00"],
    [{ view: "recent" }, "#/recent"],
    [{ view: "visitors" }, "#/visitors"],
  ];
  for (const [route, address] of routes) {
    assert.equal(href(route), address);
    assert.deepEqual(parseRoute(address), route);
  }
  for (const other of ["", "#", "#/", "#/nonsense/x", "#/%E0%A4%A", "#//", "#/javascript:alert(1)"]) {
    assert.deepEqual(parseRoute(other), { view: "peers", service: "" }, other);
  }
});

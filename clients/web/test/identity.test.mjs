// Boundary values of UID2's two conditions, in milliseconds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isDueForRefresh, isRefreshable } from "../dist/index.js";

const identity = {
  token: "t",
  refresh_token: "r",
  refresh_from: 1_000_000,
  token_expires: 2_000_000,
  refresh_expires: 3_000_000,
  server_time: 0,
  expires_in: 2000,
  refresh_in: 1000,
};
const without = (...names) => Object.fromEntries(Object.entries(identity).filter(([name]) => !names.includes(name)));

test("refreshable up to and including refresh_expires", () => {
  assert.equal(isRefreshable(identity, 0), true);
  assert.equal(isRefreshable(identity, 2_999_999), true);
  assert.equal(isRefreshable(identity, 3_000_000), true);
  assert.equal(isRefreshable(identity, 3_000_001), false);
});

test("not refreshable without a refresh token", () => {
  assert.equal(isRefreshable(without("refresh_token", "refresh_expires"), 0), false);
  assert.equal(isRefreshable({ ...identity, refresh_token: "" }, 0), false);
});

test("due after refresh_from, not at it", () => {
  assert.equal(isDueForRefresh(identity, 999_999), false);
  assert.equal(isDueForRefresh(identity, 1_000_000), false);
  assert.equal(isDueForRefresh(identity, 1_000_001), true);
});

test("due after token_expires, even where refresh_from is later or absent", () => {
  for (const late of [{ ...identity, refresh_from: 9_000_000 }, without("refresh_from")]) {
    assert.equal(isDueForRefresh(late, 2_000_000), false);
    assert.equal(isDueForRefresh(late, 2_000_001), true);
  }
});

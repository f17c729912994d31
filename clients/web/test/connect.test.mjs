// Tests beside the scenarios: random waits, secrecy, faulty surroundings.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connectBrazeAuth } from "../dist/index.js";
import { Simulation, problem, response, settled } from "./simulation.mjs";

const expired = (signature) => ({ error_code: 22, reason: "EXPIRED", user_id: "u-1", signature });

/** Time for which a page keeps the lock after its attempt, in milliseconds. */
const LAG = 50;

async function loggedIn(given) {
  const simulation = new Simulation(given);
  const page = simulation.page();
  page.auth.login("u-1");
  await settled();
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
  await simulation.advance(LAG);
  simulation.takeLog();
  return { simulation, page };
}

const refreshes = (simulation) => simulation.takeLog().filter((call) => call.refresh).length;

test("full jitter: the wait is anything from 0 to the bound, by chance alone", async () => {
  for (const [random, wait] of [[0, 0], [0.25, 500], [0.999, 1998]]) {
    const { simulation, page } = await loggedIn({ random });
    await simulation.advance(120_000);
    page.braze.fail(expired("t1"));
    await settled();
    await simulation.answer("refresh", ({ reject }) => reject(new TypeError("Failed to fetch")));
    assert.equal(refreshes(simulation), 1, `random ${random}`);
    const soonest = Math.max(wait, LAG);
    await simulation.advance(soonest - 1);
    assert.equal(refreshes(simulation), 0, `random ${random}, too early`);
    await simulation.advance(1);
    assert.equal(refreshes(simulation), 1, `random ${random}`);
  }
});

test("an hour without the server costs few calls, however often the SDK fails", async () => {
  for (const random of [0.05, 0.5, 0.95]) {
    const { simulation, page } = await loggedIn({ random });
    let calls = 0;
    await simulation.advance(120_000);
    for (let second = 0; second < 3600; second++) {
      page.braze.fail(expired("t1"));
      await settled();
      calls += refreshes(simulation);
      while (simulation.open.some((call) => !call.gone)) await simulation.answer("refresh", ({ reject }) => reject(new TypeError("down")));
      await simulation.advance(1000);
      calls += refreshes(simulation);
    }
    assert.ok(calls >= 10 && calls <= 300, `${calls} calls at random ${random}`);
    if (random === 0.5) assert.ok(calls <= 40, `${calls} calls on average luck`);
  }
});

test("no token is logged, whatever happens", async () => {
  const logged = [];
  const methods = Object.keys(console).filter((name) => typeof console[name] === "function");
  const kept = methods.map((name) => console[name]);
  methods.forEach((name) => (console[name] = (...words) => logged.push([name, ...words])));
  try {
    const { simulation, page } = await loggedIn();
    await simulation.advance(120_000);
    page.braze.fail(expired("t1"));
    await settled();
    await simulation.answer("refresh", ({ resolve }) => resolve(response(500, "<html>")));
    await simulation.advance(10_000);
    await simulation.answer("refresh", ({ resolve }) => resolve(response(200, simulation.session(2))));
    page.braze.fail(expired("t2"));
    await simulation.advance(10_000);
    await simulation.answer("refresh", ({ resolve }) => resolve(problem(401, "invalid_token", "after_login")));
    page.auth.login("u-1").catch(() => {});
    await simulation.advance(LAG);
    await simulation.answer("mint", ({ reject }) => reject(new Error("no")));
    await page.auth.logout();
  } finally {
    methods.forEach((name, at) => (console[name] = kept[at]));
  }
  assert.deepEqual(logged, []);
  assert.doesNotMatch(readFileSync(new URL("../dist/index.js", import.meta.url), "utf8"), /\bconsole\b|\bdebugger\b/);
});

test("the refused token is not sent to the server", async () => {
  const { simulation, page } = await loggedIn();
  page.braze.fail(expired("t1"));
  await settled();
  assert.doesNotMatch(JSON.stringify(simulation.takeLog()), /t1/);
});

test("a login that gives no token is an error, and changes nothing", async () => {
  for (const given of [undefined, null, {}, { status: "success" }, { code: "opted_out", retry: "never" }]) {
    const simulation = new Simulation();
    const page = simulation.page();
    const login = page.auth.login("u-1").then(() => "fine", (error) => error.message);
    await settled();
    await simulation.answer("mint", ({ resolve }) => resolve(given));
    assert.equal(await login, "no token");
    assert.deepEqual(simulation.takeLog(), [{ mint: [] }]);
  }
});

test("a login that hangs fails after 15 s, and the next one works", async () => {
  const simulation = new Simulation();
  const page = simulation.page();
  const login = page.auth.login("u-1").then(() => "fine", (error) => error.message);
  await settled();
  await simulation.advance(15_000);
  assert.equal(await login, "no token");
  page.auth.login("u-1");
  await simulation.advance(LAG);
  simulation.open.shift();
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(2)));
  assert.deepEqual(simulation.takeLog().at(-1), { flush: [] });
});

test("an onReloginNeeded that logs in again works", async () => {
  const simulation = new Simulation();
  const page = simulation.page(1, { onReloginNeeded: () => void page.auth.login("u-1") });
  page.auth.login("u-1");
  await settled();
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
  await simulation.advance(LAG);
  page.braze.fail(expired("t1"));
  await settled();
  await simulation.answer("refresh", ({ resolve }) => resolve(problem(401, "invalid_token", "after_login")));
  await simulation.advance(LAG);
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(2)));
  assert.deepEqual(simulation.takeLog().slice(-3), [{ changeUser: ["u-1", "t2"] }, { openSession: [] }, { flush: [] }]);
});

test("what other scripts left in storage does no harm", async () => {
  for (const junk of ["", "{", "null", "5", '"x"', "[]", '{"user":"u-1"}', '{"user":"u-1","token":7}']) {
    const simulation = new Simulation();
    simulation.saved.set("countersign:web", junk);
    const page = simulation.page();
    page.braze.fail(expired("t0"));
    const login = page.auth.login("u-1");
    await settled();
    if (simulation.open.length) await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
    assert.equal(await login, true, junk);
    assert.ok(simulation.takeLog().some((call) => call.openSession), junk);
  }
});

test("the module can be imported where there is no browser, and touches nothing until it is connected", () => {
  assert.equal(typeof globalThis.localStorage, "undefined");
  assert.equal(typeof connectBrazeAuth, "function");
});

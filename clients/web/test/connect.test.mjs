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

/** Opens a page that exchanges credentials. */
const exchanging = (simulation, credential = true) => simulation.page(1, { credential });

test("no credential is logged or stored, whatever happens", async () => {
  const written = [];
  const methods = Object.keys(console).filter((name) => typeof console[name] === "function");
  const kept = methods.map((name) => console[name]);
  methods.forEach((name) => (console[name] = (...words) => written.push(words)));
  const simulation = new Simulation();
  simulation.saved.set = (key, value) => (written.push([key, value]), Map.prototype.set.call(simulation.saved, key, value));
  const credential = (n) => simulation.answer("credential", ({ resolve }) => resolve(`secret-${n}`));
  const exchange = (answer) => simulation.answer("exchange", ({ resolve }) => resolve(answer));
  const errors = [];
  try {
    const page = exchanging(simulation);
    const login = page.auth.login("u-1").catch((error) => errors.push(error));
    await settled();
    await credential(1);
    await exchange(problem(401, "unauthorized", "never"));
    await credential(2);
    await exchange(problem(401, "unauthorized", "never"));
    await login;
    page.auth.login("u-1");
    await simulation.advance(LAG);
    await credential(3);
    await exchange(response(200, simulation.session(1)));
    await simulation.advance(120_000);
    page.braze.fail(expired("t1"));
    await settled();
    await simulation.answer("refresh", ({ resolve }) => resolve(problem(401, "invalid_token", "after_login")));
    await credential(4);
    await exchange(response(500, "<html>"));
    page.auth.logout();
    await settled();
  } finally {
    methods.forEach((name, at) => (console[name] = kept[at]));
  }
  assert.equal(errors.length, 1);
  assert.ok(written.length > 0, "the session is stored");
  assert.doesNotMatch(JSON.stringify([written, errors.map((error) => ({ ...error, text: `${error} ${error.stack}` }))]), /secret/);
  // The simulation accepts a credential in no other call than the exchange.
  const bearers = simulation.takeLog().filter((call) => JSON.stringify(call).includes("secret"));
  assert.ok(bearers.every((call) => call.exchange || call.credential), JSON.stringify(bearers));
});

test("options that cannot work are an error at once", () => {
  const login = async () => ({});
  const credential = () => "c1";
  for (const options of [{ app: "web" }, { app: "web", login, credential }, { credential }, { app: "", credential: "cookie" }]) {
    const connect = () => connectBrazeAuth({}, { endpoint: "https://auth.test", ...options }, {});
    assert.throws(connect, { message: "needs app, and login or credential" });
  }
});

test("a credential function may return at once, throw, and give the word cookie", async () => {
  for (const given of ["c1", "cookie"]) {
    const simulation = new Simulation();
    const page = exchanging(simulation, () => given);
    page.auth.login("u-1");
    await settled();
    assert.deepEqual(simulation.takeLog(), [{ exchange: { app: "web" }, authorization: `Bearer ${given}` }]);
  }
  const error = new Error("not ready");
  const page = exchanging(new Simulation(), () => {
    throw error;
  });
  await assert.rejects(page.auth.login("u-1"), error);
});

test("a credential that hangs: the login fails after 15 s, and what comes late is not sent", async () => {
  const simulation = new Simulation();
  const page = exchanging(simulation);
  const login = page.auth.login("u-1").then(() => "fine", (error) => error.message);
  await settled();
  await simulation.advance(15_000);
  assert.equal(await login, "no token");
  await simulation.answer("credential", ({ resolve }) => resolve("c1"));
  assert.deepEqual(simulation.takeLog(), [{ credential: [] }]);
  page.auth.login("u-1");
  await simulation.advance(LAG);
  await simulation.answer("credential", ({ resolve }) => resolve("c2"));
  assert.deepEqual(simulation.takeLog(), [{ credential: [] }, { exchange: { app: "web" }, authorization: "Bearer c2" }]);
});

test("an hour of refused exchanges costs few calls, however often the SDK fails", async () => {
  const simulation = new Simulation();
  const page = exchanging(simulation, () => "c1");
  page.auth.login("u-1");
  await settled();
  await simulation.answer("exchange", ({ resolve }) => resolve(response(200, simulation.session(1))));
  await simulation.advance(120_000);
  const answers = {
    refresh: () => problem(401, "invalid_token", "after_login"),
    exchange: () => problem(503, "unavailable", 1000),
  };
  simulation.takeLog();
  for (let second = 0; second < 3600; second++) {
    page.braze.fail(expired("t1"));
    await settled();
    for (let open; (open = simulation.open.find((call) => !call.gone)); ) await simulation.answer(open.kind, ({ resolve }) => resolve(answers[open.kind]()));
    await simulation.advance(1000);
  }
  const exchanges = simulation.takeLog().filter((call) => call.exchange).length;
  assert.ok(exchanges >= 10 && exchanges <= 40, `${exchanges} exchanges`);
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

// What is of React Native alone: storage that is asynchronous, slow or broken, and the events of both bridges.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { build } from "esbuild";
import { imported, withGlobals } from "../../core/test/documents.mjs";
import { Simulation, response, settled } from "../../core/test/simulation.mjs";
import { connectBrazeAuth } from "../dist/index.js";
import { connectOn } from "./device.mjs";

/** What the package does not export. */
const internal = (file) => imported(build, { entryPoints: [new URL(`../src/${file}`, import.meta.url).pathname] });
const { keeper } = await internal("storage.ts");
const { failureOf } = await internal("sdk.ts");

const KEY = "countersign:mobile";
const session = (number) => JSON.stringify({ token: `t${number}`, user: "u-1" });

/** Storage whose operations end when the test says so: by `done`, or `fail`. */
function slow(contents = {}) {
  const open = [];
  const operation = (work) => new Promise((resolve, reject) => open.push({ done: () => resolve(work()), fail: () => reject(new Error("no space")) }));
  return {
    contents,
    open,
    getItem: (key) => operation(() => contents[key] ?? null),
    setItem: (key, value) => operation(() => void (contents[key] = value)),
    removeItem: (key) => operation(() => void delete contents[key]),
    /** Ends the oldest operations, of which each may begin another one. */
    async end(how = "done", count = 1) {
      await settled();
      for (; count > 0; count--) {
        open.shift()[how]();
        await settled();
      }
    },
  };
}

/** Timers that never fire. */
const patient = { setTimeout() {}, clearTimeout() {} };

/** A keeper whose storage has been read. */
async function kept(contents) {
  const storage = slow(contents);
  const store = keeper(storage, [KEY], patient);
  await storage.end();
  await store.loaded;
  return { storage, store };
}

test("a session is there when it is kept, and not before; a deleted one is gone at once", async () => {
  const { storage, store } = await kept();
  const saved = store.setItem(KEY, session(1));
  await settled();
  assert.equal(store.getItem(KEY), null);
  await storage.end();
  await saved;
  assert.deepEqual(store.getItem(KEY), session(1));
  assert.deepEqual(storage.contents["countersign.mobile"], session(1));
  const deleted = store.removeItem(KEY);
  assert.equal(store.getItem(KEY), null);
  await storage.end();
  await deleted;
  assert.deepEqual(storage.contents, {});
});

test("writes do not overtake each other, and an older one brings nothing back", async () => {
  const { storage, store } = await kept();
  const all = [store.setItem(KEY, session(1)), store.setItem(KEY, session(2)), store.removeItem(KEY)];
  await settled();
  assert.equal(storage.open.length, 1, "one operation at a time");
  await storage.end("done", 2);
  assert.equal(store.getItem(KEY), null);
  await storage.end();
  await Promise.all(all);
  assert.deepEqual(storage.contents, {});
});

test("where storage fails, the session lasts as long as the process", async () => {
  const { storage, store } = await kept();
  const saved = store.setItem(KEY, session(1));
  await storage.end("fail");
  await saved;
  assert.deepEqual(store.getItem(KEY), session(1));
  // The next write is tried again.
  const next = store.setItem(KEY, session(2));
  await storage.end();
  await next;
  assert.deepEqual(storage.contents["countersign.mobile"], session(2));
});

test("storage that throws is as if it had nothing", async () => {
  const refuse = () => {
    throw new Error("no native module");
  };
  const store = keeper({ getItem: refuse, setItem: refuse, removeItem: refuse }, [KEY], patient);
  await store.loaded;
  await store.setItem(KEY, session(1));
  assert.deepEqual(store.getItem(KEY), session(1));
  await store.removeItem(KEY);
  assert.equal(store.getItem(KEY), null);
});

test("storage that hangs holds up a login for 5 s, and what it answers later changes nothing", async () => {
  const simulation = new Simulation();
  const storage = slow({ "countersign.web": JSON.stringify({ ...simulation.session(9), user: "u-1", at: 0 }) });
  simulation.connect = connectOn(connectBrazeAuth, "ios", { storage });
  const page = simulation.page();
  void page.auth.login("u-1").then((result) => page.record({ loggedIn: result }));
  await simulation.advance(4999);
  assert.deepEqual(simulation.takeLog(), []);
  await simulation.advance(1);
  assert.deepEqual(simulation.takeLog(), [{ mint: [] }]);
  await storage.end("done", 2);
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
  assert.deepEqual(simulation.takeLog(), []);
  await simulation.advance(5000);
  assert.deepEqual(simulation.takeLog(), [{ changeUser: ["u-1", "t1"] }, { flush: [] }, { loggedIn: true }]);
});

test("keys are of characters that expo-secure-store takes, whatever the app's name", async () => {
  const keys = [];
  const read = async (key) => void keys.push(key);
  await keeper({ getItem: read }, ["countersign:my app/ö", "countersign:web/disabled"], patient).loaded;
  assert.deepEqual(keys, ["countersign.my.app..", "countersign.web.disabled"]);
});

test("a failure that comes before the saved session is known is not lost", async () => {
  const simulation = new Simulation();
  const earlier = { ...simulation.session(1), user: "u-1", at: simulation.device() };
  const storage = slow({ "countersign.web": JSON.stringify(earlier) });
  simulation.connect = connectOn(connectBrazeAuth, "android", { storage });
  const page = simulation.page();
  page.braze.fail({ error_code: 22, reason: "EXPIRED", signature: "t1" });
  void page.auth.login("u-1");
  await settled();
  assert.deepEqual(simulation.takeLog(), []);
  await storage.end("done", 2);
  const failure = { reason: "EXPIRED", error_code: 22, platform: "android" };
  assert.deepEqual(simulation.takeLog(), [{ refresh: { refresh_token: "r1", user_id: "u-1", failure } }]);
});

test("both bridges' events, in the core's words", () => {
  const failure = { errorCode: 22, reason: "EXPIRED", userId: "u-1", signature: "t1" };
  const shared = { user_id: "u-1", original_signature: "t1" };
  assert.deepEqual(failureOf({ error_code: 22, ...shared, reason: "EXPIRED" }), failure);
  assert.deepEqual(failureOf({ error_code: 22, ...shared, error_reason: "EXPIRED" }), failure);
  assert.deepEqual(failureOf({ error_code: "22", ...shared, reason: "EXPIRED" }), failure);
  // What is not known: left out on iOS, null or -1 on Android.
  assert.deepEqual(failureOf({ error_code: 25 }), { errorCode: 25 });
  assert.deepEqual(failureOf({ error_code: -1, user_id: null, original_signature: null, error_reason: null }), { errorCode: -1 });
  assert.deepEqual(failureOf({}), { errorCode: -1 });
});

test("an SDK without logout goes on as it is, and so does one that the app cannot initialise anew", async () => {
  for (const sdkLogout of [false, true]) {
    const connect = (braze, options, device) => connectBrazeAuth(braze, { ...options, initialize: sdkLogout ? undefined : () => {} }, device);
    const simulation = new Simulation(connectOn(connect, "ios"), { sdkLogout });
    simulation.saveEarlier("u-1", 1, 60_000);
    const page = simulation.page();
    await page.auth.login("u-1");
    simulation.takeLog();
    const logout = page.auth.logout();
    await settled();
    assert.deepEqual(simulation.takeLog(), [{ forget: [] }, { revoke: { refresh_token: "r1" } }]);
    await simulation.answer("revoke", ({ resolve }) => resolve(response(200, { status: "success" })));
    assert.deepEqual(await logout, { clean: true });
    assert.deepEqual(simulation.takeLog(), []);
  }
});

/** A server on this machine that refreshes and revokes, for as long as `work` takes; `asked` has its requests. */
async function withServer(session, work) {
  const asked = [];
  const server = createServer(async (request, respond) => {
    let body = "";
    for await (const part of request) body += part;
    asked.push([request.method, request.url, JSON.parse(body)]);
    respond.setHeader("Content-Type", "application/json");
    respond.end(JSON.stringify(request.url === "/v1/token/revoke" ? { status: "success" } : session));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await work(`http://127.0.0.1:${server.address().port}`, asked);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("with the clock, the timers and the network of the process", async () => {
  const simulation = new Simulation();
  const contents = new Map();
  const storage = { getItem: async (key) => contents.get(key), setItem: async (key, text) => contents.set(key, text), removeItem: async (key) => contents.delete(key) };
  const calls = [];
  let hear, flushed;
  const names = ["changeUser", "setSdkAuthenticationSignature", "requestContentCardsRefresh", "refreshFeatureFlags"];
  const braze = {
    ...Object.fromEntries(names.map((name) => [name, (...words) => void calls.push([name, ...words])])),
    Events: { SDK_AUTHENTICATION_ERROR: "sdkAuthenticationError" },
    addListener: (_, listener) => (hear = listener),
    requestImmediateDataFlush: () => flushed?.(),
  };
  // The timer of an attempt's deadline must not hold up the test's end.
  const timers = { setTimeout: ((set) => (...words) => set(...words).unref())(setTimeout) };
  await withGlobals(timers, () => withServer(simulation.session(2), async (endpoint, asked) => {
    const options = { app: "mobile", endpoint, login: async () => simulation.session(1) };
    const AppState = { currentState: "active", addEventListener() {} };
    const auth = connectBrazeAuth(braze, options, { storage, AppState, Platform: { OS: "android" } });
    assert.equal(await auth.login(7), true);
    const refreshed = new Promise((done) => (flushed = done));
    hear({ error_code: 22, user_id: "7", original_signature: "t1", error_reason: "EXPIRED" });
    await refreshed;
    assert.deepEqual(calls, [["changeUser", "7", "t1"], ["setSdkAuthenticationSignature", "t2"], ["requestContentCardsRefresh"], ["refreshFeatureFlags"]]);
    assert.deepEqual(await auth.logout(), { clean: true });
    const failure = { reason: "EXPIRED", error_code: 22, user_id: "7", platform: "android" };
    const refresh = ["POST", "/v1/token/refresh", { refresh_token: "r1", user_id: "7", failure }];
    assert.deepEqual(asked, [refresh, ["POST", "/v1/token/revoke", { refresh_token: "r2" }]]);
    assert.equal(contents.size, 0);
  }));
});

test("options that cannot be right are the error of a login", async () => {
  for (const options of [{ login: undefined }, { app: "" }, { credential() {} }]) {
    const connect = (braze, given, device) => connectBrazeAuth(braze, { ...given, ...options }, device);
    const page = new Simulation(connectOn(connect, "ios")).page();
    await assert.rejects(page.auth.login("u-1"), { message: "needs app, and login or credential" });
  }
});

test("without a network module, the app's coming to view ends no wait", async () => {
  const simulation = new Simulation();
  const connect = (braze, options, device) => connectBrazeAuth(braze, options, Object.assign(device, { network: undefined }));
  simulation.connect = connectOn(connect, "ios");
  simulation.saveEarlier("u-1", 1, 1_800_000);
  const page = simulation.page();
  void page.auth.login("u-1");
  await settled();
  await simulation.answer("refresh", ({ resolve }) => resolve(response(502, "<html>")));
  simulation.takeLog();
  page.wake("visibilitychange");
  await settled();
  assert.deepEqual(simulation.takeLog(), []);
  await simulation.advance(1000);
  assert.deepEqual(simulation.takeLog(), [{ refresh: { refresh_token: "r1", user_id: "u-1" } }]);
});

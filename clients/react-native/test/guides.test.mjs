// Runs the TypeScript of the guide and of the README with the package itself; the SDK, the storages and React Native are
// stand-ins.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { build } from "esbuild";
import { blocks, load, withGlobals } from "../../core/test/documents.mjs";
import { Simulation, response, settled } from "../../core/test/simulation.mjs";
import { connectOn } from "./device.mjs";

const [connection, calls] = blocks("docs/clients/react-native.md", "ts");
const [whole, expo, bare] = blocks("clients/react-native/README.md", "ts");

const modules = {
  "@braze/react-native-sdk": "export default phone.braze;",
  "@countersign/braze-react-native": `export const connectBrazeAuth = (...words) => phone.connect(...words);`,
  "@react-native-community/netinfo": "export default phone.network;",
  "@react-native-async-storage/async-storage": "export default phone.storage;",
  "firebase/auth": "export const getAuth = () => phone.firebase;",
  "react-native": "export const { AppState, Platform } = phone;",
  "./secure-store": "export const secureStore = phone.storage;",
};

/** Runs a block that connects, then `login` and `logout` of the client; then `check`, with what the app handed over. */
async function run(text, firebase, check) {
  const braze = { initialize: (...words) => phone.calls.push(["initialize", ...words]) };
  const phone = { connections: [], calls: [], braze, storage: {}, AppState: {}, Platform: { OS: "ios" }, network: {}, firebase };
  phone.connect = (...words) => {
    phone.connections.push(words);
    return { login: async (id) => phone.calls.push(["login", id]), logout: async () => phone.calls.push(["logout"]) };
  };
  const globals = { phone, SDK_API_KEY: "key", BRAZE_ENDPOINT: "sdk.test", user: { id: "u-1" }, idToken: async (fresh) => (fresh ? "fresh" : "cached"), showLogin() {} };
  await withGlobals(globals, async () => {
    await load(build, text, "ts", modules);
    const [[given, options, device]] = phone.connections;
    assert.equal(phone.connections.length, 1);
    assert.equal(given, braze);
    assert.deepEqual(phone.calls.splice(0), [["login", "u-1"], ["logout"]]);
    for (const name of ["storage", "AppState", "Platform"]) assert.equal(device[name], phone[name]);
    const known = ["app", "endpoint", "sdkVersion", "credential", "login", "initialize", "onReloginNeeded"];
    assert.deepEqual(Object.keys(options).filter((name) => !known.includes(name)), []);
    assert.deepEqual([await options.credential(), await options.credential("cached")], ["cached", "fresh"]);
    await check?.(options, device);
  });
}

test("the guide's connection and calls; its credential is Firebase's, and none without a user", async () => {
  const user = { getIdToken: async (fresh) => (assert.equal(typeof fresh, "boolean"), fresh ? "fresh" : "cached") };
  const firebase = { currentUser: null, authStateReady: async () => void (firebase.currentUser = firebase.kept), kept: user };
  await run(connection + calls, firebase, async ({ credential }) => {
    firebase.kept = null;
    assert.equal(await credential(), undefined);
  });
});

test("the README's connection and calls", () =>
  run(whole, undefined, ({ initialize }, { network }) => {
    initialize();
    assert.deepEqual(phone.calls, [["initialize", "key", "sdk.test"]]);
    assert.equal(network, phone.network);
  }));

test("the README's storages are the example's, which the compiler checks", () => {
  const example = (file) => readFileSync(new URL(`../examples/${file}`, import.meta.url), "utf8");
  assert.deepEqual([expo, bare], [example("secure-store.ts"), example("keychain.ts")]);
});

/** What the Keychain or the Keystore has, by each package. */
const vaults = {
  expo: [
    expo,
    { "expo-secure-store": `
      export const AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY = 7;
      const check = ({ keychainAccessible }) => { if (keychainAccessible !== 7) throw Error("locked"); };
      export const getItemAsync = async (key, options) => (check(options), vault.get(key) ?? null);
      export const setItemAsync = async (key, value, options) => (check(options), void vault.set(key, value));
      export const deleteItemAsync = async (key, options) => (check(options), void vault.delete(key));` },
  ],
  bare: [
    bare,
    { "react-native-keychain": `
      export const ACCESSIBLE = { AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY: 7 };
      export const getGenericPassword = async ({ service }) => (vault.has(service) ? { password: vault.get(service) } : false);
      export const setGenericPassword = async (username, password, { service, accessible }) => {
        if (!username || accessible !== 7) throw Error("locked");
        vault.set(service, password);
        return { service };
      };
      export const resetGenericPassword = async ({ service }) => vault.delete(service);` },
  ],
};

for (const [name, [text, itsModules]] of Object.entries(vaults))
  test(`the README's storage (${name}) keeps the session for the next start, until the logout`, async () => {
    const vault = new Map();
    await withGlobals({ vault }, async () => {
      const { secureStore } = await load(build, text, "ts", itsModules);
      const { connectBrazeAuth } = await import("../dist/index.js");
      const simulation = new Simulation(connectOn(connectBrazeAuth, "ios", { storage: secureStore }));
      const first = simulation.page();
      const login = first.auth.login("u-1");
      await settled();
      await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
      assert.equal(await login, true);
      assert.equal(JSON.parse([...vault.values()][0]).refresh_token, "r1");
      simulation.takeLog();
      const next = simulation.page();
      assert.equal(await next.auth.login("u-1"), true);
      assert.deepEqual(simulation.takeLog(), [{ changeUser: ["u-1", "t1"] }, { flush: [] }]);
      const logout = next.auth.logout();
      await settled();
      await simulation.answer("revoke", ({ resolve }) => resolve(response(200, {})));
      await logout;
      assert.equal(vault.size, 0);
    });
  });

// Runs the JavaScript of the web guide and of the READMEs: what a backend hands on at login, and the calls that they show.
// The SDK, the package and the network are stand-ins.

import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "esbuild";
import { blocks, connectedAs, load, withGlobals } from "../../core/test/documents.mjs";
import { response } from "./simulation.mjs";

const PROBLEM = { type: "urn:countersign:problem:opted_out", title: "-", status: 403, detail: "-", code: "opted_out", retry: "never" };
const SESSION = { status: "success", token: "t1", refresh_token: "r1", refresh_in: 1800, expires_in: 3600, server_time: 0 };

test("web: the guide's login passes tokens on, and makes errors of everything else", async () => {
  const modules = {
    "@braze/web-sdk": "export const initialize = () => {};",
    "@countersign/braze-web": `export const connectBrazeAuth = (braze, options) => {
      page.options = options;
      return { login: () => options.login() };
    };`,
    "firebase/auth": "export const getAuth = () => page.firebase;",
  };
  for (const [answer, warned] of [
    [() => response(200, SESSION), undefined],
    [() => response(403, PROBLEM), "opted_out"],
    [() => response(502, "<html>Bad Gateway</html>"), "no token from the backend"],
  ]) {
    const warnings = [];
    const page = {};
    const globals = {
      page,
      SDK_API_KEY: "key",
      BRAZE_ENDPOINT: "https://sdk.test",
      user: { id: "u-1" },
      fetch: async (path, { method }) => (assert.deepEqual([path, method], ["/session/braze", "POST"]), answer()),
      console: { ...console, warn: (...words) => warnings.push(words.at(-1)) },
    };
    await withGlobals(globals, async () => {
      const [connect, login, withBackend] = blocks("docs/clients/web.md", "js");
      await load(build, connectedAs(connect, withBackend) + login, "js", modules);
      const ended = page.options.login().then((session) => session.token, ({ status }) => status);
      assert.equal(await ended, warned ? answer().status : "t1");
    });
    assert.deepEqual(warnings, warned ? [warned] : []);
  }
});

test("web: the guide's credential is Firebase's ID token, a fresh one after a refusal, and none without a user", async () => {
  const modules = {
    "@braze/web-sdk": "export const initialize = () => {};",
    "@countersign/braze-web": `export const connectBrazeAuth = (braze, options) => {
      page.options = options;
      return { login: () => {} };
    };`,
    "firebase/auth": "export const getAuth = () => page.firebase;",
  };
  // Firebase knows the user of a page that was loaded anew a little later.
  const user = { getIdToken: async (fresh) => (assert.equal(typeof fresh, "boolean"), fresh ? "fresh" : "cached") };
  const firebase = { currentUser: null, authStateReady: async () => void (firebase.currentUser = firebase.kept), kept: user };
  const page = { firebase };
  await withGlobals({ page, SDK_API_KEY: "key", BRAZE_ENDPOINT: "https://sdk.test", user: { id: "u-1" } }, async () => {
    const [connect, login] = blocks("docs/clients/web.md", "js");
    await load(build, connect + login, "js", modules);
    assert.deepEqual([await page.options.credential(), await page.options.credential("cached")], ["cached", "fresh"]);
    firebase.kept = null;
    assert.equal(await page.options.credential(), undefined);
    assert.equal(page.options.login, undefined);
  });
});

test("web: the calls that both READMEs show", async () => {
  const imports = `import * as braze from "@braze/web-sdk"; import { connectBrazeAuth } from "@countersign/braze-web";`;
  const modules = {
    "@braze/web-sdk": "export const initialize = (...words) => page.calls.push(['initialize', words[1].enableSdkAuthentication]);",
    "@countersign/braze-web": `export const connectBrazeAuth = (braze, options) => {
      page.options = options;
      return { login: async (id) => page.calls.push(["login", id]), logout: async () => page.calls.push(["logout"]) };
    };`,
    "firebase/auth": "export const getAuth = () => page.firebase;",
  };
  const [withCredential, withBackend] = blocks("clients/web/README.md", "ts");
  for (const [text, loader, first, mode] of [
    [`${imports}\n${blocks("README.md", "js")[0]}`, "js", [["initialize", true]], "credential"],
    [withCredential, "ts", [["initialize", true]], "credential"],
    [connectedAs(withCredential, withBackend), "ts", [["initialize", true]], "login"],
  ]) {
    const page = { calls: [], firebase: { authStateReady: async () => {}, currentUser: { getIdToken: async () => "id token" } } };
    const globals = { page, SDK_API_KEY: "key", BRAZE_ENDPOINT: "https://sdk.test", user: { id: "u-1" }, api: { brazeSession: () => SESSION } };
    await withGlobals(globals, async () => {
      await load(build, text, loader, modules);
      assert.equal(await page.options[mode](), mode === "login" ? SESSION : "id token");
      assert.equal("login" in page.options, mode === "login");
    });
    assert.deepEqual(page.calls, [...first, ["login", "u-1"], ["logout"]]);
    const known = ["app", "endpoint", "sdkVersion", "initialize", "login", "credential", "onReloginNeeded"];
    assert.deepEqual(Object.keys(page.options).filter((name) => !known.includes(name)), []);
  }
});

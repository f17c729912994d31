// Runs the JavaScript of the guides in docs/clients: what a backend hands on at login, and answers that are not about the
// session. The SDK, the platform and the network are stand-ins that record the calls.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { build } from "esbuild";
import { problem, response, settled } from "./simulation.mjs";

const PROBLEM = { type: "urn:countersign:problem:opted_out", title: "-", status: 403, detail: "-", code: "opted_out", retry: "never" };
const SESSION = { status: "success", token: "t1", refresh_token: "r1", refresh_in: 1800, expires_in: 3600, server_time: 0 };

/** The code blocks of a document in one language. */
function blocks(document, language) {
  const text = readFileSync(new URL(`../../../${document}`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block);
}

/** A text whose connection is that of another block. */
const connectedAs = (text, connection) => text.replace(/^const auth = connectBrazeAuth\([^]*?^\}\);\n/m, connection);

/** Imports a text as a module; `modules` are the sources of what it imports. */
async function load(text, loader, modules) {
  const standIns = {
    name: "stand-ins",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^[^.]/ }, ({ path }) => (path in modules ? { path, namespace: "stand-in" } : undefined));
      onLoad({ filter: /./, namespace: "stand-in" }, ({ path }) => ({ contents: modules[path] }));
    },
  };
  const { outputFiles } = await build({
    stdin: { contents: text, loader, resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: "esm",
    logLevel: "silent",
    plugins: [standIns],
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}#${Math.random()}`);
}

/** Runs work with other globals. */
async function withGlobals(globals, work) {
  const kept = Object.keys(globals).map((name) => [name, globalThis[name]]);
  Object.assign(globalThis, globals);
  try {
    await work();
  } finally {
    kept.forEach(([name, value]) => (globalThis[name] = value));
  }
}

/** The React Native guide's client, with what it calls, and a network that answers with `answers` in turn. */
async function reactNative(login, answers = [], endpoint = "https://auth.test", credential) {
  const calls = [];
  const timers = [];
  let onFailure;
  const state = { calls, timers, fail: (failure) => onFailure(failure) };
  const globals = {
    phone: {
      call: (name, ...words) => void calls.push([name, ...words]),
      listen: (_, listener) => (onFailure = listener),
    },
    fetch: async (url, { body, headers }) => {
      calls.push(["post", url, JSON.parse(body), ...(headers.Authorization ? [headers.Authorization] : [])]);
      const answer = answers.shift();
      if (!answer) throw new TypeError("Network request failed");
      return answer;
    },
    setTimeout: (work, wait) => (wait === 15_000 ? 0 : timers.push({ work, wait })),
    clearTimeout: () => {},
  };
  const modules = {
    "@braze/react-native-sdk": `const sdk = (name) => (...words) => phone.call(name, ...words);
      export default { Events: {}, addListener: phone.listen, changeUser: sdk("changeUser"),
        setSdkAuthenticationSignature: sdk("setSignature"), requestImmediateDataFlush: sdk("flush") };`,
    "expo-secure-store": `export const setItemAsync = async (key, value) => phone.call("save", JSON.parse(value).refresh_token);
      export const deleteItemAsync = async () => phone.call("forget");
      export const getItemAsync = async () => null;`,
    "react-native": `export const AppState = { addEventListener() {} }; export const Platform = { OS: "android" };`,
  };
  state.run = (work) => withGlobals(globals, work);
  await state.run(async () => {
    const { connectBrazeAuth } = await load(blocks("docs/clients/react-native.md", "ts")[0], "ts", modules);
    state.auth = connectBrazeAuth({ endpoint, app: "mobile", login, credential, onReloginNeeded: () => calls.push(["relogin"]) });
  });
  return state;
}

test("React Native: a problem document at login is an error with its code, and the SDK gets no user without a token", async () => {
  for (const given of [PROBLEM, {}, null, { token: 7 }]) {
    const phone = await reactNative(async () => given);
    await phone.run(() => assert.rejects(phone.auth.login(123), { message: "no token", ...(given?.code && { code: "opted_out", status: 403 }) }));
    assert.deepEqual(phone.calls, []);
  }
});

test("React Native: only 401, 403 and 409 end a session, and an answer without a token replaces none", async () => {
  const answers = [problem(404, "client_error", "never"), problem(405, "client_error", "never"), response(200, {}), response(200, "null")];
  const phone = await reactNative(async () => ({ ...SESSION }), [...answers, problem(401, "invalid_token", "after_login")], "https://auth.test/");
  await phone.run(async () => {
    await phone.auth.login("u-1");
    phone.fail({ error_code: "22", original_signature: "t1", user_id: "u-1" });
    for (let attempt = 0; attempt < 4; attempt++) {
      await settled();
      assert.equal(phone.timers.length, 1, `attempt ${attempt}`);
      phone.timers.shift().work();
    }
    await settled();
  });
  const report = { error_code: 22, platform: "android" };
  const post = ["post", "https://auth.test/v1/token/refresh", { refresh_token: "r1", user_id: "u-1", failure: report }];
  assert.deepEqual(phone.calls, [["save", "r1"], ["changeUser", "u-1", "t1"], post, post, post, post, post, ["forget"], ["relogin"]]);
});

test("React Native: no timer is longer than a day, whatever the server says", async () => {
  const phone = await reactNative(async () => ({ ...SESSION }), [problem(503, "unavailable", 2 ** 40)]);
  await phone.run(async () => {
    await phone.auth.login("u-1");
    phone.fail({ error_code: 22, original_signature: "t1" });
    await settled();
  });
  assert.equal(phone.timers.length, 1);
  assert.ok(phone.timers[0].wait >= 86_400_000 && phone.timers[0].wait <= 86_700_000, `${phone.timers[0].wait}`);
});

test("React Native: what no refresh cures is reported, once", async () => {
  const phone = await reactNative(async () => ({ ...SESSION }), [new Response(null, { status: 204 })]);
  await phone.run(async () => {
    await phone.auth.login("u-1");
    for (let times = 0; times < 3; times++) phone.fail({ error_code: "25", original_signature: "t1", error_reason: "PUBLIC_KEY_ERROR" });
    await settled();
  });
  const failure = { error_code: 25, reason: "PUBLIC_KEY_ERROR", platform: "android" };
  assert.deepEqual(phone.calls.slice(2), [["post", "https://auth.test/v1/failures", { refresh_token: "r1", failure }]]);
});

test("React Native: a credential is exchanged at login, and when the session is over", async () => {
  const credentials = ["c1", "c2", null];
  const over = () => problem(401, "invalid_token", "after_login");
  const answers = [response(200, SESSION), over(), response(200, { ...SESSION, token: "t2", refresh_token: "r2" }), over()];
  const phone = await reactNative(undefined, answers, undefined, async () => credentials.shift());
  const exchange = (credential) => ["post", "https://auth.test/v1/token/exchange", { app: "mobile" }, `Bearer ${credential}`];
  const refresh = (refresh_token, failure) => ["post", "https://auth.test/v1/token/refresh", { refresh_token, user_id: "u-1", failure }];
  await phone.run(async () => {
    await phone.auth.login("u-1");
    assert.deepEqual(phone.calls.splice(0), [exchange("c1"), ["save", "r1"], ["changeUser", "u-1", "t1"]]);
    phone.fail({ error_code: "22", original_signature: "t1" });
    await settled();
    const failure = { error_code: 22, platform: "android" };
    assert.deepEqual(phone.calls.splice(0), [refresh("r1", failure), exchange("c2"), ["save", "r2"], ["setSignature", "t2"], ["flush"]]);
    phone.fail({ error_code: "22", original_signature: "t2" });
    await settled();
    phone.timers.shift()?.work();
    await settled();
    assert.deepEqual(phone.calls.splice(0), [refresh("r2", failure), ["forget"], ["relogin"]]);
  });
});

test("React Native: a credential that is refused or cannot be had", async () => {
  const refused = () => problem(401, "unauthorized", "never");
  const answers = [refused(), response(200, SESSION), problem(401, "expired_token", "after_login"), refused()];
  const credentials = [null, "c1", "c2", "c3"];
  const phone = await reactNative(undefined, answers, undefined, async () => credentials.shift());
  await phone.run(async () => {
    await assert.rejects(phone.auth.login("u-1"), { message: "no token" });
    assert.deepEqual(phone.calls, []);
    await assert.rejects(phone.auth.login("u-1"), { message: "no token", code: "unauthorized", status: 401 });
    await phone.auth.login("u-1");
    phone.calls.splice(0);
    phone.fail({ error_code: "22", original_signature: "t1" });
    await settled();
    assert.deepEqual(phone.calls.map(([call]) => call), ["post", "post", "forget", "relogin"]);
  });
  const connect = (login, credential) => reactNative(login, [], undefined, credential);
  await assert.rejects(connect(), { message: "needs credential or login" });
  await assert.rejects(connect(async () => SESSION, async () => "c1"), { message: "needs credential or login" });
});

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
      await load(connectedAs(connect, withBackend) + login, "js", modules);
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
    await load(connect + login, "js", modules);
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
      await load(text, loader, modules);
      assert.equal(await page.options[mode](), mode === "login" ? SESSION : "id token");
      assert.equal("login" in page.options, mode === "login");
    });
    assert.deepEqual(page.calls, [...first, ["login", "u-1"], ["logout"]]);
    const known = ["app", "endpoint", "sdkVersion", "initialize", "login", "credential", "onReloginNeeded"];
    assert.deepEqual(Object.keys(page.options).filter((name) => !known.includes(name)), []);
  }
});

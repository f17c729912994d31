// Adapters that are wrong in one place each: the scenarios must notice each of them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { build } from "esbuild";
import { imported } from "../../core/test/documents.mjs";
import { run } from "../../core/test/scenarios.mjs";
import { bridges, bridgesWithText, connectOn, scenarioOn } from "./device.mjs";
import { applicable } from "./scenarios.mjs";

/** What it does, the file of src/, what stands there, what the mutant has in its place; the platform, and its bridge. */
const mutants = [
  ["saves after use", "storage.ts", "return (last =", "kept.set(key, text); void (last =", "ios", bridges],
  ["does not forget what is deleted", "storage.ts", "kept.delete(key);", "", "ios", bridges],
  ["reads the token from another name", "sdk.ts", "event.original_signature", "(event as any).signature", "android", bridges],
  ["reads the user from another name", "sdk.ts", "event.user_id", "(event as any).userId", "ios", bridges],
  ["takes the reason from iOS only", "sdk.ts", "event.reason || event.error_reason", "event.reason", "android", bridges],
  ["takes the reason from Android only", "sdk.ts", "event.reason || event.error_reason", "event.error_reason", "ios", bridges],
  ["leaves codes that are text as they are", "sdk.ts", "Number(event.error_code)", "(event.error_code as any)", "ios", bridgesWithText],
  ["hears another event", "connect.ts", "SDK_AUTHENTICATION_ERROR", "CONTENT_CARDS_UPDATED", "ios", bridges],
  ["refreshes in the background", "connect.ts", '=== "background"', '=== "no such state"', "ios", bridges],
  ["does not look when the app comes to view", "connect.ts", "wake({}));", "{});", "ios", bridges],
  ["does not know when the network is back", "connect.ts", ") wake({});", ") {}", "ios", bridges],
  ["names the web as its platform", "connect.ts", "device.Platform.OS", '"web"', "android", bridges],
  ["does not wait for what was saved", "storage.ts", "loaded,\n", "loaded: Promise.resolve(),\n", "ios", bridges],
  ["takes a refused flush for done", "sdk.ts", "done(refusals === before)", "done(true)", "android", bridges],
  ["takes a failed logout for done", "sdk.ts", "error ? failure() : done()", "done()", "android", bridges],
  ["does not know in its next life that the SDK is disabled", "connect.ts", "?? !!getItem(disabled)", "?? false", "ios", bridges],
];

/** Imports src/ with a text replaced in one file, which must have it. */
function mutated(file, from, to) {
  const change = {
    name: "mutant",
    setup({ onLoad }) {
      onLoad({ filter: new RegExp(`/react-native/src/${file}$`) }, ({ path }) => {
        const text = readFileSync(path, "utf8");
        assert.ok(text.includes(from), `${file} has no ${from}`);
        return { contents: text.replaceAll(from, () => to), loader: "ts" };
      });
    },
  };
  return imported(build, { entryPoints: [new URL("../src/index.ts", import.meta.url).pathname], plugins: [change] });
}

/** The files of the scenarios that fail. */
async function failing(connectBrazeAuth, os, bridge) {
  const failed = [];
  for (const scenario of applicable)
    await run(scenarioOn(os, scenario), connectOn(connectBrazeAuth, os, { bridge })).catch(() => failed.push(scenario.file));
  return failed;
}

test("the adapter as it is fails no scenario", async () => {
  const { connectBrazeAuth } = await mutated("index.ts", "connectBrazeAuth", "connectBrazeAuth");
  for (const os of ["ios", "android"]) assert.deepEqual(await failing(connectBrazeAuth, os, bridgesWithText[os]), []);
});

for (const [name, file, from, to, os, bridge] of mutants)
  test(`a scenario fails where the adapter ${name}`, async () => {
    const { connectBrazeAuth } = await mutated(file, from, to);
    const failed = await failing(connectBrazeAuth, os, bridge[os]);
    assert.notEqual(failed.length, 0);
    assert.ok(failed.length < applicable.length, "it works at all");
  });

// Runs the scenarios that every client must pass, as an app on iOS and one on Android. Their format: ../../README.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { connectBrazeAuth } from "../dist/index.js";
import { bridges, bridgesWithText, connectOn, endings, scenarioOn } from "./device.mjs";
import { applicable, unheard, webOnly } from "./scenarios.mjs";

test("the scenarios that do not apply have several pages or a browser's cookie", () => {
  const others = scenarios.filter(({ given = {} }) => (given.tabs ?? 1) > 1 || given.credential === "cookie");
  assert.deepEqual(webOnly, others.map(({ file }) => file));
  assert.equal(applicable.length + webOnly.length + unheard.length, scenarios.length);
});

test("the READMEs count them", () => {
  const count = `${applicable.length} of ${scenarios.length}`;
  const read = (file) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
  assert.match(read("README.md"), new RegExp(`^\\| React Native, Expo \\|.*\\| ${count}, .*: ${webOnly.length} are .*, ${unheard.length} need`, "m"));
  const all = `${applicable.length} of the ${scenarios.length} scenarios[^]*${webOnly.length} of the others[^]*and ${unheard.length} an SDK`;
  assert.match(read("react-native/README.md"), new RegExp(all));
});

test("or have a flush without success, of which the SDK says nothing", async () => {
  for (const file of unheard) {
    const scenario = scenarios.find((scenario) => scenario.file === file);
    const flushes = scenario.steps.flatMap(({ out = [] }) => out).filter(({ flush }) => flush === "awaited");
    const done = scenario.steps.filter(({ in: { answer } }) => answer?.to === "flush" && answer.done);
    assert.ok(flushes.length > done.length, file);
    await assert.rejects(run(scenarioOn("ios", scenario), connectOn(connectBrazeAuth, "ios")), file);
  }
});

for (const os of ["ios", "android"])
  for (const [shape, options] of [
    ["codes are numbers, logout calls back", { bridge: bridges[os], ending: endings.callback }],
    ["codes are text, logout is a promise", { bridge: bridgesWithText[os], ending: endings.promise }],
  ])
    for (const scenario of applicable)
      test(`${os}, ${shape}, ${scenario.file}: ${scenario.name}`, () =>
        run(scenarioOn(os, scenario), connectOn(connectBrazeAuth, os, options)));

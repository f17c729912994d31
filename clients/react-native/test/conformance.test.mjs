// Runs the scenarios that every client must pass, as an app on iOS and one on Android. Their format: ../../README.md.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { connectBrazeAuth } from "../dist/index.js";
import { bridges, bridgesWithText, connectOn, scenarioOn } from "./device.mjs";
import { applicable, notApplicable } from "./scenarios.mjs";

test("the scenarios that do not apply are those with several pages, or a browser's cookie", () => {
  const others = scenarios.filter(({ given = {} }) => (given.tabs ?? 1) > 1 || given.credential === "cookie");
  assert.deepEqual(notApplicable, others.map(({ file }) => file));
  assert.equal(applicable.length + notApplicable.length, scenarios.length);
});

for (const os of ["ios", "android"])
  for (const [codes, bridge] of [["a number", bridges[os]], ["text", bridgesWithText[os]]])
    for (const scenario of applicable)
      test(`${os}, codes are ${codes}, ${scenario.file}: ${scenario.name}`, () =>
        run(scenarioOn(os, scenario), connectOn(connectBrazeAuth, os, bridge)));

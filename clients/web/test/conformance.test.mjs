// Runs the scenarios that every client must pass.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { connectBrazeAuth } from "../dist/index.js";

for (const scenario of scenarios) test(`${scenario.file}: ${scenario.name}`, () => run(scenario, connectBrazeAuth));

test("the README counts them", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  assert.match(readme, new RegExp(`^\\| web \\|.*\\| all ${scenarios.length} \\|`, "m"));
});

// Runs the scenarios that every client must pass.

import { test } from "node:test";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { connectBrazeAuth } from "../dist/index.js";

for (const scenario of scenarios) test(`${scenario.file}: ${scenario.name}`, () => run(scenario, connectBrazeAuth));

// The scenarios on a platform that is no browser: the core with asynchronous storage.

import { test } from "node:test";
import { build } from "esbuild";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { isForOne, slowly } from "../../core/test/slow.mjs";

const entry = new URL("../../core/src/machine.ts", import.meta.url).pathname;
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
const { machine } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);

for (const scenario of scenarios.filter(isForOne)) {
  test(`asynchronous storage, ${scenario.file}`, () => run(scenario, slowly(machine)));
}

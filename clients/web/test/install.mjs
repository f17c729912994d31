// Installs the packed client in an empty app, as its README says, and imports it: no registry, no build tools.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const app = mkdtempSync(join(tmpdir(), "countersign-app-"));
const run = (program, ...words) => execFileSync(program, words, { cwd: app, encoding: "utf8" });
try {
  execFileSync("npm", ["pack", "--silent", "--pack-destination", app], { cwd: new URL("..", import.meta.url) });
  const [file] = readdirSync(app);
  assert.match(file, /^countersign-braze-web-.*\.tgz$/);
  writeFileSync(join(app, "package.json"), '{ "private": true, "type": "module" }');
  run("npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", `./${file}`);
  assert.deepEqual(readdirSync(join(app, "node_modules", "@countersign")), ["braze-web"]);
  const exported = run("node", "--eval", "console.log(Object.keys(await import('@countersign/braze-web')).join())", "--input-type=module");
  assert.equal(exported.trim(), "connectBrazeAuth,isDueForRefresh,isRefreshable");
  console.log(`${file}: installed and imported`);
} finally {
  rmSync(app, { recursive: true });
}

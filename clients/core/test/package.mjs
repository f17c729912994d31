// Checks of a package as apps get it: its size, and its installation.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Compares the size of a package's dist/index.js, gzipped, with its limit in bytes; the package's folder is a URL. */
export function checkSize(folder, limit) {
  const size = gzipSync(readFileSync(new URL("dist/index.js", folder)), { level: 9 }).length;
  console.log(`dist/index.js: ${size} of ${limit} bytes, gzipped`);
  assert.ok(size <= limit, "too large: remove something");
}

/** Installs the packed client in an empty app, as its README says, and imports it: no registry, no build tools. */
export function checkInstallation(folder, name) {
  const app = mkdtempSync(join(tmpdir(), "countersign-app-"));
  const run = (program, ...words) => execFileSync(program, words, { cwd: app, encoding: "utf8" });
  try {
    execFileSync("npm", ["pack", "--silent", "--pack-destination", app], { cwd: folder });
    const [file] = readdirSync(app);
    assert.match(file, new RegExp(`^countersign-${name}-[\\d.]+\\.tgz$`));
    writeFileSync(join(app, "package.json"), '{ "private": true, "type": "module" }');
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", `./${file}`);
    assert.deepEqual(readdirSync(join(app, "node_modules", "@countersign")), [name]);
    const exported = run("node", "--eval", `console.log(Object.keys(await import('@countersign/${name}')).join())`, "--input-type=module");
    assert.equal(exported.trim(), "connectBrazeAuth,isDueForRefresh,isRefreshable");
    console.log(`${file}: installed and imported`);
  } finally {
    rmSync(app, { recursive: true });
  }
}

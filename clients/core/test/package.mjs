// Checks of a package as apps get it: its size, and its installation.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/**
 * Compares what an app loads of a package with its limit in bytes: `connectBrazeAuth`, bundled, minified and gzipped.
 * Bundlers drop the exports that an app does not use. `build` is esbuild's; the package's folder is a URL.
 */
export async function checkSize(build, folder, limit) {
  const { outputFiles } = await build({
    stdin: { contents: 'export { connectBrazeAuth } from "./dist/index.js";', resolveDir: fileURLToPath(folder) },
    bundle: true,
    format: "esm",
    minify: true,
    write: false,
  });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.log(`connectBrazeAuth: ${size} of ${limit} bytes, gzipped`);
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

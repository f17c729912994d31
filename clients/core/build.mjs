// Makes the dist/ of a client's package, in the folder that it is called in.

import { rmSync, writeFileSync } from "node:fs";

/**
 * Writes dist/index.js: one minified module, with the core in it. tsc writes the types, of both folders, to dist/types.
 * `build` is esbuild's; `name` is the package's folder.
 */
export async function buildPackage(build, name) {
  rmSync("dist", { recursive: true, force: true });
  await build({
    entryPoints: ["src/index.ts"],
    outfile: "dist/index.js",
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2021",
    legalComments: "none",
  });
  writeFileSync("dist/index.d.ts", `export * from "./types/${name}/src/index.js";\n`);
}

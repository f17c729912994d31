// Makes dist/index.js: one minified module, with the core in it. tsc writes the types, of both folders, to dist/types.
import { rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

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
writeFileSync("dist/index.d.ts", 'export * from "./types/web/src/index.js";\n');

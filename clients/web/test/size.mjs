// Checks the size of the client as a browser loads it, minified and gzipped: at most 2.7 KiB.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 2800;
const size = gzipSync(readFileSync(new URL("../dist/index.js", import.meta.url)), { level: 9 }).length;
console.log(`dist/index.js: ${size} of ${LIMIT} bytes, gzipped`);
if (size > LIMIT) {
  console.error("too large: remove something");
  process.exitCode = 1;
}

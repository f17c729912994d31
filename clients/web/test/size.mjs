// The whole client is at most 2 kB as a browser loads it: minified and gzipped.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 2048;
const size = gzipSync(readFileSync(new URL("../dist/index.js", import.meta.url)), { level: 9 }).length;
console.log(`dist/index.js: ${size} of ${LIMIT} bytes, gzipped`);
if (size > LIMIT) {
  console.error("too large: take something out");
  process.exitCode = 1;
}

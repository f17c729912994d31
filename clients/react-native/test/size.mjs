// Minified and gzipped, as an app's bundle has it.

import { build } from "esbuild";
import { checkSize } from "../../core/test/package.mjs";

await checkSize(build, new URL("..", import.meta.url), 3600);

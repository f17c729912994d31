// Minified and gzipped, as a browser loads it: at most 2.75 KiB.

import { checkSize } from "../../core/test/package.mjs";

checkSize(new URL("..", import.meta.url), 2816);

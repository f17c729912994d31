// Checks the size of the client as a browser loads it, minified and gzipped: at most 2.75 KiB. More than the 2.4
// that were meant: the logout alone is 0.4.

import { checkSize } from "../../core/test/package.mjs";

checkSize(new URL("..", import.meta.url), 2816);

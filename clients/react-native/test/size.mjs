// Minified and gzipped, as an app's bundle has it.

import { checkSize } from "../../core/test/package.mjs";

checkSize(new URL("..", import.meta.url), 3750);

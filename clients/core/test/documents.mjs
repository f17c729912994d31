// Code blocks of documents, to be run against stand-ins for what they import.

import { readFileSync } from "node:fs";

/** Code blocks of a document in one language. */
export function blocks(document, language) {
  const text = readFileSync(new URL(`../../../${document}`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block);
}

/** A text whose connection is that of another block. */
export const connectedAs = (text, connection) => text.replace(/^const auth = connectBrazeAuth\([^]*?^\}\);\n/m, connection);

/** Imports what esbuild's `build` makes, each time anew. */
export async function imported(build, options) {
  const { outputFiles } = await build({ bundle: true, write: false, format: "esm", logLevel: "silent", ...options });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}#${Math.random()}`);
}

/** Imports a text as a module; `modules` are the sources of what it imports. */
export function load(build, text, loader, modules) {
  const standIns = {
    name: "stand-ins",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /./ }, ({ path }) => (path in modules ? { path, namespace: "stand-in" } : undefined));
      onLoad({ filter: /./, namespace: "stand-in" }, ({ path }) => ({ contents: modules[path], resolveDir: import.meta.dirname }));
    },
  };
  return imported(build, { stdin: { contents: text, loader, resolveDir: import.meta.dirname }, plugins: [standIns] });
}

/** Runs work with other globals. */
export async function withGlobals(globals, work) {
  const kept = Object.keys(globals).map((name) => [name, globalThis[name]]);
  Object.assign(globalThis, globals);
  try {
    await work();
  } finally {
    kept.forEach(([name, value]) => (globalThis[name] = value));
  }
}

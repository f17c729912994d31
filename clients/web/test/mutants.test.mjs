// The scenarios must notice a client that is wrong: each change below makes one of the core, and at least one scenario has
// to fail with it. A change whose text is not in the core any more is a failure too.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { build } from "esbuild";
import { run, scenarios } from "../../core/test/scenarios.mjs";
import { isForOne, slowly } from "../../core/test/slow.mjs";

/** What is wrong, the text in `core/src/machine.ts`, and what stands there instead. */
const CHANGES = [
  ["uses a token before it is saved", "await store({ ...(answer", "give(answer.token!), await store({ ...(answer"],
  ["makes several attempts at once in a page", "if (!user || flight) return;", "if (!user) return;"],
  ["makes attempts in several pages at once", "(env.navigator.locks?.request(name + user, alone) ?? alone())", "alone()"],
  ["sets a token that was refused", "if (!isSpent && session.token !== applied)", "if (session.token !== applied || isSpent)"],
  ["sets a refused token at login", "spent.has(token) ? undefined : token", "token"],
  ["keeps an older answer", "now.server_time <= answer.server_time!", "true"],
  ["takes any refusal for the end of a session", "if (isLater(answer)) {", "if (answer.token) {"],
  ["ends a logout without a mark", "({ refresh_token, leaving: since } as Saved) : undefined", "undefined : undefined"],
  ["begins a logout without a mark", "if (ours) await store(ours);", "if (ours) memory = ours;"],
  ["does not refresh before a logout", "isStale(mine()!) || !(await", "!(await"],
  ["does not wait for the flush of a logout", "!(await new Promise((done) => braze.requestImmediateDataFlush(done)))", "(braze.requestImmediateDataFlush(), false)"],
  ["does not wipe where push cannot be unregistered", "braze.wipeData!();\n        braze.disableSDK!();", ""],
  ["does not wait for a logout at login", "await depart();", ""],
  ["does not subscribe again", "      braze.subscribeToSdkAuthenticationFailures(onFailure);\n    }", "    }"],
  ["does not finish logouts when it starts", "  void depart();\n\n", "\n"],
  ["does not finish logouts when it is online", "    void depart();\n", ""],
  ["logs out without a deadline", "await Promise.race([work(), over])", "await Promise.race([work()])"],
  ["takes the next user's session for its own", "session ? session.leaving === since : ours", "ours || session?.leaving === since"],
  ["wipes the next user's data in another page", " && !load()?.token) braze", ") braze"],
  ["goes on with a logout that another page has finished", "} else if (ours) begin();", "} else if (ours) ;"],
  ["refreshes content at each token", "if (heard && !leaving &&", "if (!leaving &&"],
  ["refreshes content however often tokens are refused", " && left(Limit.Proven, askedAt) <= 0", ""],
];

/** As above, of a core whose storage is asynchronous. */
const SLOW_CHANGES = [
  ["does not wait until an answer is saved", "await store({ ...(answer", "void store({ ...(answer"],
  ["does not wait until the mark of a logout is gone", "load()?.leaving === since && store());", "load()?.leaving === since && void store());"],
];

/** What an entry of the client exports, with one text of the core replaced. */
async function changed(entry, from, to) {
  const plugin = {
    name: "change",
    setup({ onLoad }) {
      onLoad({ filter: /machine\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        assert.equal(text.split(from).length, 2, `not in the core, or twice: ${from}`);
        return { contents: text.replace(from, () => to), loader: "ts" };
      });
    },
  };
  const { outputFiles } = await build({ entryPoints: [new URL(entry, import.meta.url).pathname], bundle: true, format: "esm", target: "es2021", write: false, logLevel: "silent", plugins: [plugin] });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const onWeb = async (from, to) => (await changed("../src/index.ts", from, to)).connectBrazeAuth;
const slow = async (from, to) => slowly((await changed("../../core/src/machine.ts", from, to)).machine);

/** The first scenario that fails; what a wrong client rejects elsewhere is no failure of the test. */
async function firstFailure(connect, these = scenarios) {
  for (const scenario of these) {
    try {
      await run(scenario, connect);
    } catch {
      return scenario.file;
    }
  }
}

for (const [what, from, to] of CHANGES) {
  test(`a client that ${what} fails`, async (t) => {
    const failed = await firstFailure(await onWeb(from, to));
    assert.ok(failed, "all scenarios pass");
    t.diagnostic(failed);
  });
}

for (const [what, from, to] of SLOW_CHANGES) {
  test(`a client that ${what} fails`, async (t) => {
    const failed = await firstFailure(await slow(from, to), scenarios.filter(isForOne));
    assert.ok(failed, "all scenarios pass");
    t.diagnostic(failed);
  });
}

// Holds the code's table of transitions against that of ../../README.md, and the client against both: it is brought into
// each state, and each event is triggered there.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { build } from "esbuild";
import { Simulation, problem, response, settled } from "./simulation.mjs";

const source = (path) => new URL(`../../${path}`, import.meta.url);

/** The rows of the table under a heading: their cells, without the lines of the head. */
function table(text, heading) {
  const lines = text.slice(text.indexOf(`\n${heading}\n`)).split("\n");
  const start = lines.findIndex((line) => line.startsWith("|"));
  const end = lines.findIndex((line, at) => at > start && !line.startsWith("|"));
  return lines.slice(start, end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

const { outputFiles } = await build({ entryPoints: [source("core/src/states.ts").pathname], format: "esm", write: false });
const { transitions } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
const [[, ...STATES], , ...rows] = table(readFileSync(source("README.md"), "utf8"), "### Events");

test("the README's table of events is that of the code", () => {
  assert.deepEqual(Object.fromEntries(rows.map(([event, ...cells]) => [event, cells])), transitions);
});

const MINUTE = 60_000;
const failure = (signature, members) => ({ error_code: 22, user_id: "u-1", ...(signature && { signature }), ...members });
const none = ({ reject }) => reject(new TypeError("Failed to fetch"));

/** A page with a session whose token is t2; t1 was replaced by it. */
async function ready() {
  const simulation = new Simulation();
  const page = simulation.page();
  page.auth.login("u-1");
  await settled();
  await simulation.answer("mint", ({ resolve }) => resolve(simulation.session(1)));
  await simulation.advance(30 * MINUTE);
  await simulation.answer("refresh", ({ resolve }) => resolve(response(200, simulation.session(2))));
  await simulation.advance(2 * MINUTE);
  return { simulation, page };
}

/** Brings a client into a state. No token is spent but t1, no failure waits, and no answer to the last attempt came. */
const ARRANGED = {
  "signed out": async () => {
    const simulation = new Simulation();
    simulation.saveEarlier("u-1", 2, MINUTE);
    return { simulation, page: simulation.page() };
  },
  ready,
  attempting: async () => {
    const client = await ready();
    await client.simulation.advance(28 * MINUTE);
    return client;
  },
  "backing off": async () => {
    const client = await ARRANGED.attempting();
    await client.simulation.answer("refresh", none);
    // The lock is held a little longer than the attempt.
    await client.simulation.advance(50);
    return client;
  },
};

const isAsking = ({ open }) => open.some(({ kind, gone }) => !gone && ["mint", "refresh"].includes(kind));

/** Which state a client is in, by when it asks next: now, within the longest back-off, later, or never. */
async function stateOf({ simulation }) {
  if (isAsking(simulation)) return "attempting";
  const asks = async (span) => {
    await simulation.advance(span);
    return simulation.takeLog().some((call) => call.refresh);
  };
  if (await asks(6 * MINUTE)) return "backing off";
  return (await asks(120 * MINUTE)) ? "ready" : "signed out";
}

/** Another page changes what is saved. */
const elsewhere = (change) => async ({ simulation, page }) => {
  change(simulation);
  page.wake("storage", { key: "countersign:web" });
  await simulation.advance(50);
};

/** The page was hidden when its token became stale. */
const seenAgain = (event) => async ({ simulation, page }, state) => {
  page.isHidden = true;
  if (state === "ready") await simulation.advance(29 * MINUTE);
  assert.deepEqual(simulation.takeLog(), []);
  page.isHidden = false;
  page.wake(event);
};

/** The server answers the attempt, if there is one. */
const answered = (answer) => async ({ simulation }) => {
  if (isAsking(simulation)) await simulation.answer("refresh", ({ resolve }) => resolve(answer(simulation)));
};

/** Each event, in all the ways in which it comes. */
const TRIGGERS = {
  "`login(user)`": ({ page }) => void page.auth.login("u-7").catch(() => {}),
  "`logout()`": ({ page }) => void page.auth.logout(),
  "failure of the saved token": ({ page }) => page.braze.fail(failure("t2")),
  "failure of a spent token": ({ page }) => page.braze.fail(failure("t1")),
  "failure of another user": ({ page }) => page.braze.fail(failure("t2", { user_id: "u-9" })),
  "failure of an unknown token, or without one": [({ page }) => page.braze.fail(failure("t0")), ({ page }) => page.braze.fail(failure())],
  "failure 25 or 28": ({ page }) => page.braze.fail(failure("t2", { error_code: 25 })),
  // Nothing but the timers of the client passes the time.
  "the timer fires": async ({ simulation }, state) => simulation.advance(state === "ready" ? 28 * MINUTE : 1000),
  "page shown": seenAgain("visibilitychange"),
  "online": seenAgain("online"),
  "the attempt has a token": answered((simulation) => response(200, simulation.session(3))),
  "the session is over": answered(() => problem(401, "invalid_token", "after_login")),
  "no answer, or any other": [answered(() => response(404, {})), answered(() => Promise.reject(new TypeError("Failed to fetch")))],
  "another page saved the session": elsewhere((simulation) => simulation.saveEarlier("u-1", 3, 0)),
  "another page deleted the session": elsewhere((simulation) => simulation.saved.delete("countersign:web")),
};

/** The calls that the actions of a cell are, in their order. */
const CALLS = {
  "–": [],
  "abort": [],
  "keep it": [],
  "mark the token": [],
  "delete": ["forget"],
  "revoke": ["revoke"],
  "report it": ["report"],
  "flush": ["flush"],
  "save": ["save"],
  "tell the app": ["relogin"],
  "set the saved token": ["setSignature"],
  "set its token": ["setSignature"],
};

async function check(state, event, trigger, cell) {
  const client = await ARRANGED[state]();
  client.simulation.takeLog();
  await trigger(client, state);
  await settled();
  const [actions, next = state] = cell.replace(/^→/, "–→").split("→").map((part) => part.trim());
  const calls = actions.split(", ").flatMap((action) => CALLS[action] ?? assert.fail(`no such action: ${action}`));
  if (event === "`login(user)`") calls.push("mint");
  else if (next === "attempting" && state !== next) calls.push("refresh");
  const log = client.simulation.takeLog();
  assert.deepEqual(log.flatMap(Object.keys), calls);
  const set = log.find((call) => call.setSignature);
  if (set) assert.equal(set.setSignature, actions.includes("its") ? "t3" : "t2");
  assert.equal(await stateOf(client), next);
}

for (const [event, cells] of Object.entries(transitions)) {
  for (const [at, cell] of cells.entries()) {
    test(`${STATES[at]}, ${event}: ${cell}`, async () => {
      for (const trigger of [TRIGGERS[event]].flat()) await check(STATES[at], event, trigger, cell);
    });
  }
}

/** The failure that the refresh under way reports. */
const reported = ({ simulation }) => simulation.takeLog().find((call) => call.refresh)?.refresh.failure;
const REPORT = { error_code: 22, user_id: "u-1", platform: "web" };

test("a failure that is kept goes with the next refresh", async () => {
  for (const signature of ["t2", "t0", undefined]) {
    for (const [state, whenNext] of Object.entries({
      "signed out": async ({ simulation, page }) => {
        if (signature !== "t2") await simulation.advance(30 * MINUTE);
        page.auth.login("u-1");
      },
      attempting: async ({ simulation }) => {
        await simulation.answer("refresh", none);
        await simulation.advance(1000);
      },
      ...(signature === "t2" && { "backing off": ({ simulation }) => simulation.advance(1000) }),
    })) {
      const client = await ARRANGED[state]();
      client.page.braze.fail(failure(signature));
      client.simulation.takeLog();
      await whenNext(client);
      await settled();
      assert.deepEqual(reported(client), REPORT, `${state}, ${signature}`);
    }
  }
});

test("a token that is marked is good no more, even where the server gives it again", async () => {
  const client = await ARRANGED.attempting();
  client.page.braze.fail(failure("t2"));
  const { simulation } = client;
  await simulation.answer("refresh", ({ resolve }) => resolve(response(200, simulation.session(3, { token: "t2" }))));
  simulation.takeLog();
  assert.equal(await stateOf(client), "backing off");
});

test("a page that nobody looks at lets a good token lapse; what is refused it replaces", async () => {
  const client = await ready();
  const { simulation, page } = client;
  page.isHidden = true;
  await simulation.advance(120 * MINUTE);
  simulation.takeLog();
  page.braze.fail(failure("t2"));
  await settled();
  assert.deepEqual(reported(client), REPORT);
});

test("after a refusal that the server gave, going online changes nothing", async () => {
  const client = await ARRANGED.attempting();
  const { simulation, page } = client;
  await simulation.answer("refresh", ({ resolve }) => resolve(response(503, { retry: 60_000 })));
  simulation.takeLog();
  page.wake("online");
  await settled();
  assert.deepEqual(simulation.takeLog(), []);
});

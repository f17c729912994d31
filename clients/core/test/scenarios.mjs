// The scenarios that every client must pass, and one run of each. Their format: ../../README.md.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { Simulation, problem, response, settled } from "./simulation.mjs";

const folder = new URL("../../conformance/", import.meta.url);

/** All scenarios, each with its `file`. */
export const scenarios = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((file) => ({ file, ...JSON.parse(readFileSync(new URL(file, folder), "utf8")) }));

/** Runs a scenario with the client that `connect` connects; rejects where the client does anything else. */
export async function run({ why, given = {}, steps }, connect) {
  assert.ok(why, "a scenario says why");
  const simulation = new Simulation(connect, { random: given.random, locks: given.locks, storage: given.storage, deviceClock: given.device_clock, sdkLogout: given.sdk_logout, sdkContent: given.sdk_content });
  if (given.saved) simulation.saveEarlier(given.saved.user_id, given.saved.session, given.saved.age, given.saved);
  const options = { ...(given.endpoint && { endpoint: given.endpoint }), credential: given.credential, ...(given.sdk_version && { sdkVersion: given.sdk_version }), ...(given.deadline && { deadline: given.deadline }) };
  const pages = Array.from({ length: given.tabs ?? 1 }, (_, tab) => simulation.page(tab + 1, options));
  for (const [at, step] of steps.entries()) {
    await trigger(simulation, pages, step.in);
    assert.deepEqual(simulation.takeLog(), step.out ?? [], `step ${at}: ${JSON.stringify(step.in)}`);
  }
}

/** Triggers one event, and runs everything that takes no virtual time. */
export async function trigger(simulation, pages, { tab = 1, ...event }) {
  const [[kind, value]] = Object.entries(event);
  const page = pages[tab - 1];
  const report = (what) => (result) => page.record({ [what]: result });
  const failed = ({ message, code, status }) => page.record({ loginFailed: message, ...(code && { code }), ...(status && { status }) });
  const triggers = {
    login: () => void page.auth.login(value).then(report("loggedIn"), failed),
    logout: () => void page.auth.logout().then((departure) => page.record({ loggedOut: simulation.hasSdkLogout ? departure : [] })),
    reload: () => (pages[tab - 1] = simulation.reload(page)),
    failure: () => page.braze.fail(value),
    failures: () => value.forEach((failure) => page.braze.fail(failure)),
    advance: () => simulation.advance(value),
    device_clock: () => (simulation.deviceClock = value),
    hide: () => (page.isHidden = true),
    show: () => ((page.isHidden = false), page.wake("visibilitychange")),
    freeze: () => (page.isFrozen = true),
    thaw: () => ((page.isFrozen = false), simulation.advance(0)),
    online: () => page.wake("online"),
    answer: () => answer(simulation, value, tab),
  };
  await triggers[kind]();
  await settled();
}

async function answer(simulation, { to, session, credential, done, problem: refusal, status, body, error, retry_after, none, ...options }, tab) {
  const identity = session !== undefined && simulation.session(session, options);
  await simulation.answer(
    to,
    ({ resolve, reject }) => {
      if (none) reject(new TypeError("Failed to fetch"));
      else if (error) reject(new Error(error));
      else if (to === "mint") resolve(identity || body);
      else if (to === "credential") resolve(credential);
      else if (done !== undefined) resolve(done);
      else if (identity) resolve(response(200, identity));
      else if (refusal) resolve(problem(status, refusal.code, refusal.retry, retry_after));
      else resolve(response(status, body ?? {}, retry_after));
    },
    tab,
  );
}

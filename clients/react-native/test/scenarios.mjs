// Which of the shared scenarios apply to an app: one process, one SDK, no cookies of a browser, no news of what was sent.

import { scenarios } from "../../core/test/scenarios.mjs";

/** Events that were not sent: the SDK does not say so. */
export const unheard = ["86-logout-offline.json", "89-logout-tab-closed.json", "103-logout-late-flush.json"];

/** Several pages share a session, or the browser sends a cookie. */
export const webOnly = [
  "100-logout-in-another-tab.json",
  "107-logout-in-two-tabs.json",
  "110-logout-late-tab.json",
  "41-three-tabs.json",
  "42-tabs-log-in-together.json",
  "43-tabs-ahead-of-time.json",
  "44-tabs-without-locks.json",
  "45-tab-logs-out.json",
  "46-tab-switches-user.json",
  "50-tab-takes-over.json",
  "52-late-failure-in-another-tab.json",
  "73-exchange-tabs-log-in.json",
  "74-exchange-tabs-again.json",
  "77-exchange-logout-in-another-tab.json",
  "81-exchange-cookie.json",
];

export const applicable = scenarios.filter(({ file }) => ![...webOnly, ...unheard].includes(file));

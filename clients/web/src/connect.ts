// The client for browsers: the core with the browser's storage, locks and events.

import { connect } from "../../core/src/connect.js";
import type { BrazeAuth, Options } from "../../core/src/options.js";
import type { BrazeSdk } from "../../core/src/sdk.js";
import type { Environment } from "./environment.js";

/** Milliseconds: what one page writes into storage, another reads a little later; 5 were enough in Chromium. */
const LAG = 50;

/** Connects an initialised SDK. Call it before the SDK's `openSession`: a failure with no subscriber is lost. */
export function connectBrazeAuth(braze: BrazeSdk, options: Options, env: Environment = window): BrazeAuth {
  const name = "countersign:" + options.app;
  /** What is saved, by slot, where there is no storage for it. */
  const memory: Record<string, any> = {};
  let isStorageBroken = false;
  const later = (work: () => void): unknown => env.setTimeout(work, LAG);

  return connect(braze, options, env, {
    name: "web",

    load(slot) {
      try {
        if (!isStorageBroken) return JSON.parse(env.localStorage.getItem(name + slot)!);
      } catch {}
      return memory[slot];
    },

    save(slot, content) {
      memory[slot] = content;
      try {
        if (content) env.localStorage.setItem(name + slot, JSON.stringify(content));
        else env.localStorage.removeItem(name + slot);
      } catch {
        isStorageBroken = true;
      }
    },

    lock: (lock, work) =>
      // The next page must see what this one saved.
      env.navigator.locks?.request(name + lock, () => work().then(() => new Promise<void>((over) => later(over)))),

    isHidden: () => env.document.hidden,

    listen(look, online) {
      env.addEventListener("storage", ({ key }) => key === name && later(look));
      env.addEventListener("visibilitychange", look);
      env.addEventListener("online", online);
    },
  });
}

// The client for platforms that are not browsers: what they have, in the form of a browser's window.

import { machine } from "./machine.js";
import type { BrazeAuth, Options } from "./options.js";
import type { Host, Platform, Slot } from "./platform.js";
import type { BrazeSdk } from "./sdk.js";

/** Connects an initialised SDK. Call it before the SDK opens its session: a failure with no subscriber may be lost. */
export function connect(braze: BrazeSdk, options: Options, host: Host, platform: Platform): BrazeAuth {
  const prefix = "countersign:" + options.app;
  const slot = (key: string) => key.slice(prefix.length) as Slot;
  return machine(braze, options, {
    Date: host.Date,
    Math: host.Math,
    setTimeout: (work, milliseconds) => host.setTimeout(work, milliseconds),
    clearTimeout: (timer) => host.clearTimeout(timer),
    fetch: (url, init) => host.fetch(url, init),
    localStorage: {
      getItem: (key) => JSON.stringify(platform.load(slot(key)) ?? null),
      setItem: (key, value) => platform.save(slot(key), JSON.parse(value)),
      removeItem: (key) => platform.save(slot(key)),
    },
    navigator: platform.lock ? { locks: { request: (name, work) => platform.lock!(name.slice(prefix.length), work) ?? work() } } : {},
    document: {
      get hidden() {
        return platform.isHidden();
      },
    },
    addEventListener(type, hear) {
      if (type === "visibilitychange") platform.listen(() => hear({}), () => online());
      if (type === "online") online = () => hear({});
    },
  }, platform.name);

  // The machine listens for both.
  var online = () => {};
}

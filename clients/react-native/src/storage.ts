// What is saved, in storage that is asynchronous. The core reads at once, hence from memory.

import type { Environment } from "../../core/src/environment.js";

/** AsyncStorage fits as it is; the README shows the Keychain and the Keystore behind it. */
export interface Storage {
  getItem(key: string): Promise<string | null | undefined>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
}

type Timers = Pick<Environment, "setTimeout" | "clearTimeout">;

/** Milliseconds until an operation counts as failed: a login must not wait for ever. */
const PATIENCE = 5e3;

/** The keys of expo-secure-store are of letters, digits, ".", "-" and "_". */
const storageKey = (key: string) => key.replace(/[^\w.-]/g, ".");

/** What is saved under `keys`. Where storage fails, it lasts as long as the process. */
export function keeper(storage: Storage, keys: string[], host: Timers) {
  /** What is kept, and what was saved last: an older write that ends later changes nothing. */
  const kept = new Map<string, string>();
  const latest = new Map<string, string>();
  /** The last operation, after which the next one begins: writes must not overtake each other. */
  let last: Promise<unknown>;

  /** Never rejects, and never hangs. */
  const within = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    let timer: unknown;
    const late = new Promise<undefined>((over) => (timer = host.setTimeout(() => over(undefined), PATIENCE)));
    const done = await Promise.race([Promise.resolve().then(work).catch(() => undefined), late]);
    host.clearTimeout(timer);
    return done;
  };

  const read = async (key: string) => {
    const text = await within(() => storage.getItem(storageKey(key)));
    if (text) kept.set(key, text);
  };

  const loaded = (last = Promise.all(keys.map(read)));
  return {
    /** Fulfilled when what an earlier process saved is known. */
    loaded,

    getItem: (key: string) => kept.get(key) ?? null,

    /** Fulfilled when the text is kept, and there to be read. */
    setItem(key: string, text: string): Promise<unknown> {
      latest.set(key, text);
      return (last = last.then(async () => {
        await within(() => storage.setItem(storageKey(key), text));
        if (latest.get(key) === text) kept.set(key, text);
      }));
    },

    removeItem(key: string): Promise<unknown> {
      latest.delete(key);
      kept.delete(key);
      return (last = last.then(() => within(() => storage.removeItem(storageKey(key)))));
    },
  };
}

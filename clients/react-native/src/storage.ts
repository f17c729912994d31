// What is saved, in storage that is asynchronous. The core reads at once, hence from memory.

import { Slot, type Host, type Slots } from "../../core/src/platform.js";

/** AsyncStorage fits as it is; the README shows the Keychain and the Keystore behind it. */
export interface Storage {
  getItem(key: string): Promise<string | null | undefined>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
}

/** Milliseconds until an operation counts as failed: a login must not wait for ever. */
const PATIENCE = 5e3;

/** What an app saves. Where storage fails, it lasts as long as the process. */
export function keeper(storage: Storage, app: string, host: Host) {
  /** What is saved, by slot; and how often it was, so that an older write that ends later changes nothing. */
  const saved: { [S in Slot]?: Slots[S] | undefined } = {};
  const saves = { [Slot.Session]: 0, [Slot.Mark]: 0 };
  /** The last operation, after which the next one begins: writes must not overtake each other. */
  let last: Promise<unknown>;

  /** The keys of expo-secure-store are of letters, digits, ".", "-" and "_". */
  const keyOf = (slot: Slot) => ("countersign." + app + slot).replace(/[^\w.-]/g, ".");

  /** Never rejects, and never hangs. */
  const within = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    let timer: unknown;
    const late = new Promise<undefined>((over) => (timer = host.setTimeout(() => over(undefined), PATIENCE)));
    const done = await Promise.race([Promise.resolve().then(work).catch(() => undefined), late]);
    host.clearTimeout(timer);
    return done;
  };

  const read = async (slot: Slot) => {
    const text = await within(() => storage.getItem(keyOf(slot)));
    try {
      saved[slot] = JSON.parse(text ?? "null") ?? undefined;
    } catch {}
  };

  const loaded = (last = Promise.all([read(Slot.Session), read(Slot.Mark)]));
  return {
    /** Fulfilled when what an earlier process saved is known. */
    loaded,

    load: <S extends Slot>(slot: S): Slots[S] | undefined => saved[slot] as Slots[S] | undefined,

    save<S extends Slot>(slot: S, content?: Slots[S]): Promise<unknown> {
      const count = ++saves[slot];
      const key = keyOf(slot);
      if (!content) saved[slot] = undefined;
      return (last = last.then(async () => {
        await within(() => (content ? storage.setItem(key, JSON.stringify(content)) : storage.removeItem(key)));
        if (content && count === saves[slot]) (saved as { [S in Slot]?: unknown })[slot] = content;
      }));
    },
  };
}

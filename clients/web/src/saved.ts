import type { Environment } from "./environment.js";
import type { Identity } from "./identity.js";

/** An answer as the pages of this origin share it. */
export interface Saved extends Identity {
  user: string;
  /** When it came, by this device's clock. */
  at: number;
}

/** Reads and writes the one saved answer of an app: in localStorage, or in memory where that cannot be had. */
export function shelf(env: Environment, key: string) {
  let memory: Saved | undefined;
  let broken = false;
  const load = (): Saved | undefined => {
    try {
      if (!broken) return JSON.parse(env.storage.getItem(key)!);
    } catch {}
    return memory;
  };
  const store = (saved?: Saved): void => {
    memory = saved;
    try {
      if (saved) env.storage.setItem(key, JSON.stringify(saved));
      else env.storage.removeItem(key);
    } catch {
      broken = true;
    }
  };
  return [load, store] as const;
}

/** What the client needs of the world. Tests bring their own; an app needs none. */
export interface Environment {
  /** Milliseconds by this device's clock. Only differences are used. */
  now(): number;
  /** From 0 up to 1. */
  random(): number;
  setTimer(work: () => void, milliseconds: number): unknown;
  clearTimer(timer: unknown): void;
  fetch(url: string, init: RequestInit): Promise<Response>;
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  /** Runs `work` while no other page of this origin holds the lock of that name. */
  lock(name: string, work: () => Promise<void>): Promise<void>;
  /** Joins a channel between the pages of this origin; what it gives back makes all others hear. */
  join(name: string, hear: () => void): () => void;
  /** Calls back when the page becomes visible or goes online. */
  onWake(wake: (online: boolean) => void): void;
  hidden(): boolean;
}

/** The page's own world. Without Web Locks each page refreshes for itself, which the server forgives. */
export const browser = (): Environment => ({
  now: () => Date.now(),
  random: () => Math.random(),
  setTimer: (work, milliseconds) => setTimeout(work, milliseconds),
  clearTimer: (timer) => clearTimeout(timer as number),
  fetch: (url, init) => fetch(url, init),
  // Where cookies are blocked the very mention throws.
  get storage() {
    return localStorage;
  },
  lock: (name, work) => navigator.locks?.request(name, work) ?? work(),
  join(name, hear) {
    if (!self.BroadcastChannel) return () => {};
    const channel = new BroadcastChannel(name);
    channel.onmessage = hear;
    return () => channel.postMessage(0);
  },
  onWake(wake) {
    addEventListener("online", () => wake(true));
    document.addEventListener("visibilitychange", () => wake(false));
  },
  hidden: () => document.hidden,
});

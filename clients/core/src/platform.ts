import type { Saved } from "./identity.js";

/** What every platform's global object has. Tests bring their own. */
export interface Host {
  /** Milliseconds by this device's clock. Only differences are used. */
  Date: { now(): number };
  Math: { random(): number };
  setTimeout(work: () => void, milliseconds: number): unknown;
  /** Takes what `setTimeout` gave. */
  clearTimeout(timer: any): void;
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** What is saved, by the end of its key. An enum, since its members cost no bytes. */
export const enum Slot {
  Session = "",
  Mark = "/leaving",
}

export interface Slots {
  /** The one session of the app. */
  [Slot.Session]: Saved;
  /** Logouts that are not over. */
  [Slot.Mark]: Mark;
}

/** The mark of logouts that are not over. */
export interface Mark {
  /** Refresh tokens of sessions that the server has not been told to end. */
  owed: string[];
  /** The SDK may still hold data of the user who logged out. */
  open?: boolean | undefined;
}

/** What differs from platform to platform. Each package of a platform brings one. */
export interface Platform {
  /** As reports of failures name it: `web`, `react_native`, … */
  name: string;
  /** What is saved in a slot, as it was saved last, by whichever page. */
  load<S extends Slot>(slot: S): Slots[S] | undefined;
  /**
   * Saves in place of the last one, or deletes that. Where storage is asynchronous, gives a promise that never rejects:
   * `load` has it once it is fulfilled, and not before, since an answer is saved before it is used; it has none at once
   * when it is deleted. Where there is no storage, or it fails, `load` has it from memory.
   */
  save<S extends Slot>(slot: S, content?: Slots[S]): unknown;
  /** Runs work alone among all pages, under a lock of this name. Absent, or undefined: there is no other page. */
  lock?(name: string, work: () => Promise<void>): Promise<void> | undefined;
  /** Whether nobody looks at the app. */
  isHidden(): boolean;
  /**
   * `look`: the app has come to view or left it, or another page has changed what is saved. `online`: the device has a
   * network again. Called once, when the client is connected.
   */
  listen(look: () => void, online: () => void): void;
}

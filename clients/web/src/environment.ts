import type { Host } from "../../core/src/platform.js";

/** What the client needs of a browser's window. Tests bring their own; an app needs none. */
export interface Environment extends Host {
  /** Shared by the pages of an origin. Where cookies are blocked the very mention throws. */
  readonly localStorage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  /** Where there are no Web Locks each page refreshes for itself, which the server forgives. */
  navigator: { locks?: { request(name: string, work: () => Promise<void>): Promise<void> } };
  document: { hidden: boolean };
  /** `storage`: another page of the origin has changed what is stored under `key`. */
  addEventListener(type: "online" | "visibilitychange" | "storage", hear: (event: { key?: string | null }) => void): void;
}

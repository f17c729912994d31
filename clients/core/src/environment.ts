/** What the client needs of a browser's window. A browser has it; another platform makes one. */
export interface Environment {
  /** Milliseconds by this device's clock. Only differences are used. */
  Date: { now(): number };
  Math: { random(): number };
  setTimeout(work: () => void, milliseconds: number): unknown;
  /** Takes what `setTimeout` gave: a number in a window. */
  clearTimeout(timer: any): void;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /**
   * Shared by the pages of an origin. Where cookies are blocked the very mention throws. Asynchronous storage gives
   * promises that are never rejected, and an item once it is kept: nothing is used before it is saved.
   */
  readonly localStorage: {
    getItem(key: string): string | null;
    setItem(key: string, value: string): unknown;
    removeItem(key: string): unknown;
  };
  /** Where there are no Web Locks each page refreshes for itself, which the server forgives. */
  navigator: { locks?: { request(name: string, work: () => Promise<void>): Promise<void> } };
  document: { hidden: boolean };
  /** `storage`: another page of the origin has changed what is stored under `key`. */
  addEventListener(type: "online" | "visibilitychange" | "storage", hear: (event: { key?: string | null }) => void): void;
}

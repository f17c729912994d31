import { inspect } from "node:util";

/** The server's answer, with its names. Absolute times are Unix milliseconds by the server's clock. */
export interface SessionBody {
  readonly token: string;
  readonly token_expires: number;
  readonly refresh_token?: string;
  readonly refresh_from?: number;
  readonly refresh_expires?: number;
  readonly server_time: number;
  readonly degraded?: boolean;
  readonly [more: string]: unknown;
}

/** The end of a session. */
export interface Revocation {
  /** `pending`: the end is on record and is not undone, but some nodes of the service may not know it yet. */
  readonly status: "success" | "pending";
  readonly pendingNodes: number | null;
  /** Unix milliseconds. */
  readonly pendingUntil: number | null;
}

/** 1973-03-03 in milliseconds. Every Unix time in seconds is below it for the next 3,000 years. */
const LEAST_TIME = 1e11;

/**
 * A token and what it takes to get the next one. `console.log`, `String` and `JSON.stringify` show none of the tokens:
 * `forApp()` is what to send to the app.
 */
export class Session {
  readonly #body: SessionBody;

  private constructor(body: SessionBody) {
    this.#body = body;
  }

  /** Reads an answer of the server, e.g. one that was stored. Throws a `SyntaxError`, which quotes nothing of it. */
  static parse(json: string): Session {
    let body: unknown;
    try {
      body = JSON.parse(json);
    } catch {
      body = null;
    }
    if (!isSessionBody(body)) throw new SyntaxError("this is no answer with a token");
    return new Session(body);
  }

  /** The JWT for Braze's SDK. */
  get token(): string {
    return this.#body.token;
  }

  /** Unix milliseconds. */
  get tokenExpires(): number {
    return this.#body.token_expires;
  }

  /** `null` where the app's policy has no refreshing. */
  get refreshToken(): string | null {
    return this.#body.refresh_token ?? null;
  }

  /** Unix milliseconds. */
  get refreshFrom(): number | null {
    return this.#body.refresh_from ?? null;
  }

  /** Unix milliseconds. */
  get refreshExpires(): number | null {
    return this.#body.refresh_expires ?? null;
  }

  /** When the server answered, Unix milliseconds. */
  get serverTime(): number {
    return this.#body.server_time;
  }

  /** The server answered without its store: the token lives at most 15 minutes. */
  get degraded(): boolean {
    return this.#body.degraded === true;
  }

  /** Whether there is a refresh token that is not past its life. `now`: Unix milliseconds, or a `Date`. */
  isRefreshable(now: number | Date = Date.now()): boolean {
    const { refreshToken, refreshExpires } = this;
    const time = milliseconds(now);
    return refreshToken !== null && refreshExpires !== null && time <= refreshExpires;
  }

  /** Whether it is time to refresh, or the token has expired. `now`: Unix milliseconds, or a `Date`. */
  isDueForRefresh(now: number | Date = Date.now()): boolean {
    const time = milliseconds(now);
    return time > this.tokenExpires || (this.refreshFrom !== null && time > this.refreshFrom);
  }

  /** The server's answer, tokens included: the JSON to send to the app. */
  forApp(): SessionBody {
    return { ...this.#body };
  }

  toString(): string {
    return `Session(token expires ${show(this.tokenExpires)}, ${this.refreshToken === null ? "not " : ""}refreshable)`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

const show = (time: number): string => new Date(Math.min(time, 8.64e15)).toISOString();

function milliseconds(now: number | Date): number {
  const time = typeof now === "number" ? now : now.getTime();
  if (!(time >= LEAST_TIME)) throw new RangeError("now must be in milliseconds since 1970, not in seconds");
  return time;
}

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

function isSessionBody(body: unknown): body is SessionBody {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return false;
  const { token, token_expires, server_time, refresh_token, refresh_from, refresh_expires } = body as SessionBody;
  const refreshing =
    refresh_token === undefined || (isText(refresh_token) && isTime(refresh_from) && isTime(refresh_expires));
  return isText(token) && isTime(token_expires) && isTime(server_time) && refreshing;
}

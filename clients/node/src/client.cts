import { randomUUID } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { Answer } from "./answer.cjs";
import { type Outcome, attempt } from "./attempt.cjs";
import { type Code, CountersignError } from "./error.cjs";
import { type Revocation, Session } from "./session.cjs";

export interface Options {
  /** The service's address, such as `https://auth.example.com`. */
  readonly url: string;
  /** Of `countersign clients create`. */
  readonly apiKey: string;
  /** Longest time until a connection stands, TLS included, in milliseconds. Default: 2000. */
  readonly connectTimeout?: number;
  /** Longest time of a call, a repetition included, in milliseconds. Default: 5000. */
  readonly timeout?: number;
  /** Certificates (PEM) of a private authority; without it, those that Node trusts. */
  readonly ca?: string;
}

export interface GenerateOptions {
  /** A lifetime shorter than the app's, in seconds. */
  readonly ttl?: number;
}

export interface RefreshOptions {
  /** A guard: if the session is another user's, the error is `user_mismatch`, and nothing changes. */
  readonly userId?: string;
  /** What the SDK reported, as it came. */
  readonly failure?: Readonly<Record<string, unknown>>;
}

/** Time that a repetition is worth, milliseconds. */
const LEAST_TIME_LEFT = 500;
const LONGEST_WAIT = 86_400_000;
const USER_AGENT = "countersign-node/0.1.0";
/** Connections that are idle for longer are closed: the service closes them after 75 s, proxies often after 60 s. */
const IDLE = 30_000;

/** A Countersign server, for as many calls at a time as you like; make one for the process. */
export class Countersign {
  readonly connectTimeout: number;
  readonly timeout: number;
  readonly #url: string;
  readonly #apiKey: string;
  readonly #agent: http.Agent;

  constructor({ url, apiKey, connectTimeout = 2000, timeout = 5000, ca }: Options) {
    this.#url = address(url);
    this.#apiKey = printable("apiKey", apiKey);
    this.connectTimeout = positive("connectTimeout", connectTimeout);
    this.timeout = positive("timeout", timeout);
    const options = { keepAlive: true, timeout: IDLE };
    const secure = this.#url.startsWith("https:");
    this.#agent = secure ? new https.Agent({ ...options, ...(ca !== undefined && { ca }) }) : new http.Agent(options);
  }

  /** Mints the first token of a user who just logged in. `userId` is the string that the app gives to `changeUser`. */
  async generate(app: string, userId: string, { ttl }: GenerateOptions = {}): Promise<Session> {
    const body = { app: text("app", app), user_id: text("userId", userId), ttl };
    return this.#session("generate", body, { Authorization: `Bearer ${this.#apiKey}` });
  }

  /** Exchanges a refresh token for the next token. */
  async refresh(refreshToken: string, { userId, failure }: RefreshOptions = {}): Promise<Session> {
    const user_id = userId === undefined ? undefined : text("userId", userId);
    return this.#session("refresh", { refresh_token: text("refreshToken", refreshToken), user_id, failure });
  }

  /** Ends a session, whether or not it is known. */
  async revoke(refreshToken: string): Promise<Revocation> {
    const [json, error] = await this.#call("/v1/token/revoke", { refresh_token: text("refreshToken", refreshToken) });
    const { status, pending_nodes, pending_until } = object(json) ?? {};
    if (status !== "success" && status !== "pending") throw error("not_understood");
    return { status, pendingNodes: numberOrNull(pending_nodes), pendingUntil: numberOrNull(pending_until) };
  }

  /** Reports a failure for which no refresh is sent. `failure`: what the SDK reported, as it came. */
  async reportFailure(refreshToken: string, failure: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#call("/v1/failures", { refresh_token: text("refreshToken", refreshToken), failure });
  }

  /** `generate`, as the answer that a route gives to its app. Never throws, and never rejects. */
  async answer(app: string, userId: string, options: GenerateOptions = {}): Promise<Answer> {
    try {
      return Answer.success((await this.generate(app, userId, options)).forApp());
    } catch (error) {
      return Answer.failure(error instanceof Error ? error : new Error("countersign: unknown error"));
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #session(verb: "generate" | "refresh", body: object, headers: Record<string, string> = {}): Promise<Session> {
    const [json, error] = await this.#call(`/v1/token/${verb}`, body, headers);
    try {
      return Session.parse(json);
    } catch {
      throw error("not_understood");
    }
  }

  /** Sends, once again after a 503 if the wait fits, and returns the text of a success. */
  async #call(path: string, body: object, credential: Record<string, string> = {}): Promise<[string, MakeError]> {
    const deadline = performance.now() + this.timeout;
    const requestId = randomUUID();
    const headers = { "Content-Type": "application/json", "User-Agent": USER_AGENT, "X-Request-Id": requestId };
    const call = {
      url: new URL(this.#url + path),
      agent: this.#agent,
      headers: { ...headers, ...credential },
      body: JSON.stringify(body),
      deadline,
      connectTimeout: this.connectTimeout,
    };
    for (let repeated = false; ; repeated = true) {
      const outcome = await attempt(call);
      const status = "status" in outcome ? outcome.status : null;
      const error: MakeError = (code, wait = null) => new CountersignError(code, status, wait, requestId);
      if (outcome.kind === "answer" && outcome.status >= 200 && outcome.status < 300) return [outcome.text, error];
      const [code, wait] = refusal(outcome);
      // Only an answer is repeated: after a time-out the session may exist.
      const fits = wait !== null && wait + LEAST_TIME_LEFT <= deadline - performance.now();
      if (repeated || status !== 503 || !fits) throw error(code, wait);
      await sleep(wait);
    }
  }

  toString(): string {
    return `Countersign(${this.#url})`;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

type MakeError = (code: Code, wait?: number | null) => CountersignError;

/** Code and wait of what is no success. */
function refusal(outcome: Outcome): [Code, number | null] {
  if (outcome.kind !== "answer") return [outcome.kind === "too_large" ? "not_understood" : outcome.kind, null];
  const ours = /^application\/problem\+json\b/i.test(outcome.headers["content-type"] ?? "");
  const { code, retry } = (ours && object(outcome.text)) || {};
  const known = typeof code === "string" && /^[a-z][a-z_]{0,39}$/.test(code);
  const header = outcome.headers["retry-after"] ?? "";
  const said = known && typeof retry === "number" ? retry : -1;
  const inHeader = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : -1;
  const wait = Math.min(Math.max(said, inHeader), LONGEST_WAIT);
  return [known ? code : "not_understood", wait < 0 ? null : wait];
}

function object(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" ? (value as Record<string, unknown> | null) : null;
  } catch {
    return null;
  }
}

const numberOrNull = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** A number is no user id: 007 and 7 would be one, and large ids lose digits. */
function text(name: string, value: string): string {
  if (typeof value === "string") return value;
  throw new TypeError(`${name} must be a string, not ${typeof value}: String(id) makes one`);
}

function positive(name: string, value: number): number {
  if (!(value > 0 && value < 2 ** 31)) throw new RangeError(`${name} must be a number of milliseconds above 0`);
  return value;
}

function printable(name: string, value: string): string {
  if (!/^[\x21-\x7e]+$/.test(text(name, value))) {
    throw new TypeError(`${name} is empty, or has a blank, a line break or a character outside of ASCII`);
  }
  return value;
}

function address(url: string): string {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new TypeError("url is no address");
  }
  const { protocol, username, password, search, hash } = parsed;
  if (!/^https?:$/.test(protocol) || username || password || search || hash) {
    throw new TypeError("url must be https://host[:port][/path], without credentials, query or fragment");
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}

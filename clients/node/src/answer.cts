import { inspect } from "node:util";
import { CountersignError } from "./error.cjs";
import type { SessionBody } from "./session.cjs";

/** What the app gets where there is no token. */
export interface ProblemBody {
  readonly status: number;
  readonly code: string;
  readonly retry: "never" | number;
}

/** Wait where nobody says one, milliseconds. */
const DEFAULT_WAIT = 5000;

/** What a route answers to the app. `console.log`, `String` and `JSON.stringify` do not show the body. */
export class Answer {
  readonly #body: SessionBody | ProblemBody;

  private constructor(
    readonly status: 200 | 409 | 502 | 503,
    readonly headers: Readonly<Record<string, string>>,
    body: SessionBody | ProblemBody,
    /** For your log; `null` where all is well. */
    readonly error: Error | null,
  ) {
    this.#body = body;
  }

  /** For the app alone: with the status 200 it has the tokens. */
  get body(): SessionBody | ProblemBody {
    return this.#body;
  }

  static success(body: SessionBody): Answer {
    return new Answer(200, headers(), body, null);
  }

  /** Our own 401 and 403 are the back end's fault: an app would take them for its user's, and log the user out. */
  static failure(error: Error): Answer {
    if (!(error instanceof CountersignError)) return Answer.#problem(502, "bad_gateway", "never", error);
    const { code, status, retryAfter } = error;
    if (code === "opted_out") return Answer.#problem(409, "opted_out", "never", error);
    const refused = retryAfter === null && status !== null && status < 500;
    if (refused) return Answer.#problem(502, "bad_gateway", "never", error);
    return Answer.#problem(503, "unavailable", retryAfter ?? DEFAULT_WAIT, error);
  }

  static #problem(status: 409 | 502 | 503, code: string, retry: "never" | number, error: Error): Answer {
    return new Answer(status, headers(retry), { status, code, retry }, error);
  }

  toString(): string {
    return `Answer(${this.status})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

function headers(retry: "never" | number = "never"): Record<string, string> {
  const always = { "Cache-Control": "no-store", "Content-Type": "application/json" };
  return retry === "never" ? always : { ...always, "Retry-After": String(Math.ceil(retry / 1000)) };
}

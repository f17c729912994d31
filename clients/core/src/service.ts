import type { Environment } from "./environment.js";
import type { Identity } from "./identity.js";

/** An answer of the server: an identity, a problem document, or neither, where something else answered or nothing did. */
export interface Answer extends Partial<Identity> {
  /** A problem's stable code. */
  code?: string;
  /** A problem's HTTP status. */
  status?: number;
  /** `"never"`, `"after_login"`, or milliseconds. */
  retry?: unknown;
  /** What the app threw where it was asked. */
  thrown?: unknown;
  /** How long the server wants to be left alone, milliseconds; absent where no answer came. */
  wait?: number;
}

/** A longer wait would overflow browsers' timers, which then fire at once. */
export const LONGEST_WAIT = 864e5;

/**
 * What posts to the server at `base`. It never throws: a proxy's error page, a captive portal and a dead network are all
 * empty answers.
 */
export const service =
  (env: Environment, base: string) =>
  async (
    path: string,
    body: object,
    signal?: AbortSignal,
    bearer?: string | false,
    credentials?: RequestCredentials,
  ): Promise<Answer> => {
    try {
      const response = await env.fetch(base + path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(bearer && { Authorization: "Bearer " + bearer }) },
        body: JSON.stringify(body),
        // Refresh tokens and credentials are for this address alone.
        redirect: "error",
        // A page may go away while it revokes; a refresh that has a signal goes with its page.
        signal: signal!,
        keepalive: !signal,
        credentials: credentials!,
      });
      const answer: Answer = { ...(await response.json().catch(() => 0)) };
      answer.wait = Math.min(
        Math.max(+(answer.retry as number) || 0, +response.headers.get("Retry-After")! * 1e3 || 0),
        LONGEST_WAIT,
      );
      // Other refusals say nothing of the session: a path that is not there, a method, a request cut short on its way.
      if (![401, 403, 409].includes(response.status)) answer.retry = 0;
      return answer;
    } catch {
      return {};
    }
  };

/** Whether it is worth asking again: the server says so, or it was not the server that answered. */
export const isLater = (answer: Answer) => typeof answer.retry !== "string";

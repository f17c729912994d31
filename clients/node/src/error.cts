/**
 * The server's codes, and three of this library: `not_reached`, no connection came about and nothing was sent;
 * `no_answer`, the request was sent and no whole answer came, so that the session may exist; `not_understood`, the
 * answer is not Countersign's (a proxy's page). A newer server may have more.
 */
export type Code =
  | "client_error"
  | "unauthorized"
  | "forbidden"
  | "opted_out"
  | "invalid_token"
  | "expired_token"
  | "user_mismatch"
  | "rate_limited"
  | "overloaded"
  | "unavailable"
  | "not_reached"
  | "no_answer"
  | "not_understood"
  | (string & {});

/** Why there is no answer with a token. No member has a token, an API key or a user id. */
export class CountersignError extends Error {
  /** To branch on. */
  readonly code: Code;
  /** The HTTP status; `null` where no answer came. */
  readonly status: number | null;
  /** How long to wait before it is worth another request, in milliseconds; `null` where the server does not say. */
  readonly retryAfter: number | null;
  /** The `X-Request-Id` of the request, which is in the server's log. */
  readonly requestId: string;

  constructor(code: Code, status: number | null, retryAfter: number | null, requestId: string) {
    super(`countersign: ${status ?? "no answer"} ${code} request_id=${requestId}`);
    this.name = "CountersignError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }
}

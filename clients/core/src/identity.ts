/** What the server answers to generate, exchange and refresh. Absolute times are Unix milliseconds by its clock. */
export interface Identity {
  /** The JWT for Braze's SDK. */
  token: string;
  /** When the token expires. */
  token_expires: number;
  /** What to get the next token with; absent where the app's policy has no refreshing. */
  refresh_token?: string;
  /** From when on to refresh. */
  refresh_from?: number;
  /** Until when the refresh token can be used. */
  refresh_expires?: number;
  /** When the server made this answer. */
  server_time: number;
  /** Seconds from the answer until the token expires. */
  expires_in: number;
  /** Seconds from the answer until it is time to refresh. */
  refresh_in?: number;
  /** Seconds from the answer until the refresh token expires if it is not used. */
  refresh_expires_in?: number;
  /** Seconds from the answer until the session ends in any case. */
  session_expires_in?: number;
  /** The server answered without its store: the token lives at most 15 minutes. */
  degraded?: boolean;
}

/** An answer as it is saved: on the web all pages of an origin share it. */
export interface Saved extends Identity {
  user: string;
  /** When it came, by this device's clock. */
  at: number;
  /** When a logout began that is not over yet, by this device's clock. */
  leaving?: number | undefined;
}

/** Whether there is a refresh token that is not past its life. `now`: Unix milliseconds by the server's clock. */
export function isRefreshable(identity: Identity, now: number): boolean {
  return !!identity.refresh_token && now <= identity.refresh_expires!;
}

/** Whether it is time to refresh, or the token has expired. `now`: Unix milliseconds by the server's clock. */
export function isDueForRefresh(identity: Identity, now: number): boolean {
  return now > identity.refresh_from! || now > identity.token_expires;
}

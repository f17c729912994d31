import type { Identity } from "./identity.js";

/**
 * Gives the session that the user already has with the app, e.g. an OpenID Connect ID token; nothing where nobody is
 * logged in. `refused`: the one that the server has just refused; another one is then tried, once.
 */
export type Credential = (refused?: string) => Given | Promise<Given>;
type Given = string | null | undefined;

interface CommonOptions {
  /** The app's name at the server; pages of one origin and app share one session. */
  app: string;
  /** Where the server is, e.g. `https://auth.example.com`. */
  endpoint: string;
  /** Version of the Braze SDK in the app, e.g. `6.13.0`: the SDK exports none. It goes into reports of failures. */
  sdkVersion?: string;
  /**
   * The session is over for good; `code` is the server's. Not called for opted-out users, whom a login does not help,
   * nor where a fresh credential was accepted.
   */
  onReloginNeeded?(code: string): void;
}

/** The server verifies the session that the app has: `POST /v1/token/exchange`. */
interface CredentialOptions {
  /**
   * Asked for a credential when one is needed, which is kept nowhere and sent to nobody else. `"cookie"`: the browser
   * sends the cookie that the server's `session_endpoint` knows.
   */
  credential: Credential | "cookie";
  login?: never;
}

/** The app's backend vouches for the user: `POST /v1/token/generate`. */
interface LoginOptions {
  /** Asks the app's own backend, which answers with what it got from the server. */
  login(): Promise<Identity>;
  credential?: never;
}

export type Options = CommonOptions & (CredentialOptions | LoginOptions);

/** Why a login failed: the error of your `login` or `credential`, or one with the members of the problem document. */
export interface LoginError extends Error {
  /** The server's code, e.g. `opted_out`. */
  code?: string;
  /** The HTTP status that goes with it. */
  status?: number;
}

export interface BrazeAuth {
  /**
   * Makes the SDK this user's: call it at login, and on each page load where a user is logged in. A saved session is used
   * if it can be; `options.login` or `options.credential` is asked only otherwise, and its error is passed on. Where that
   * gives no token, rejects with a {@link LoginError}. False: another login, or a logout, overtook it. With a credential,
   * it waits where the server says for how long (429, 503).
   */
  login(userId: string | number): Promise<boolean>;
  /** Ends the session at the server, and is quiet until the next login. */
  logout(): Promise<void>;
}

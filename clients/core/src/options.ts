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
  /**
   * Initialises the SDK, as the app did before it connected this. A logout disables an SDK that has `logout` (Web 6.10
   * and later); the next login, also after a page load, enables it and calls this. So log nobody in who has opted out by
   * `disableSDK`.
   */
  initialize?(): unknown;
  /** Milliseconds that a logout may take; 10,000 by default. */
  deadline?: number;
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
  /**
   * Sends what the SDK holds, unregisters push, disables the SDK and wipes its data, and ends the session at the server;
   * then is quiet until the next login, which waits for it. Resolves within `options.deadline`; past that, the SDK is
   * disabled and wiped all the same, and the session ends later, when the device is online or the app starts again. An
   * SDK without `logout` goes on as it is, and only the session ends.
   */
  logout(): Promise<Departure>;
}

/** What came of a logout. Never rejected. */
export type Departure = { clean: true } | { clean: false; lost: Lost };

/**
 * The first thing that a logout did not get done: to send the SDK's `events`, which are gone; to unregister `push`, so
 * that this device may still get that user's; to end the `session` at the server, which is tried again.
 */
export type Lost = "events" | "push" | "session";


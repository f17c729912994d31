// What is asked of the server, and of the app.

import type { Identity, Saved } from "./identity.js";
import type { Options } from "./options.js";
import { Slot, type Host, type Platform } from "./platform.js";
import type { SdkFailure } from "./sdk.js";
import { ask, isLater, type Answer } from "./service.js";

/** Makes the requests of one app. */
export function requests(host: Host, platform: Platform, options: Options) {
  const base = options.endpoint.replace(/\/*$/, "/v1/");
  const post = (path: string, body: object, signal?: AbortSignal, init?: RequestInit) =>
    ask(host, base + path, body, signal, init);

  /** A failure as the server takes it. The refused token stays out: nothing needs it, and what is not sent is not logged. */
  const reported = (heard?: SdkFailure) =>
    heard && {
      reason: heard.reason,
      error_code: heard.errorCode,
      user_id: heard.userId,
      platform: platform.name,
      sdk_version: options.sdkVersion,
    };

  const refresh = ({ refresh_token, user }: Saved, failure?: SdkFailure, signal?: AbortSignal) =>
    post("token/refresh", { refresh_token, user_id: user, failure: reported(failure) }, signal);

  /** Exchanges the app's credential for a token. `refused`: the one that the server has just refused. */
  const exchange = async (answer: Answer, signal: AbortSignal, refused?: string): Promise<Answer> => {
    const credential = options.credential!;
    const given = credential === "cookie" ? credential : await credential(refused);
    if (given && given !== refused) {
      answer = await post("token/exchange", { app: options.app }, signal, credential === "cookie"
        ? { credentials: "include" }
        : { headers: { "Content-Type": "application/json", Authorization: "Bearer " + given } });
      if (answer.code === "unauthorized" && !refused) return exchange(answer, signal, given);
    }
    return answer;
  };

  /** Keeps an answer, unless the saved one is newer, or another page logged out or switched users. */
  const keep = (answer: Identity, user: string, minted: boolean): unknown => {
    const now = platform.load(Slot.Session);
    if (now?.user === user ? now!.server_time <= answer.server_time : minted)
      return platform.save(Slot.Session, { ...answer, user, at: host.Date.now() });
  };

  /**
   * Has a good token saved in place of `session`, which is stale. `minting`: where the session is over, or there is none,
   * the app is asked.
   */
  const obtain = async (
    user: string,
    session: Saved | undefined,
    failure: SdkFailure | undefined,
    minting: boolean,
    signal: AbortSignal,
  ): Promise<Answer> => {
    let answer: Answer = { code: "expired_token", retry: "after_login" };
    // Past its life or not: that is for the server to say, since the device's clock may have been wrong when it came.
    if (session?.refresh_token) answer = await refresh(session, failure, signal);
    if (isLater(answer) || signal.aborted) minting = false;
    else if (!options.credential) {
      if (session) await platform.save(Slot.Session);
      if (minting) answer = { ...(await options.login!()) };
    } else {
      // The lost session stays saved meanwhile: without one the other pages would sign out.
      if (minting || answer.retry === "after_login") answer = await exchange(answer, signal);
      if (session && !signal.aborted && !isLater(answer)) await platform.save(Slot.Session);
    }
    // Saved before it is used: the server forgives one lost answer, not a lost refresh token.
    if (answer.token && !signal.aborted) await keep(answer as Identity, user, minting);
    return answer;
  };

  const report = (heard: SdkFailure, { refresh_token }: Saved) =>
    post("failures", { refresh_token, failure: reported(heard) });
  const revoke = ({ refresh_token }: Saved) => post("token/revoke", { refresh_token });
  return { obtain, report, revoke };
}

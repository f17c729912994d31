// The client's state machine. States, events and their reasons are written down in ../../README.md; the scenarios in
// ../../conformance hold this and every other port to it.

import { browser, type Environment } from "./environment.js";
import type { Identity } from "./identity.js";
import { shelf, type Saved } from "./saved.js";
import type { BrazeSdk, SdkFailure } from "./sdk.js";
import { ask, isLater, LONGEST_WAIT, reported, type Answer } from "./service.js";

export interface Options {
  /** The app's name at the server; pages of one origin and app share one session. */
  app: string;
  /** Where the server is, e.g. `https://auth.example.com`. */
  endpoint: string;
  /** Asks the app's own backend, which answers with what it got from `POST /v1/token/generate`. */
  login(): Promise<Identity>;
  /** The session is over for good; `code` is the server's. Not called for opted-out users, whom a login does not help. */
  onReloginNeeded?(code: string): void;
}

/** Why a login failed: your `login`'s own error, or one with the members of the problem document that it gave. */
export interface LoginError extends Error {
  /** The server's code, e.g. `opted_out`. */
  code?: string;
  /** The HTTP status that goes with it. */
  status?: number;
}

export interface BrazeAuth {
  /**
   * Makes the SDK this user's: call it at login, and on each page load where a user is logged in. A saved session is used
   * if it can be; `options.login` is asked only otherwise, and its error is passed on. Where that gives no token, rejects
   * with a {@link LoginError}. False: another login overtook it.
   */
  login(userId: string | number): Promise<boolean>;
  /** Ends the session at the server, and is quiet until the next login. */
  logout(): Promise<void>;
}

/** Milliseconds, and a count. An enum, since its members cost no bytes. */
const enum Limit {
  /** A token that was refused sooner than this was never good: refresh slower and slower. */
  Proven = 6e4,
  LongestBackOff = 3e5,
  /** An attempt that hangs must not hold up the other pages for ever. */
  Deadline = 15e3,
  /** What one page writes into storage, another reads some milliseconds later; 5 were enough in Chromium. */
  Lag = 50,
  /** Nothing went wrong. */
  None = -1e99,
  /** The SDK loses queued events after 50 refusals of one signature. */
  Refusals = 40,
  /** An app that sets old tokens of its own must not make the SDK send in a circle. */
  Flushes = 9,
}

/** Connects an initialised SDK. Call it before the SDK's `openSession`: a failure with no subscriber is lost. */
export function connectBrazeAuth(braze: BrazeSdk, options: Options, env: Environment = browser()): BrazeAuth {
  const name = "countersign:" + options.app;
  const [load, store] = shelf(env, name);
  const tell = env.join(name, () => env.setTimer(settle, Limit.Lag));
  /** Tokens that were refused or replaced: never set again, and their failures are old news. */
  const spent = new Set<string>();
  const base = options.endpoint.replace(/\/*$/, "/v1/");
  /** Nobody: quiet. */
  let user: string | undefined;
  /** Counts users coming and going: what was begun in an earlier turn is dropped. */
  let turn = 0;
  /** The attempt under way. */
  let flight: AbortController | undefined;
  let timer: unknown;
  /** Attempts since a token proved good. */
  let attempts = 0;
  /** How long to leave the server alone, and since when. */
  let pause: number = Limit.None;
  let pausedAt = 0;
  /** The last attempt got no answer at all. */
  let silent: boolean | undefined;
  /** The failure that waits for a token, and is reported with the refresh. */
  let failure: SdkFailure | undefined;
  /** The token that the SDK was given, and when. */
  let applied: string | undefined;
  let appliedAt = 0;
  /** The token that it was given once more, because it had sent another one or none. */
  let reapplied: string | undefined;
  /** Refusals since the SDK was given a signature. */
  let refusals = 0;
  /** How often this page, and not another, sent the queue since then. */
  let flushes = 0;
  /** The token that Braze refused for a reason which no refresh cures. */
  let incurable: string | undefined;

  /** What is saved for this user; with nobody logged in yet, for whomever the last page load left behind. */
  const mine = () => {
    const session = load();
    return user && session?.user !== user ? undefined : session;
  };
  const sleep = (span: number) => new Promise<void>((over) => env.setTimer(over, span));
  /** What is left of a span. It is over, too, where its begin lies as far ahead: the device's clock has been set back. */
  const left = (span: number, since: number) => span - Math.abs(env.now() - since);
  const dueIn = (session: Saved) => (spent.has(session.token) ? 0 : left(session.refresh_in! * 1e3, session.at));
  const isStale = (session: Saved) => dueIn(session) <= 0;
  /** Whether the SDK was given its token so recently that a refusal means it was never good. */
  const isUnproven = () => left(Limit.Proven, appliedAt) > 0;
  /** Waits, by chance alone within a bound that grows, and as long as the server says. */
  const rest = (wait = 0) => {
    pausedAt = env.now();
    pause = wait + env.random() * Math.min(Limit.LongestBackOff, 1e3 * 2 ** attempts);
  };
  const post = (path: string, body: object, signal?: AbortSignal) => ask(env, base + path, body, signal);

  function begin(next?: string): void {
    turn++;
    flight = void flight?.abort();
    env.clearTimer(timer);
    if (user) failure = undefined;
    user = next;
    attempts = 0;
    pause = Limit.None;
  }

  function save(session?: Saved): void {
    store(session);
    tell();
  }

  /** Notes which token the SDK is being given. */
  function hold(token: string): void {
    if (applied && applied !== token) spent.add(applied);
    applied = token;
    appliedAt = env.now();
    refusals = flushes = 0;
    failure = undefined;
  }

  function give(token: string): void {
    hold(token);
    braze.setSdkAuthenticationSignature(token);
  }

  /** Sends what the SDK holds back: by itself it would wait out its own back-off, 10 s and more. */
  const flush = () => {
    flushes++;
    braze.requestImmediateDataFlush();
  };

  /** Gives the SDK what is saved, if it is news, and plans or makes the next attempt. */
  function settle(): void {
    env.clearTimer(timer);
    if (!user || flight) return;
    const session = mine();
    // Another page logged out, or in as somebody else.
    if (!session) return begin();
    const isSpent = spent.has(session.token);
    if (!isSpent && session.token !== applied) give(session.token);
    const wait = Math.max(left(pause, pausedAt), dueIn(session));
    if (wait > 0) timer = env.setTimer(settle, Math.min(wait, LONGEST_WAIT));
    // A page that nobody looks at lets its token lapse; the next look wakes it, or the SDK's failure.
    else if (wait <= 0 && (isSpent || !env.hidden())) void refresh();
  }

  async function refresh(): Promise<void> {
    const here = turn;
    const answer = await attempt(false);
    if (here !== turn) return;
    if (isLater(answer)) {
      plan(answer);
      // All pages share the SDK's queue, without a lock: if each sent it, events would come twice, or never.
      if (answer.token && !flushes) flush();
    } else {
      begin();
      if (!["opted_out", "user_mismatch"].includes(answer.code!)) options.onReloginNeeded?.(answer.code!);
    }
  }

  /** After an attempt: what is still stale is tried again, later each time. */
  function plan(answer: Answer): void {
    const session = mine();
    silent = answer.wait === undefined;
    pause = Limit.None;
    if (session && isStale(session)) rest(answer.wait);
    settle();
  }

  /** One attempt to have a good token saved, alone among all pages. */
  function attempt(minting: boolean): Promise<Answer> {
    const controller = (flight = new AbortController());
    const here = turn;
    attempts = pause < 0 && !isUnproven() ? 1 : attempts + 1;
    return new Promise((done, fail) => {
      const alone = env.lock(name + user, async () => {
        const answer = (await Promise.race([obtain(minting, here, controller.signal), sleep(Limit.Deadline)])) || {};
        controller.abort();
        if (here === turn) flight = undefined;
        done(answer);
        // The next page must see what this one saved.
        await sleep(Limit.Lag);
      });
      alone.catch(fail);
    });
  }

  async function obtain(minting: boolean, here: number, signal: AbortSignal): Promise<Answer> {
    const session = mine();
    // Another page was faster, or logged out; or this one has gone on.
    if (here !== turn || (session ? !isStale(session) : !minting)) return {};
    let answer: Answer = { code: "expired_token", retry: "after_login" };
    const refresh_token = session?.refresh_token;
    // Past its life or not: that is for the server to say, since the device's clock may have been wrong when it came.
    if (refresh_token) {
      answer = await post("token/refresh", { refresh_token, user_id: user, failure: reported(failure) }, signal);
      if (here !== turn) return {};
      if (answer.token) keep(answer as Identity, false);
      if (answer.token || isLater(answer)) return answer;
    }
    if (session) save();
    if (minting) {
      const minted = await options.login();
      if (here === turn && minted?.token) keep(minted, true);
      else answer = { ...minted };
    }
    return answer;
  }

  /** Keeps an answer, unless the saved one is newer, or another page logged out or switched users. */
  function keep(answer: Identity, minted: boolean): void {
    const now = load();
    if (now?.user === user ? now!.server_time <= answer.server_time : minted)
      save({ ...answer, user: user!, at: env.now() });
  }

  function onFailure(heard: SdkFailure): void {
    const session = mine();
    if (!session || String(heard.userId ?? session.user) !== session.user) return;
    const { signature } = heard;
    if (user && ++refusals > Limit.Refusals) renew(session.token);
    if (spent.has(signature!)) {
      // A late answer: the SDK has put back what it had sent, after the flush that was for it.
      if (!failure && flushes && flushes < Limit.Flushes) flush();
    } else if ([25, 28].includes(heard.errorCode)) report(heard, session);
    else {
      failure = heard;
      if (signature) spent.add(signature);
      if (user) refuse(session.token, signature);
    }
  }

  function refuse(token: string, signature?: string): void {
    if (signature !== token && reapplied !== token && !flight && !spent.has(token)) {
      // The SDK does not have what is saved.
      give((reapplied = token));
      flush();
    } else if (!signature || signature === token) {
      spent.add(token);
      if (attempts && isUnproven()) rest();
      settle();
    }
  }

  /** Reports what no refresh cures: 25 is the key as it was pasted into Braze, 28 is mixed users in one batch. */
  function report(heard: SdkFailure, { refresh_token }: Saved): void {
    if (incurable !== heard.signature) void post("failures", { refresh_token, failure: reported(heard) });
    incurable = heard.signature;
  }

  /** Makes the SDK count its refusals from 0 again, which only another signature does. */
  function renew(token: string): void {
    const mark = "refused " + env.now();
    refusals = 0;
    spent.add(mark);
    braze.setSdkAuthenticationSignature(mark);
    if (!spent.has(token)) braze.setSdkAuthenticationSignature(token);
  }

  braze.subscribeToSdkAuthenticationFailures(onFailure);
  env.onWake((online) => {
    if (online && silent) pause = Limit.None;
    settle();
  });

  return {
    async login(id) {
      begin(String(id));
      const here = turn;
      try {
        const answer = await attempt(true);
        if (here !== turn) return false;
        const session = mine();
        if (!session) throw Object.assign(new Error("no token"), answer);
        const { token } = session;
        hold(token);
        braze.changeUser(user!, spent.has(token) ? undefined : token);
        braze.openSession();
        if (!isStale(session)) {
          // What was refused before this login would wait in the SDK for minutes.
          flush();
          attempts = 0;
        }
        plan(answer);
        return true;
      } catch (error) {
        if (here !== turn) return false;
        begin();
        throw error;
      }
    },

    async logout() {
      const session = mine();
      begin();
      if (!session) return;
      save();
      await post("token/revoke", { refresh_token: session.refresh_token });
    },
  };
}

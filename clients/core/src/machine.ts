// The client's state machine, the same on every platform. States, events and their reasons are written down in
// ../../README.md; the scenarios in ../../conformance hold every package that has this in it.

import type { Environment } from "./environment.js";
import type { Identity, Saved } from "./identity.js";
import type { BrazeAuth, Departure, Lost, Options } from "./options.js";
import type { BrazeSdk, SdkFailure } from "./sdk.js";
import { isLater, LONGEST_WAIT, service, type Answer } from "./service.js";

/** Milliseconds, and a count. An enum, since its members cost no bytes. */
const enum Limit {
  /** A token that was refused sooner than this was never good: refresh slower and slower. */
  Proven = 6e4,
  LongestBackOff = 3e5,
  /** An attempt that hangs must not hold up the other pages for ever. */
  Deadline = 15e3,
  /** A logout, unless the app says otherwise. */
  Logout = 1e4,
  /** A logout looks this often whether there is a good token, and whether everything is sent. */
  Poll = 500,
  /** What one page writes into storage, another reads some milliseconds later; 5 were enough in Chromium. */
  Lag = 50,
  /** Nothing went wrong. */
  None = 0,
  /** The SDK loses queued events after 50 refusals of one signature. */
  Refusals = 40,
  /** An app that sets old tokens of its own must not make the SDK send in a circle. */
  Flushes = 9,
}

/** Connects an initialised SDK. Call it before the SDK's `openSession`: a failure with no subscriber is lost. */
export function machine(braze: BrazeSdk, options: Options, env: Environment, platform: string): BrazeAuth {
  const { app, credential, deadline = Limit.Logout } = options;
  if (!app || !options.login === !credential) throw Error("needs app, and login or credential");
  /** Tokens that were refused or replaced: never set again, and their failures are old news. */
  const spent = new Set<string>();
  const name = "countersign:" + app;
  // The state is read off `user`, `flight` and `pause`, which it cannot contradict then: without a user signed out; with a
  // flight attempting; with a pause backing off; else ready.
  let user: string | undefined;
  /** Counts users coming and going: what was begun in an earlier turn is dropped. */
  let turn = 0;
  /** The attempt under way. */
  let flight: AbortController | undefined;
  let timer: unknown;
  /** Ends the wait of a login that another one overtakes. */
  let wake: (() => void) | undefined;
  /** Attempts since a token proved good. */
  let attempts = 0;
  /** How long to leave the server alone, and since when. */
  let pause: number = Limit.None;
  let pausedAt = 0;
  /** The last attempt got no answer at all. */
  let silent: boolean | undefined;
  /** The failure that waits for a token, and is reported with the refresh. */
  let failure: object | undefined;
  /** The token that the SDK was given, and when. */
  let applied: string | undefined;
  let appliedAt = 0;
  /** When the SDK was last made to ask for content. */
  let askedAt = 0;
  /** The token that it was given once more, because it had sent another one or none. */
  let reapplied: string | undefined;
  /** Refusals since the SDK was given a signature. */
  let refusals = 0;
  /** How often this page, and not another, sent the queue since then. */
  let flushes = 0;
  /** The token that Braze refused for a reason which no refresh cures. */
  let incurable: string | undefined;
  /** The logout under way. */
  let leaving: Promise<Departure> | undefined;
  /** Counts logins and logouts: the last one counts. */
  let calls = 0;
  /** What storage did not take. */
  let memory: Saved | undefined;

  /** Reads the one saved answer of the app: in localStorage, or in memory where that cannot be had. */
  const load = (): Saved | undefined => {
    try {
      return memory ?? JSON.parse(env.localStorage.getItem(name)!);
    } catch {}
  };

  const store = (saved?: Saved): unknown => {
    memory = undefined;
    try {
      return saved ? env.localStorage.setItem(name, JSON.stringify(saved)) : env.localStorage.removeItem(name);
    } catch {
      memory = saved;
    }
  };

  /**
   * What is saved for this user; with nobody logged in yet, for whomever the last page load left behind. While one page
   * logs out, all others have nobody.
   */
  const mine = (): Saved | undefined => {
    const session = load();
    if ((leaving || !session?.leaving) && (!user || session?.user === user)) return session;
  };
  /** `wakes`: `wake` ends it early. */
  const sleep = (span: number, wakes?: boolean) =>
    new Promise<void>((over) => env.setTimeout(wakes ? (wake = over) : over, span));
  /** What is left of a span. It is over, too, where its begin lies as far ahead: the device's clock has been set back. */
  const left = (span: number, since: number) => span - Math.abs(env.Date.now() - since);
  const dueIn = (session: Saved) => (spent.has(session.token) ? 0 : left(session.refresh_in! * 1e3, session.at));
  const isStale = (session: Saved) => dueIn(session) <= 0;
  /** Whether the SDK was given its token so recently that a refusal means it was never good. */
  const isUnproven = () => left(Limit.Proven, appliedAt) > 0;
  /** Waits, by chance alone within a bound that grows, and as long as the server says. */
  const rest = (wait = 0) => {
    pausedAt = env.Date.now();
    pause = wait + env.Math.random() * Math.min(Limit.LongestBackOff, 1e3 * 2 ** attempts);
  };

  const post = service(env, options.endpoint.replace(/\/*$/, "/v1/"));

  /** Ends what is under way; from now on the client is this user's, or nobody's. Gives the new turn. */
  const begin = (next?: string): number => {
    flight = void flight?.abort();
    wake?.();
    if (user) failure = undefined;
    user = next;
    attempts = pause = Limit.None;
    return ++turn;
  };

  /** Notes which token the SDK is being given. */
  const hold = (token: string): void => {
    if (applied && applied !== token) spent.add(applied);
    applied = token;
    appliedAt = env.Date.now();
    refusals = flushes = 0;
    failure = undefined;
  };

  const give = (token: string): void => {
    const heard = failure;
    hold(token);
    braze.setSdkAuthenticationSignature(token);
    // Where Braze refuses each new token, as without its key, that would only be refused, too.
    if (heard && !leaving && left(Limit.Proven, askedAt) <= 0) {
      askedAt = appliedAt;
      // What the SDK asked for without a good token it has not got.
      braze.requestContentCardsRefresh?.();
      braze.refreshFeatureFlags?.();
      braze.requestBannersRefresh?.(Object.keys({ ...braze.getAllBanners?.() }));
    }
  };

  /** Sends what the SDK holds back: by itself it would wait out its own back-off, 10 s and more. */
  const flush = () => {
    flushes++;
    // A logout sends it, and looks what becomes of it.
    leaving || braze.requestImmediateDataFlush();
  };

  /** Gives the SDK what is saved, if it is news, and plans or makes the next attempt. */
  const settle = (): unknown => {
    env.clearTimeout(timer);
    // Signed out, or attempting, whose end comes here.
    if (!user || flight) return;
    const session = mine();
    // Another page logged out, or in as somebody else.
    if (!session) return begin();
    const isSpent = spent.has(session.token);
    if (!isSpent && session.token !== applied) give(session.token);
    // Ready, where another page had more luck.
    if (!isStale(session)) pause = Limit.None;
    const wait = Math.max(left(pause, pausedAt), dueIn(session));
    if (wait > 0) timer = env.setTimeout(settle, Math.min(wait, LONGEST_WAIT));
    // A page that nobody looks at lets its token lapse; the next look wakes it, or the SDK's failure.
    else if (wait <= 0 && (isSpent || leaving || !env.document.hidden)) void refresh();
  };

  const refresh = async (): Promise<void> => {
    const here = turn;
    const answer = await attempt(false);
    if (here !== turn) return;
    if (isLater(answer)) {
      plan(answer);
      // All pages share the SDK's queue, without a lock: if each sent it, events would come twice, or never.
      if (answer.token && !flushes) flush();
    } else {
      begin();
      if (!leaving && !["opted_out", "user_mismatch"].includes(answer.code!)) options.onReloginNeeded?.(answer.code!);
    }
  };

  /** After an attempt: what is still stale is tried again, later each time. */
  const plan = (answer: Answer): void => {
    const session = mine();
    flight = undefined;
    silent = answer.wait === undefined;
    if (session && isStale(session)) rest(answer.wait);
    settle();
  };

  /** One attempt to have a good token saved, alone among all pages. `minting`: at a login. */
  const attempt = (minting: boolean): Promise<Answer> => {
    const controller = (flight = new AbortController());
    const { signal } = controller;
    attempts = pause || isUnproven() ? attempts + 1 : 1;

    /** Exchanges the app's credential for a token. `refused`: the one that the server has just refused. */
    const exchange = async (answer: Answer, refused?: string): Promise<Answer> => {
      const isCookie = credential === "cookie";
      const given = isCookie ? credential : await credential!(refused);
      if (given && given !== refused) {
        answer = await post("token/exchange", { app: app }, signal, !isCookie && given, isCookie ? "include" : undefined);
        if (answer.code === "unauthorized" && !refused) return exchange(answer, given);
      }
      return answer;
    };

    const obtain = async (): Promise<Answer> => {
      const session = mine();
      // Another page was faster, or logged out; or this one has gone on.
      if (signal.aborted || (session ? !isStale(session) : !minting)) return {};
      let answer: Answer = { code: "expired_token", retry: "after_login" };
      const refresh_token = session?.refresh_token;
      // Past its life or not: that is for the server to say, since the device's clock may have been wrong when it came.
      if (refresh_token)
        answer = await post("token/refresh", { refresh_token, user_id: user, failure }, signal);
      if (isLater(answer)) minting = false;
      else if (!credential) {
        if (session) await store();
        if (minting) answer = { ...(await options.login!()) };
      } else {
        // The lost session stays saved meanwhile: without one the other pages would sign out.
        if (minting || answer.retry === "after_login") answer = await exchange(answer);
        if (session && !signal.aborted && !isLater(answer)) await store();
      }
      // Without the mark of another user's logout, which could not be ended.
      const now = mine();
      // Not if the saved one is newer, or another page logs out, has logged out or switched users.
      if (answer.token && !signal.aborted && (now ? now.server_time <= answer.server_time! : minting)) {
        // Saved before it is used: the server forgives one lost answer, not a lost refresh token.
        await store({ ...(answer as Identity), user: user!, at: env.Date.now(), leaving: now?.leaving });
      }
      return answer;
    };

    return new Promise((done) => {
      const alone = async () => {
        done((await Promise.race([obtain(), sleep(Limit.Deadline)])) || {});
        controller.abort();
        // The next page must see what this one saved.
        await sleep(Limit.Lag);
      };
      (env.navigator.locks?.request(name + user, alone) ?? alone()).catch((thrown) => done({ thrown }));
    });
  };

  const onFailure = ({ signature, userId: user_id, errorCode: error_code, reason }: SdkFailure): void => {
    const session = mine();
    /** As the server takes it. The refused token stays out: nothing needs it, and what is not sent is not logged. */
    const report = { reason, error_code, user_id, platform, sdk_version: options.sdkVersion };
    if (!session || String(user_id ?? session.user) !== session.user) return;
    if (user && ++refusals > Limit.Refusals) renew(session.token);
    if (spent.has(signature!)) {
      // A late answer: the SDK has put back what it had sent, after the flush that was for it.
      if (user && !failure && flushes && flushes < Limit.Flushes) flush();
    } else if ([25, 28].includes(error_code)) {
      // What no refresh cures: 25 is the key as it was pasted into Braze, 28 is mixed users in one batch.
      if (incurable !== signature) void post("failures", { refresh_token: session.refresh_token, failure: report });
      incurable = signature;
    } else {
      failure = report;
      if (signature) spent.add(signature);
      if (user) refuse(session.token, signature);
    }
  };

  const refuse = (token: string, signature?: string): void => {
    if (reapplied !== token && !spent.has(token)) {
      // The SDK does not have what is saved; an attempt gives it something better.
      if (flight) return;
      give((reapplied = token));
      flush();
    } else if (!signature || signature === token) {
      spent.add(token);
      if (attempts && isUnproven()) rest();
      settle();
    }
  };

  /** Makes the SDK count its refusals from 0 again, which only another signature does. */
  const renew = (token: string): void => {
    const mark = "refused " + env.Date.now();
    refusals = 0;
    spent.add(mark);
    braze.setSdkAuthenticationSignature(mark);
    if (!spent.has(token)) braze.setSdkAuthenticationSignature(token);
  };

  /** A logout, until its deadline. `ours`: the session of this page, marked; or one that a page has left behind. */
  const leave = async (ours?: Saved): Promise<Departure> => {
    // The mark, before anything else: if this page goes away, the next one to start does the rest.
    if (ours) await store(ours);
    const { leaving: since, token } = load()!;
    const over = sleep(token ? left(deadline, since!) : deadline);
    const here = turn;
    // Without its token only the server is left to be told; with it, a page may be in the middle.
    let lost: Lost | undefined = ours || token ? "events" : undefined;
    const work = async () => {
      if (!ours) {
        do await sleep(Limit.Poll);
        while (leaving && load()?.leaving === since);
        return;
      }
      settle();
      while (here === turn && (isStale(mine()!) || !(await new Promise((done) => braze.requestImmediateDataFlush(done)))))
        await sleep(Limit.Poll);
      if (here === turn) {
        lost = "push";
        await new Promise<void>((done, fail) => braze.logout!(done, fail));
        lost = undefined;
        // So late that it has ended the next user.
        if (user && here !== turn) void login(user);
        // What was on its way at the deadline has come back. All pages share the SDK's data: in another one somebody may be.
      } else if (!user && !leaving && !load()?.token) braze.wipeData!();
    };
    if (lost) await Promise.race([work(), over]).catch(() => {});
    const session = load();
    // A page that slept past its deadline finds the next user's session.
    if (session ? session.leaving === since : ours) {
      begin();
      applied = undefined;
      if (lost) {
        // In this order: disabling sends what is queued, and a request that fails puts it back.
        braze.wipeData!();
        braze.disableSDK!();
        // And it begins a session for that.
        braze.wipeData!();
      }
      const refresh_token = session?.refresh_token;
      await store(refresh_token ? ({ refresh_token, leaving: since } as Saved) : undefined);
      const told =
        refresh_token &&
        // A problem document's status is a number; `success` and `pending` are the server's.
        post("token/revoke", { refresh_token }).then(({ status }) => typeof status === "string" && load()?.leaving === since && store());
      await Promise.race([told, over]);
      if (load()?.leaving) lost ??= "session";
      // Another page has finished it.
    } else if (ours) begin();
    else lost = undefined;
    return lost ? { clean: false, lost } : { clean: true };
  };

  /** The logout under way, or what is left of one: a page went away in the middle, or had no network. */
  const depart = (ours?: Saved) =>
    (leaving ??= ours || load()?.leaving ? leave(ours).finally(() => (leaving = undefined)) : undefined);

  const login = async (id: string | number): Promise<boolean> => {
    const call = ++calls;
    await depart();
    if (call !== calls) return false;
    if (braze.isDisabled?.()) {
      // Requests of the former user that failed after the logout have put back what they had taken.
      braze.wipeData!();
      braze.enableSDK!();
      options.initialize!();
      braze.subscribeToSdkAuthenticationFailures(onFailure);
    }
    const here = begin(String(id));
    let answer!: Answer;
    for (; here === turn; await sleep(pause, true)) {
      answer = await attempt(true);
      if (here !== turn || mine() || !(answer.wait! > 0)) break;
      // As a refresh that is put off; but without a session there is nothing that a timer could refresh.
      rest(answer.wait);
    }
    if (here !== turn) return false;
    const session = mine();
    if (!session) {
      begin();
      throw answer.thrown ?? Object.assign(Error("no token"), answer);
    }
    const token = session.token;
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
  };

  braze.subscribeToSdkAuthenticationFailures(onFailure);
  env.addEventListener("storage", ({ key }) => key === name && env.setTimeout(settle, Limit.Lag));
  env.addEventListener("visibilitychange", settle);
  env.addEventListener("online", () => {
    if (silent) pause = Limit.None;
    settle();
    void depart();
  });
  void depart();

  return {
    login,

    async logout() {
      calls++;
      const other = depart();
      if (other) return other;
      const session = mine();
      if (braze.logout && (session || applied)) {
        user = session?.user;
        return depart({ ...session!, leaving: env.Date.now() })!;
      }
      begin();
      if (session) {
        await store();
        await post("token/revoke", { refresh_token: session.refresh_token });
      }
      return { clean: true };
    },
  };
}

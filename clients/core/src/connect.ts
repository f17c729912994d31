// The client's state machine, the same on every platform. States, events and their reasons are written down in
// ../../README.md; the scenarios in ../../conformance hold every package that has this in it.

import type { Saved } from "./identity.js";
import type { BrazeAuth, Options } from "./options.js";
import { Slot, type Host, type Platform } from "./platform.js";
import { requests } from "./requests.js";
import type { BrazeSdk, SdkFailure } from "./sdk.js";
import { isLater, LONGEST_WAIT, type Answer } from "./service.js";
import { State } from "./states.js";

/** Milliseconds, and a count. An enum, since its members cost no bytes. */
const enum Limit {
  /** A token that was refused sooner than this was never good: refresh slower and slower. */
  Proven = 6e4,
  LongestBackOff = 3e5,
  /** An attempt that hangs must not hold up the other pages for ever. */
  Deadline = 15e3,
  /** Nothing went wrong. */
  None = -1,
  /** The SDK loses queued events after 50 refusals of one signature. */
  Refusals = 40,
  /** An app that sets old tokens of its own must not make the SDK send in a circle. */
  Flushes = 9,
}

/** Connects an initialised SDK. Call it before the SDK's `openSession`: a failure with no subscriber is lost. */
export function connect(braze: BrazeSdk, options: Options, host: Host, platform: Platform): BrazeAuth {
  if (!options.app || !options.login === !options.credential) throw Error("needs app, and login or credential");
  /** Tokens that were refused or replaced: never set again, and their failures are old news. */
  const spent = new Set<string>();
  const { obtain, report, revoke } = requests(host, platform, options);
  /** Nobody: quiet. */
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

  /** Derived from what the client holds, which it cannot contradict then. */
  const state = () =>
    !user ? State.SignedOut : flight ? State.Attempting : pause < 0 ? State.Ready : State.BackingOff;

  /** What is saved for this user; with nobody logged in yet, for whomever the last page load left behind. */
  const mine = (): Saved | undefined => {
    const session = platform.load(Slot.Session);
    if (!user || session?.user === user) return session;
  };
  /** `wakes`: `wake` ends it early. */
  const sleep = (span: number, wakes?: boolean) =>
    new Promise<void>((over) => host.setTimeout(wakes ? (wake = over) : over, span));
  /** What is left of a span. It is over, too, where its begin lies as far ahead: the device's clock has been set back. */
  const left = (span: number, since: number) => span - Math.abs(host.Date.now() - since);
  const dueIn = (session: Saved) => (spent.has(session.token) ? 0 : left(session.refresh_in! * 1e3, session.at));
  const isStale = (session: Saved) => dueIn(session) <= 0;
  /** Whether the SDK was given its token so recently that a refusal means it was never good. */
  const isUnproven = () => left(Limit.Proven, appliedAt) > 0;
  /** Waits, by chance alone within a bound that grows, and as long as the server says. */
  const rest = (wait = 0) => {
    pausedAt = host.Date.now();
    pause = wait + host.Math.random() * Math.min(Limit.LongestBackOff, 1e3 * 2 ** attempts);
  };

  /** Ends what is under way; from now on the client is this user's, or nobody's. */
  const begin = (next?: string): void => {
    turn++;
    flight = void flight?.abort();
    host.clearTimeout(timer);
    wake?.();
    if (user) failure = undefined;
    user = next;
    attempts = 0;
    pause = Limit.None;
  };

  /** Notes which token the SDK is being given. */
  const hold = (token: string): void => {
    if (applied && applied !== token) spent.add(applied);
    applied = token;
    appliedAt = host.Date.now();
    refusals = flushes = 0;
    failure = undefined;
  };

  const give = (token: string): void => {
    hold(token);
    braze.setSdkAuthenticationSignature(token);
  };

  /** Sends what the SDK holds back: by itself it would wait out its own back-off, 10 s and more. */
  const flush = () => {
    flushes++;
    braze.requestImmediateDataFlush();
  };

  /** Gives the SDK what is saved, if it is news, and plans or makes the next attempt. */
  const settle = (): void => {
    host.clearTimeout(timer);
    if (!(state() & (State.Ready | State.BackingOff))) return;
    const session = mine();
    // Another page logged out, or in as somebody else.
    if (!session) return begin();
    const isSpent = spent.has(session.token);
    if (!isSpent && session.token !== applied) give(session.token);
    const due = dueIn(session);
    // Ready, where another page had more luck.
    if (due > 0) pause = Limit.None;
    const wait = Math.max(left(pause, pausedAt), due);
    if (wait > 0) timer = host.setTimeout(settle, Math.min(wait, LONGEST_WAIT));
    // A page that nobody looks at lets its token lapse; the next look wakes it, or the SDK's failure.
    else if (wait <= 0 && (isSpent || !platform.isHidden())) void refresh();
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
      if (!["opted_out", "user_mismatch"].includes(answer.code!)) options.onReloginNeeded?.(answer.code!);
    }
  };

  /** After an attempt: what is still stale is tried again, later each time. */
  const plan = (answer: Answer): void => {
    const session = mine();
    flight = undefined;
    silent = answer.wait === undefined;
    pause = Limit.None;
    if (session && isStale(session)) rest(answer.wait);
    settle();
  };

  /** One attempt to have a good token saved, alone among all pages. `minting`: at a login. */
  const attempt = (minting: boolean): Promise<Answer> => {
    const controller = (flight = new AbortController());
    const { signal } = controller;
    attempts = pause < 0 && !isUnproven() ? 1 : attempts + 1;
    return new Promise((done) => {
      const alone = async () => {
        const session = mine();
        // Another page was faster, or logged out; or this one has gone on.
        const isNeeded = !signal.aborted && (session ? isStale(session) : minting);
        const work = isNeeded && obtain(user!, session, failure, minting, signal);
        done((await Promise.race([work, sleep(Limit.Deadline)])) || {});
        controller.abort();
      };
      (platform.lock?.(user!, alone) ?? alone()).catch((thrown) => done({ thrown }));
    });
  };

  const onFailure = (heard: SdkFailure): void => {
    const session = mine();
    if (!session || String(heard.userId ?? session.user) !== session.user) return;
    if (user && ++refusals > Limit.Refusals) renew(session.token);
    if (spent.has(heard.signature!)) {
      // A late answer: the SDK has put back what it had sent, after the flush that was for it.
      if (user && !failure && flushes && flushes < Limit.Flushes) flush();
    } else if ([25, 28].includes(heard.errorCode)) {
      // What no refresh cures: 25 is the key as it was pasted into Braze, 28 is mixed users in one batch.
      if (incurable !== heard.signature) void report(heard, session);
      incurable = heard.signature;
    } else {
      failure = heard;
      if (heard.signature) spent.add(heard.signature);
      if (user) refuse(session.token, heard.signature);
    }
  };

  const refuse = (token: string, signature?: string): void => {
    if (signature !== token && reapplied !== token && !spent.has(token)) {
      // The SDK does not have what is saved; an attempt gives it something better.
      if (state() === State.Attempting) return;
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
    const mark = "refused " + host.Date.now();
    refusals = 0;
    spent.add(mark);
    braze.setSdkAuthenticationSignature(mark);
    if (!spent.has(token)) braze.setSdkAuthenticationSignature(token);
  };

  braze.subscribeToSdkAuthenticationFailures(onFailure);
  platform.listen(settle, () => {
    if (silent) pause = Limit.None;
    settle();
  });

  return {
    async login(id) {
      begin(String(id));
      const here = turn;
      let answer = await attempt(true);
      // As a refresh that is put off; but without a session there is nothing that a timer could refresh.
      while (here === turn && !mine() && answer.wait! > 0) {
        rest(answer.wait);
        await sleep(pause, true);
        if (here === turn) answer = await attempt(true);
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
    },

    async logout() {
      const session = mine();
      begin();
      if (!session) return;
      await platform.save(Slot.Session);
      await revoke(session);
    },
  };
}

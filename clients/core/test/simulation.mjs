// Simulation with virtual time: pages of one browser that share storage, locks and a channel; an SDK that records its
// calls; a server that answers on command. `log` holds every call of the client, in order. Each package brings the
// function that connects its client to the SDK, the options and the simulated window.

import { readFileSync } from "node:fs";

/** Paths of the calls that scenarios name; a test of the service compares them with its OpenAPI document. */
const CALLS = JSON.parse(readFileSync(new URL("../../calls.json", import.meta.url), "utf8"));
const KIND_OF_URL = Object.fromEntries(Object.entries(CALLS).map(([kind, path]) => [`https://auth.test${path}`, kind]));

/** Server's clock at virtual time 0, in Unix milliseconds. */
export const SERVER_EPOCH = 1_795_000_000_000;

/** Runs everything that waits for a promise only. */
export const settled = async () => {
  for (let round = 0; round < 3; round++) await new Promise(setImmediate);
};

/** A browser and a server, in virtual milliseconds. */
export class Simulation {
  /** `sdkLogout`: the SDK has `logout`, and what belongs to that. `sdkContent`: it has the calls that refresh content. */
  constructor(connect, { random = 0.5, locks = true, storage = true, deviceClock = 0, sdkLogout = false, sdkContent = false } = {}) {
    Object.assign(this, { connect, random, hasLocks: locks, hasStorage: storage, deviceClock, hasSdkLogout: sdkLogout, hasSdkContent: sdkContent });
    /** The SDK's mark in the browser's storage. */
    this.isSdkDisabled = false;
    this.time = 0;
    this.log = [];
    this.open = [];
    this.timers = new Map();
    this.timerId = 0;
    this.saved = new Map();
    this.lastHolder = new Map();
    this.pages = [];
  }

  /** Opens a page that connects the client. */
  page(number = 1, options = {}) {
    return new Page(this, number, options);
  }

  record(page, call) {
    this.log.push(page === 1 ? call : { tab: page, ...call });
  }

  /** Takes the recorded calls. */
  takeLog() {
    return this.log.splice(0);
  }

  /** Moves the clock; each timer fires at its time. */
  async advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end && !timer.page.isFrozen).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].work();
      await settled();
    }
    this.time = end;
    await settled();
  }

  /** Answers the oldest open call of this kind, of one page or of any. */
  async answer(kind, give, page) {
    const at = this.open.findIndex((call) => call.kind === kind && !call.gone && (page === undefined || call.page === page));
    if (at < 0) throw new Error(`no ${kind} is waiting for an answer`);
    const [call] = this.open.splice(at, 1);
    give(call);
    await settled();
  }

  /** Returns the server's nth answer, made now; members given as null are absent. */
  session(number, { refresh_in = 1800, expires_in = 3600, refresh_life = 2_592_000, ...rest } = {}) {
    const server_time = SERVER_EPOCH + this.time;
    const session = {
      status: "success",
      token: `t${number}`,
      token_expires: server_time + expires_in * 1000,
      refresh_token: `r${number}`,
      refresh_from: server_time + refresh_in * 1000,
      refresh_expires: server_time + refresh_life * 1000,
      server_time,
      expires_in,
      refresh_in,
      ...rest,
    };
    return Object.fromEntries(Object.entries(session).filter(([, value]) => value !== null));
  }

  /** Saves the session of an earlier page load, `age` milliseconds old. */
  saveEarlier(user, number, age, options) {
    const session = this.session(number, options);
    for (const name of ["token_expires", "refresh_from", "refresh_expires", "server_time"]) session[name] -= age;
    this.saved.set("countersign:web", JSON.stringify({ ...session, user, at: this.device() - age }));
  }

  device() {
    return SERVER_EPOCH + this.time + this.deviceClock;
  }

  /** A page goes away, with its timers, calls and locks, and is loaded anew. */
  reload(page) {
    page.isGone = true;
    page.leave();
    for (const [id, timer] of this.timers) if (timer.page === page) this.timers.delete(id);
    this.open = this.open.filter((call) => call.of !== page);
    this.pages.splice(this.pages.indexOf(page), 1);
    return this.page(page.number, page.options);
  }

  /** Simulates Web Locks: one holder at a time, in order; a page that goes away holds none. */
  lock(page, name, work) {
    const done = (this.lastHolder.get(name) ?? Promise.resolve()).then(() => (page.isGone ? undefined : Promise.race([work(), page.gone])));
    this.lastHolder.set(name, done.catch(() => {}));
    return done;
  }
}

class Page {
  /** `credential`: true, `"cookie"` or a function, for the mode that exchanges a credential of the app. */
  constructor(simulation, number, { credential, ...options }) {
    Object.assign(this, { simulation, number, isHidden: false, isFrozen: false, isGone: false, listeners: new Map(), options: { credential, ...options } });
    this.gone = new Promise((leave) => (this.leave = leave));
    simulation.pages.push(this);
    this.braze = simulation.hasSdkLogout ? new FakeSdkWithLogout(this) : new FakeSdk(this);
    this.auth = simulation.connect(
      this.braze,
      {
        app: "web",
        endpoint: "https://auth.test",
        ...(credential ? { credential: this.#credential(credential) } : { login: () => this.#call({ mint: [] }, "mint") }),
        onReloginNeeded: (code) => this.record({ relogin: code }),
        initialize: () => this.braze.initialize(),
        ...options,
      },
      this.#window(),
    );
  }

  record(call) {
    if (!this.isGone) this.simulation.record(this.number, call);
  }

  #credential(mode) {
    if (mode === true) return (refused) => this.#call({ credential: refused === undefined ? [] : [refused] }, "credential");
    return mode;
  }

  /** Records a call that is answered by command. */
  #call(call, kind, signal) {
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.record(call);
    return new Promise((resolve, reject) => {
      if (this.isGone) return;
      const open = { kind, page: this.number, of: this, resolve, reject };
      signal?.addEventListener("abort", () => {
        open.gone = true;
        reject(signal.reason);
      });
      this.simulation.open.push(open);
    });
  }

  /** The part of a browser's window that the client uses. */
  #window() {
    const { simulation } = this;
    const isHidden = () => this.isHidden;
    return {
      Date: { now: () => simulation.device() },
      Math: { random: () => simulation.random },
      setTimeout: (work, milliseconds) => {
        if (!(milliseconds < 2 ** 31)) throw new Error(`a browser's timer cannot take ${milliseconds}`);
        if (!this.isGone) simulation.timers.set(++simulation.timerId, { page: this, at: simulation.time + Math.max(0, milliseconds), work });
        return simulation.timerId;
      },
      clearTimeout: (timer) => simulation.timers.delete(timer),
      fetch: (url, init) => this.#fetch(url, init),
      localStorage: this.#storage(),
      navigator: { locks: simulation.hasLocks ? { request: (name, work) => simulation.lock(this, name, work) } : undefined },
      document: {
        get hidden() {
          return isHidden();
        },
      },
      addEventListener: (type, hear) => this.listeners.set(type, hear),
    };
  }

  /** Triggers an event of the window. */
  wake(type, event = {}) {
    this.listeners.get(type)(event);
  }

  #fetch(url, { body, signal, method, headers, credentials, redirect }) {
    const kind = KIND_OF_URL[url];
    const { "Content-Type": type, Authorization: authorization, ...others } = headers;
    const isPlain = method === "POST" && type === "application/json" && redirect === "error" && Object.keys(others).length === 0;
    if (!kind || !isPlain) throw new Error(`unexpected call ${url}`);
    const presented = { ...(authorization && { authorization }), ...(credentials && { credentials }) };
    if (kind !== "exchange" && Object.keys(presented).length > 0) throw new Error(`a credential in a ${kind}`);
    return this.#call({ [kind]: JSON.parse(body), ...presented }, kind, signal);
  }

  /** `call` of the SDK, which the command answers. */
  ask(call, kind, answer) {
    void this.#call(call, kind).then(answer);
  }

  #storage() {
    const { saved } = this.simulation;
    const refuse = () => {
      if (!this.simulation.hasStorage || this.isGone) throw new Error("storage is blocked");
    };
    const tell = (key) => this.simulation.pages.filter((page) => page !== this).forEach((page) => setImmediate(() => page.wake("storage", { key })));
    return {
      getItem: (key) => (refuse(), saved.get(key) ?? null),
      setItem: (key, value) => {
        refuse();
        saved.set(key, value);
        const { leaving, token, refresh_token } = JSON.parse(value);
        if (leaving) this.record({ mark: refresh_token ?? null, ...(token && { token }) });
        else this.record({ save: refresh_token ?? null });
        tell(key);
      },
      removeItem: (key) => {
        refuse();
        saved.delete(key);
        this.record({ forget: [] });
        tell(key);
      },
    };
  }
}

/** SDK that records the client's calls. */
class FakeSdk {
  #page;
  #onFailure = () => {};
  constructor(page) {
    this.#page = page;
    if (!page.simulation.hasSdkContent) return;
    this.requestContentCardsRefresh = () => page.record({ contentCards: [] });
    this.refreshFeatureFlags = () => page.record({ featureFlags: [] });
    this.requestBannersRefresh = (placements) => page.record({ banners: placements });
    this.getAllBanners = () => ({ top: null, side: {} });
  }
  subscribeToSdkAuthenticationFailures(onFailure) {
    this.#onFailure = onFailure;
  }
  fail({ error_code = 22, ...failure }) {
    const { user_id: userId, reason, signature } = failure;
    this.#onFailure(JSON.parse(JSON.stringify({ errorCode: error_code, reason, userId, signature })));
  }
  changeUser(id, signature) {
    if (typeof id !== "string") throw new Error("changeUser takes a string");
    this.#page.record({ changeUser: signature === undefined ? [id] : [id, signature] });
  }
  openSession() {
    this.#page.record({ openSession: [] });
  }
  setSdkAuthenticationSignature(signature) {
    this.#page.record({ setSignature: signature });
    return true;
  }
  requestImmediateDataFlush() {
    this.#page.record({ flush: [] });
  }
}

/**
 * SDK with `logout`, as Web 6.10 and later: what a page calls while its SDK is not initialised, or disabled, is ignored.
 * Disabling is for all pages of the origin to come, and for this one at once.
 */
class FakeSdkWithLogout extends FakeSdk {
  #page;
  #isLive;
  constructor(page) {
    super(page);
    this.#page = page;
    this.#isLive = !page.simulation.isSdkDisabled;
    const calls = Object.getOwnPropertyNames(FakeSdk.prototype).filter((name) => !["constructor", "fail"].includes(name));
    for (const name of calls) {
      const call = this[name];
      this[name] = (...words) => (this.#isLive ? call.apply(this, words) : undefined);
    }
  }
  subscribeToSdkAuthenticationFailures(onFailure) {
    if (this.#page.auth) this.#page.record({ subscribe: [] });
    super.subscribeToSdkAuthenticationFailures(onFailure);
  }
  requestImmediateDataFlush(done) {
    if (done) this.#page.ask({ flush: "awaited" }, "flush", done);
    else super.requestImmediateDataFlush();
  }
  logout(success, failure) {
    if (!this.#isLive) return;
    this.#page.ask({ sdkLogout: [] }, "sdkLogout", (isDone) => {
      if (!isDone) return failure();
      this.#disable();
      success();
    });
  }
  /** What nobody is subscribed to any more is lost. */
  #disable() {
    this.#page.simulation.isSdkDisabled = true;
    this.#isLive = false;
    super.subscribeToSdkAuthenticationFailures(() => {});
  }
  wipeData() {
    this.#page.record({ wipeData: [] });
  }
  disableSDK() {
    this.#page.record({ disableSDK: [] });
    this.#disable();
  }
  enableSDK() {
    this.#page.record({ enableSDK: [] });
    this.#disable();
    this.#page.simulation.isSdkDisabled = false;
  }
  isDisabled() {
    return this.#page.simulation.isSdkDisabled;
  }
  initialize() {
    this.#page.record({ initialize: [] });
    this.#isLive = !this.#page.simulation.isSdkDisabled;
  }
}

/** Returns an HTTP response. */
export const response = (status, body, retryAfter) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), {
    status,
    headers: retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) },
  });

/** Returns a problem document of the server (RFC 9457). */
export const problem = (status, code, retry, retryAfter) =>
  response(status, { type: `urn:countersign:problem:${code}`, title: code, status, detail: code, code, retry, request_id: "q" }, retryAfter);

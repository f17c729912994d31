// A world with virtual time: pages of one browser that share storage, locks and a channel, an SDK that only listens and
// writes down, and a server that answers when told. `log` is every call that came out, in order.

import { connectBrazeAuth } from "../dist/index.js";

/** The server's clock at virtual time 0, Unix milliseconds. */
export const SERVER_EPOCH = 1_795_000_000_000;

/** Lets everything run that waits for nothing but a promise. */
export const settled = async () => {
  for (let round = 0; round < 3; round++) await new Promise(setImmediate);
};

export class World {
  constructor({ random = 0.5, locks = true, storage = true, deviceClock = 0 } = {}) {
    Object.assign(this, { random, hasLocks: locks, hasStorage: storage, deviceClock });
    this.time = 0;
    this.log = [];
    this.open = [];
    this.timers = new Map();
    this.timerId = 0;
    this.shelf = new Map();
    this.held = new Map();
    this.channel = new Set();
  }

  /** A page that has connected the client. */
  page(number = 1, options = {}) {
    return new Page(this, number, options);
  }

  out(page, call) {
    this.log.push(page === 1 ? call : { tab: page, ...call });
  }

  /** What came out since the last time this was asked. */
  taken() {
    return this.log.splice(0);
  }

  /** Moves the clock; timers go off on the way, each at its time. */
  async advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].work();
      await settled();
    }
    this.time = end;
    await settled();
  }

  /** Answers the oldest open call of this kind. */
  async answer(kind, give, page) {
    const at = this.open.findIndex((call) => call.kind === kind && !call.gone && (page === undefined || call.page === page));
    if (at < 0) throw new Error(`no ${kind} is waiting for an answer`);
    const [call] = this.open.splice(at, 1);
    give(call);
    await settled();
  }

  /** What the server would answer now, as its nth answer; members given as null are absent. */
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

  /** What a page load of some time ago left behind. */
  left(user, number, age, options) {
    const session = this.session(number, options);
    for (const name of ["token_expires", "refresh_from", "refresh_expires", "server_time"]) session[name] -= age;
    this.shelf.set("countersign:web", JSON.stringify({ ...session, user, at: this.device() - age }));
  }

  device() {
    return SERVER_EPOCH + this.time + this.deviceClock;
  }

  /** Web Locks, as far as they are used: one holder, the others in turn. */
  lock(name, work) {
    if (!this.hasLocks) return work();
    const turn = (this.held.get(name) ?? Promise.resolve()).then(work);
    this.held.set(name, turn.catch(() => {}));
    return turn;
  }
}

class Page {
  constructor(world, number, options) {
    Object.assign(this, { world, number, isHidden: false });
    this.braze = new FakeSdk(this);
    this.auth = connectBrazeAuth(
      this.braze,
      {
        app: "web",
        endpoint: "https://auth.test",
        login: () => this.#call({ mint: [] }, "mint"),
        onReloginNeeded: (code) => this.out({ relogin: code }),
        ...options,
      },
      this.#environment(),
    );
  }

  out(call) {
    this.world.out(this.number, call);
  }

  #call(call, kind, signal) {
    this.out(call);
    return new Promise((resolve, reject) => {
      const open = { kind, page: this.number, resolve, reject };
      signal?.addEventListener("abort", () => {
        open.gone = true;
        reject(signal.reason);
      });
      this.world.open.push(open);
    });
  }

  #environment() {
    const { world } = this;
    return {
      now: () => world.device(),
      random: () => world.random,
      setTimer: (work, milliseconds) => {
        if (!(milliseconds >= 0 && milliseconds < 2 ** 31)) throw new Error(`a browser's timer cannot take ${milliseconds}`);
        world.timers.set(++world.timerId, { at: world.time + milliseconds, work });
        return world.timerId;
      },
      clearTimer: (timer) => world.timers.delete(timer),
      fetch: (url, init) => this.#fetch(url, init),
      storage: this.#storage(),
      lock: (name, work) => world.lock(name, work),
      join: (name, hear) => {
        const member = { page: this.number, hear };
        world.channel.add(member);
        return () => [...world.channel].filter((other) => other !== member).forEach((other) => setImmediate(other.hear));
      },
      onWake: (wake) => (this.wake = wake),
      hidden: () => this.isHidden,
    };
  }

  #fetch(url, { body, signal, method, headers }) {
    const kinds = { "token/refresh": "refresh", "token/revoke": "revoke", failures: "report" };
    const kind = kinds[url.replace("https://auth.test/v1/", "")];
    if (!kind || method !== "POST" || headers["Content-Type"] !== "application/json") throw new Error(`unexpected call ${url}`);
    return this.#call({ [kind]: JSON.parse(body) }, kind, signal);
  }

  #storage() {
    const { shelf } = this.world;
    const refuse = () => {
      if (!this.world.hasStorage) throw new Error("storage is blocked");
    };
    return {
      getItem: (key) => (refuse(), shelf.get(key) ?? null),
      setItem: (key, value) => {
        refuse();
        shelf.set(key, value);
        this.out({ save: JSON.parse(value).refresh_token ?? null });
      },
      removeItem: (key) => {
        refuse();
        shelf.delete(key);
        this.out({ forget: [] });
      },
    };
  }
}

/** Writes down what it is told. */
class FakeSdk {
  #page;
  #hear = () => {};
  constructor(page) {
    this.#page = page;
  }
  subscribeToSdkAuthenticationFailures(hear) {
    this.#hear = hear;
  }
  fail({ error_code = 22, ...failure }) {
    const { user_id: userId, reason, signature } = failure;
    this.#hear(JSON.parse(JSON.stringify({ errorCode: error_code, reason, userId, signature })));
  }
  changeUser(id, signature) {
    if (typeof id !== "string") throw new Error("changeUser wants a string");
    this.#page.out({ changeUser: signature === undefined ? [id] : [id, signature] });
  }
  openSession() {
    this.#page.out({ openSession: [] });
  }
  setSdkAuthenticationSignature(signature) {
    this.#page.out({ setSignature: signature });
    return true;
  }
  requestImmediateDataFlush() {
    this.#page.out({ flush: [] });
  }
}

/** An HTTP answer. */
export const response = (status, body, retryAfter) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), {
    status,
    headers: retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) },
  });

/** A problem document of the server. */
export const problem = (status, code, retry, retryAfter) =>
  response(status, { type: `urn:countersign:problem:${code}`, title: code, status, detail: code, code, retry, request_id: "q" }, retryAfter);

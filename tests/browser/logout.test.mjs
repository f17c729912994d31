// Logout with the real SDK in a browser that has a push subscription: what is sent, what is left, and who comes next.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, expiry, open, scenario, started } from './setup.mjs';

/** Deadline of logouts that lose what is queued, milliseconds. Others have the client's own, for a busy machine. */
const SHORT = 1500;

let setup;
before(async () => { setup = await open(); });
after(() => setup.close());

/** Runs a test in a browser whose pages may send notifications, and whose push service is a stand-in. */
const it = (name, work) => scenario(() => setup, name, async (visit) => {
  await visit.context.grantPermissions(['notifications'], { origin: visit.site.url });
  await visit.context.addInitScript(standIn);
  await work(visit);
});

/**
 * Stands in for the browser's push service, which headless Chromium has none of: one subscription, which all pages
 * share. `localStorage['push.unsubscribe']` says what becomes of an attempt to end it: `fails`, `hangs`, or it ends, and
 * is in `localStorage['push.ended']`.
 */
function standIn() {
  if (location.protocol === 'about:') return;
  const subscription = (endpoint) => ({
    endpoint,
    expirationTime: null,
    options: {},
    getKey: () => new Uint8Array([1, 2, 3]).buffer,
    unsubscribe: async () => {
      const how = localStorage['push.unsubscribe'];
      if (how === 'hangs') await new Promise(() => {});
      if (how === 'fails') return false;
      localStorage['push.ended'] += ` ${endpoint}`;
      localStorage.removeItem('push.endpoint');
      return true;
    },
  });
  const pushManager = {
    getSubscription: async () => localStorage['push.endpoint'] ? subscription(localStorage['push.endpoint']) : null,
    subscribe: async () => subscription(localStorage['push.endpoint'] ??= `https://push.test/${crypto.randomUUID()}`),
  };
  const registration = { pushManager, update: async () => {}, unregister: async () => true };
  for (const [name, value] of Object.entries({ register: async () => registration, getRegistration: async () => registration, ready: Promise.resolve(registration) })) {
    Object.defineProperty(navigator.serviceWorker, name, { value });
  }
}

/** Logs in, and waits until Braze has the browser's push token for the user. */
async function subscribed(visit, page, instead) {
  assert.equal(await call(page, 'login', visit.user, instead), true);
  const isRegistered = async () => {
    await page.evaluate(() => window.app.braze.requestImmediateDataFlush());
    const endpoint = await page.evaluate(() => localStorage['push.endpoint']);
    assert.deepEqual(await visit.sandbox.pushTokens(visit.user), [endpoint]);
  };
  // The SDK subscribes at a session's start, too; where both are under way, it may keep the token of the first.
  await eventually(async () => {
    await page.evaluate(() => window.app.braze.requestPushPermission());
    await eventually(isRegistered, 5_000);
  });
}

/** Logs events of the user, and has none of them sent. */
const queue = (page, ...names) => page.evaluate((names) => names.forEach((name) => window.app.braze.logCustomEvent(name)), names);

const logout = (page) => page.evaluate(() => window.app.auth.logout());

/** Everything that pages of the origin have stored: entries of localStorage, cookies, and records of the SDK's database. */
const stored = (page) => page.evaluate(async () => {
  const answer = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
  const database = await answer(indexedDB.open('AppboyServiceWorkerAsyncStorage'));
  const records = {};
  for (const name of database.objectStoreNames) {
    records[name] = await answer(database.transaction(name).objectStore(name).getAll());
  }
  database.close();
  return { local: { ...localStorage }, cookies: document.cookie, records };
});

/** The SDK's entries that are of a user, or that tell one user from the next. */
const OF_A_USER = [
  'userId', 'deviceId', 'sessionId', 'events', 'attributes', 'pushToken', 'signature', 'alias', 'triggers', 'cc', 'ff', 'banners',
];

/** Checks that nobody has stored the user or a token. */
async function nothingOf(visit, page) {
  const everything = await stored(page);
  const text = JSON.stringify(everything);
  assert(!text.includes(visit.user), text);
  assert.doesNotMatch(text, /eyJ[\w-]+\.eyJ/);
  return everything;
}

/** Checks that the SDK is as on a new device. */
async function forgotten(visit, page) {
  const { local, records } = await nothingOf(visit, page);
  // Disabling begins a session of nobody, whose start comes back where it cannot be sent.
  const isNobodys = (key) => key.startsWith('ab.storage.events.') && JSON.parse(local[key]).v.every((event) => !event.u && event.t === 'ss');
  const isKept = (key) => OF_A_USER.some((name) => key.startsWith(`ab.storage.${name}.`)) && !isNobodys(key);
  assert.deepEqual(Object.keys(local).filter(isKept), []);
  assert.deepEqual(Object.keys(records).filter((name) => name !== 'optOut' && records[name].length > 0), []);
}

/**
 * Lets another user log in on the page, and checks that this works as on a new device, and brings nothing of the former one,
 * of whom Braze has the events `former`; without it, nobody knows which. Where the logout did not come to the SDK's own,
 * Braze keeps the push token: then the SDK has ended that subscription before it subscribed anew, and nothing reaches this
 * browser by it.
 */
async function next(visit, page, former, { isUnregistered = true } = {}) {
  const [first, second] = [visit.user, `${visit.user}-second`];
  visit.user = second;
  const refreshes = visit.refreshes();
  // The next user's token expires, too: the client still hears of it, on a busy machine before the subscription is known.
  await subscribed(visit, page, 'brief');
  await expiry();
  await call(page, 'event', 'of the next user');
  await visit.delivered('of the next user');
  assert.equal(visit.refreshes(), refreshes + 1);
  visit.user = first;
  if (former) await visit.delivered(...former);
  const ended = await page.evaluate(() => localStorage['push.ended'] ?? '');
  await eventually(async () => {
    const tokens = await visit.sandbox.pushTokens(first);
    assert.deepEqual(isUnregistered ? tokens : tokens.filter((token) => !ended.includes(token)), []);
  });
}

it('a logout sends everything, unregisters push once, and leaves nothing behind', async (visit) => {
  const page = await visit.page();
  await subscribed(visit, page);
  await queue(page, 'a', 'b', 'c');
  assert.deepEqual(await logout(page), { clean: true });
  await visit.delivered('a', 'b', 'c');
  await eventually(async () => assert.deepEqual(await visit.sandbox.unregistrations(visit.user), [null]));
  assert.deepEqual(await visit.sandbox.pushTokens(visit.user), []);
  assert.equal(await visit.live(), 0);
  await forgotten(visit, page);
  assert.deepEqual(visit.requested, ['/v1/token/revoke']);
  assert.deepEqual(await visit.codes(), []);
  await next(visit, page, ['a', 'b', 'c']);
});

it('a token that expired before the logout is refreshed first', async (visit) => {
  const page = await visit.page();
  await subscribed(visit, page, 'brief');
  await queue(page, 'a', 'b');
  await expiry();
  assert.deepEqual(await logout(page), { clean: true });
  await visit.delivered('a', 'b');
  await eventually(async () => assert.deepEqual(await visit.sandbox.unregistrations(visit.user), [null]));
  assert.deepEqual(visit.requested, ['/v1/token/refresh', '/v1/token/revoke']);
  assert.equal(await visit.live(), 0);
  await forgotten(visit, page);
});

it('a token that is due for refresh is refreshed first, also where nothing is queued', async (visit) => {
  await visit.context.route('**/backend/session', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), refresh_in: 60 } });
  });
  const page = await visit.page();
  await subscribed(visit, page, 'brief');
  await expiry();
  // As if a minute had passed.
  await page.evaluate(() => {
    const now = Date.now;
    Date.now = () => now() + 61_000;
  });
  // On a busy machine the brief token may have been refused before.
  const refused = await visit.codes();
  assert.deepEqual(await logout(page), { clean: true });
  await eventually(async () => assert.deepEqual(await visit.sandbox.unregistrations(visit.user), [null]));
  assert.deepEqual(visit.requested, ['/v1/token/refresh', '/v1/token/revoke']);
  assert.deepEqual(await visit.codes(), refused);
});

it('offline: the device forgets, and the session ends when the network is back', async (visit) => {
  const page = await visit.page('6', 'login', SHORT);
  await subscribed(visit, page);
  await queue(page, 'lost');
  await visit.context.setOffline(true);
  const begun = Date.now();
  assert.deepEqual(await logout(page), { clean: false, lost: 'events' });
  console.log(`offline: ${Date.now() - begun} ms with a deadline of ${SHORT}`);
  await forgotten(visit, page);
  assert.equal(await visit.live(), 1);
  await visit.context.setOffline(false);
  await eventually(async () => assert.equal(await visit.live(), 0));
  await forgotten(visit, page);
  await next(visit, page, [], { isUnregistered: false });
});

it('a tab that is closed in the middle: the next page forgets, and ends the session first', async (visit) => {
  const tab = await visit.page('6', 'login', SHORT);
  await subscribed(visit, tab);
  let held = false;
  await visit.context.route('**/api/v3/data/', () => { held = true; });
  await queue(tab, 'lost');
  await tab.evaluate(() => { void window.app.auth.logout(); });
  await eventually(() => assert(held, 'the logout sends what is queued'));
  await tab.close();
  await visit.context.unrouteAll({ behavior: 'ignoreErrors' });
  assert.equal(await visit.live(), 1);
  const page = await visit.page('6', 'login', SHORT);
  await eventually(() => forgotten(visit, page));
  await eventually(async () => assert.equal(await visit.live(), 0));
  assert.deepEqual(visit.requested, ['/v1/token/revoke']);
  // The browser may have sent what was queued when it closed the tab.
  await next(visit, page, undefined, { isUnregistered: false });
});

for (const how of ['fails', 'hangs']) {
  it(`an unsubscription that ${how}: the device forgets all the same`, async (visit) => {
    const page = await visit.page();
    await subscribed(visit, page);
    await queue(page, 'a');
    await page.evaluate((how) => { localStorage['push.unsubscribe'] = how; }, how);
    assert.deepEqual(await logout(page), { clean: false, lost: 'push' });
    await page.evaluate(() => localStorage.removeItem('push.unsubscribe'));
    await forgotten(visit, page);
    await visit.delivered('a');
    await eventually(async () => assert.equal(await visit.live(), 0));
    await next(visit, page, ['a']);
  });
}

it('Countersign is down: the next page ends the session', async (visit) => {
  const page = await visit.page();
  await subscribed(visit, page);
  await queue(page, 'a');
  await visit.withoutService(async () => {
    assert.deepEqual(await logout(page), { clean: false, lost: 'session' });
    await forgotten(visit, page);
  });
  await visit.delivered('a');
  assert.deepEqual(await visit.sandbox.pushTokens(visit.user), []);
  await page.reload();
  await started(page);
  await eventually(async () => assert.equal(await visit.live(), 0));
  await next(visit, page, ['a']);
});

it('one of two tabs logs out: the other one sends nothing more of that user', async (visit) => {
  const [first, second] = [await visit.page(), await visit.page()];
  await subscribed(visit, first);
  assert.equal(await call(second, 'login', visit.user), true);
  await queue(second, 'a');
  assert.deepEqual(await logout(first), { clean: true });
  await visit.delivered('a');
  await call(second, 'event', 'of nobody');
  await eventually(async () => {
    const { events } = await visit.sandbox.call('GET', 'events');
    assert(events.some(({ user_id, data }) => user_id === null && data?.n === 'of nobody'));
  });
  assert.equal(await visit.live(), 0);
  await nothingOf(visit, second);
  assert.equal((await visit.sandbox.unregistrations(visit.user)).length, 1);
  await next(visit, second, ['a']);
});

it('a second logout is the first, and a login waits for it', async (visit) => {
  const page = await visit.page();
  await subscribed(visit, page);
  await queue(page, 'a');
  const second = `${visit.user}-second`;
  const results = await page.evaluate((user) => {
    const { auth, login } = window.app;
    return Promise.all([auth.logout(), auth.logout(), login(user)]);
  }, second);
  assert.deepEqual(results, [{ clean: true }, { clean: true }, true]);
  assert.deepEqual(visit.requested, ['/v1/token/revoke']);
  assert.deepEqual([await visit.live(), await visit.live(second)], [0, 1]);
  await call(page, 'event', 'b');
  await visit.delivered('a');
  assert.equal((await visit.sandbox.unregistrations(visit.user)).length, 1);
  visit.user = second;
  await visit.delivered('b');
});

it('SDK 5, which has no logout, goes on as it is', async (visit) => {
  const page = await visit.page('5');
  await call(page, 'login', visit.user);
  await queue(page, 'a');
  assert.deepEqual(await logout(page), { clean: true });
  assert.deepEqual(visit.requested, ['/v1/token/revoke']);
  await call(page, 'event', 'b');
  await visit.delivered('a', 'b');
});

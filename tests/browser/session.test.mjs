// Logins, authentication failures, and the client's reactions.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, expiry, open, scenario, seen, started } from './setup.mjs';

let setup;
before(async () => { setup = await open(); });
after(() => setup.close());
const it = (name, work) => scenario(() => setup, name, work);

for (const sdk of ['6', '5']) {
  it(`SDK ${sdk}: login, and the events of the session are accepted`, async (visit) => {
    const page = await visit.page(sdk);
    await call(page, 'login', visit.user);
    await call(page, 'event', 'a');
    await visit.delivered('a');
    assert.deepEqual(await visit.codes(), []);
    assert.deepEqual(visit.requested, [], 'the page needs no call of its own');
  });

  it(`SDK ${sdk}: a token that expires in mid-session is replaced by one refresh`, async (visit) => {
    const page = await visit.page(sdk);
    await call(page, 'login', visit.user, 'brief');
    await call(page, 'event', 'before');
    await visit.delivered('before');
    await expiry();
    await call(page, 'event', 'after');
    await visit.delivered('before', 'after');
    assert.equal(visit.refreshes(), 1);
    assert(new Set(await visit.codes()).has(22));
  });

  it(`SDK ${sdk}: a burst of failures is one refresh`, async (visit) => {
    const release = await visit.holdRefreshes();
    const page = await visit.page(sdk);
    await call(page, 'login', visit.user, 'brief');
    await expiry();
    await page.evaluate(() => {
      window.app.event('a');
      window.app.braze.requestContentCardsRefresh();
      window.app.braze.refreshFeatureFlags();
    });
    await eventually(async () => assert((await seen(page, 'failures')).length >= 2, 'several requests were refused'));
    release();
    await visit.delivered('a');
    assert.equal(visit.refreshes(), 1);
  });

  it(`SDK ${sdk}: a lost answer of a refresh is asked for again`, async (visit) => {
    let lost = 0;
    await visit.context.route('**/v1/token/refresh', async (route) => {
      if (lost) return route.continue();
      lost += 1;
      await route.fetch();
      return route.abort('connectionreset');
    });
    const page = await visit.page(sdk);
    await call(page, 'login', visit.user, 'expired');
    await call(page, 'event', 'a');
    await visit.delivered('a');
    assert.equal(lost, 1);
    assert.equal(visit.refreshes(), 2);
    assert.equal(visit.site.logins.filter((user) => user === visit.user).length, 1, 'nobody had to log in again');
  });
}

it('numeric ids become strings', async (visit) => {
  visit.user = `${Date.now()}`;
  const page = await visit.page();
  await page.evaluate((user) => window.app.login(Number(user)), visit.user);
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert.deepEqual(await visit.codes(), []);
});

it('a missing token is put back', async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'a');
  await visit.delivered('a');
  await page.evaluate(() => {
    for (const key of Object.keys(localStorage)) if (key.startsWith('ab.storage.signature.')) localStorage.removeItem(key);
  });
  await call(page, 'event', 'b');
  await visit.delivered('a', 'b');
  assert.deepEqual([...new Set(await visit.codes())], [26]);
  assert(visit.refreshes() <= 1);
});

it("another user's token is replaced", async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user, 'another_user');
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert.deepEqual([...new Set(await visit.codes())], [21]);
  assert.equal(visit.refreshes(), 1);
});

it('events that were refused after the new token came are sent with it', async (visit) => {
  const refresh = await visit.holdRefreshes();
  let late;
  const held = new Promise((done) => {
    visit.context.route('**/api/v3/data/', async (route) => {
      if (late || !route.request().postData()?.includes('"late"')) return route.continue();
      await new Promise((release) => { late = release; done(); });
      return route.continue();
    });
  });
  const page = await visit.page();
  await call(page, 'login', visit.user, 'another_user');
  await eventually(async () => assert((await seen(page, 'failures')).length > 0, 'the session start was refused'));
  await call(page, 'event', 'late');
  await held;
  refresh();
  await page.waitForFunction((user) => Object.entries(localStorage).some(([key, value]) => (
    key.startsWith('ab.storage.signature.') && atob(JSON.parse(value).v.split('.')[1]).includes(user))), visit.user);
  const released = Date.now();
  late();
  await visit.delivered('late');
  assert(Date.now() - released < 10_000, 'the SDK by itself would have waited 10 s at least');
  assert.equal(visit.refreshes(), 1);
});

it('a token that is none is replaced', async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user, 'garbage');
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert.equal(visit.refreshes(), 1);
});

it('a user switch overtakes a refresh in flight', async (visit) => {
  const release = await visit.holdRefreshes();
  const page = await visit.page();
  const [first, second] = [visit.user, `${visit.user}-second`];
  await call(page, 'login', first, 'expired');
  await call(page, 'event', 'of the first');
  await eventually(() => assert.equal(visit.refreshes(), 1));
  await call(page, 'login', second);
  release();
  await call(page, 'event', 'of the second');
  visit.user = second;
  await visit.delivered('of the second');
  assert.deepEqual(await visit.codes(), [], "the first user's token was never used for the second");
  await call(page, 'login', first);
  visit.user = first;
  await visit.delivered('of the first');
});

it('a reload with a stale token heals with one refresh and no login', async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user, 'brief');
  await call(page, 'event', 'a');
  await visit.delivered('a');
  await expiry();
  await page.reload();
  await started(page);
  await call(page, 'login', visit.user);
  await call(page, 'event', 'b');
  await visit.delivered('a', 'b');
  assert.equal(visit.refreshes(), 1);
  assert.equal(visit.site.logins.filter((user) => user === visit.user).length, 1);
});

it('three tabs share one refresh', async (visit) => {
  const release = await visit.holdRefreshes();
  const pages = [await visit.page(), await visit.page(), await visit.page()];
  await call(pages[0], 'login', visit.user, 'brief');
  await Promise.all(pages.slice(1).map((page) => call(page, 'login', visit.user)));
  await expiry();
  // One tab after the other: the SDK has one queue for all tabs, and loses rows if two tabs put theirs back at once.
  for (const [at, page] of pages.entries()) {
    await call(page, 'event', `tab ${at}`);
    await eventually(async () => assert.notDeepEqual(await seen(page, 'failures'), []));
  }
  release();
  await visit.delivered('tab 0', 'tab 1', 'tab 2');
  assert.equal(visit.refreshes(), 1);
  assert.equal(visit.site.logins.filter((user) => user === visit.user).length, 1, 'the tabs share the session');
});

it('logout revokes the session, and the client is quiet', async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'a');
  await visit.delivered('a');
  await page.evaluate(() => window.app.auth.logout());
  assert.deepEqual(visit.requested, ['/v1/token/revoke']);
  assert.equal(await visit.live(), 0);
});

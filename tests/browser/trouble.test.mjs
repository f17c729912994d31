// Failures: the service is down, the user is opted out or revoked, or Braze refuses every token.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, expiry, open, scenario, seen } from './setup.mjs';
import { PageServer } from './site.mjs';

let setup;
before(async () => { setup = await open(); });
after(() => setup.close());
const it = (name, work) => scenario(() => setup, name, work);

/** Waits until Braze has refused this many of the user's requests. */
const refused = (visit, times) => eventually(async () => assert((await visit.codes()).length >= times), 90_000);

it('a service that is down for a while costs no event, and is not stormed', async (visit) => {
  const page = await visit.eagerPage();
  await call(page, 'login', visit.user, 'brief');
  await visit.withoutService(async () => {
    await expiry();
    const begun = Date.now();
    await call(page, 'event', 'a');
    await refused(visit, 20);
    await call(page, 'event', 'b');
    // The client's back-off has bounds of 1, 2, 4, … s; a random wait is half of the bound on average.
    const seconds = (Date.now() - begun) / 1000;
    assert(visit.refreshes() <= 8, `${visit.refreshes()} refreshes in ${seconds} s`);
  });
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await visit.delivered('a', 'b');
  assert.equal(visit.site.logins.filter((user) => user === visit.user).length, 1);
});

it('an opted-out user is left alone', async (visit) => {
  const page = await visit.eagerPage();
  await call(page, 'login', visit.user, 'brief');
  await visit.service.run('users', 'opt-out', visit.user);
  await expiry();
  await call(page, 'event', 'a');
  await refused(visit, 6);
  assert.equal(visit.refreshes(), 1);
  assert.deepEqual(await seen(page, 'relogin'), [], 'a login would not help');
  assert.deepEqual(await visit.sandbox.events(visit.user), []);
});

it('a key pasted badly into Braze (25): reported once, and not refreshed', async (visit) => {
  const page = await visit.eagerPage();
  const answers = [];
  page.on('response', (answer) => answer.url().endsWith('/v1/failures') && answer.request().method() === 'POST' && answers.push(answer.status()));
  await page.route('**/api/v3/**', async (route) => {
    const response = await route.fetch();
    const body = await response.json().catch(() => ({}));
    if (body.auth_error) body.auth_error.error_code = 25;
    await route.fulfill({ response, json: body });
  });
  await call(page, 'login', visit.user, 'garbage');
  for (const [at, name] of ['a', 'b', 'c'].entries()) {
    await call(page, 'event', name);
    await eventually(async () => assert((await seen(page, 'failures')).filter((code) => code === 25).length > at));
  }
  assert.deepEqual([answers, visit.refreshes()], [[204], 0]);
});

it('a revoked session asks for a new login, once', async (visit) => {
  const page = await visit.eagerPage();
  await call(page, 'login', visit.user, 'brief');
  await visit.service.run('users', 'revoke', visit.user);
  await expiry();
  await call(page, 'event', 'a');
  await refused(visit, 6);
  assert.equal(visit.refreshes(), 1);
  assert.equal((await seen(page, 'relogin')).length, 1);
  await call(page, 'login', visit.user);
  await visit.delivered('a');
});

it('fifty refusals in a row cost no event', async (visit) => {
  const page = await visit.eagerPage();
  await call(page, 'login', visit.user, 'brief');
  await visit.withoutService(async () => {
    await expiry();
    await call(page, 'event', 'a');
    await refused(visit, 60);
  });
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await visit.delivered('a');
});

it('under Optional everything is taken, and the web SDK says nothing', async (visit) => {
  await visit.sandbox.call('PATCH', 'apps/web', { enforcement: 'optional' });
  try {
    const page = await visit.page();
    await call(page, 'login', visit.user, 'expired');
    await call(page, 'event', 'a');
    await visit.delivered('a');
    assert((await visit.codes()).includes(22), 'Braze counts it');
    assert.deepEqual(await seen(page, 'failures'), []);
    assert.equal(visit.refreshes(), 0);
  } finally {
    await visit.sandbox.call('PATCH', 'apps/web', { enforcement: 'required' });
  }
});

it("a page of another origin reads nothing (R43)", async (visit) => {
  const minted = await fetch(`${visit.service.url}/v1/token/generate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${visit.service.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ app: 'web', user_id: visit.user }),
  });
  const { refresh_token } = await minted.json();
  const foreign = await PageServer.create();
  foreign.connect(visit.service, visit.sandbox);
  try {
    const page = await visit.context.newPage();
    const attempt = ([url, type, refresh_token]) => fetch(`${url}/v1/token/refresh`, {
      method: 'POST', headers: { 'content-type': type }, body: JSON.stringify({ refresh_token }),
    }).then((answer) => answer.status, (error) => error.name);
    await page.goto(`${foreign.url}/config`);
    for (const type of ['application/json', 'text/plain']) {
      assert.equal(await page.evaluate(attempt, [visit.service.url, type, refresh_token]), 'TypeError', `foreign, ${type}`);
    }
    await page.goto(`${visit.site.url}/config`);
    assert.equal(await page.evaluate(attempt, [visit.service.url, 'application/json', refresh_token]), 200, 'the app itself');
  } finally {
    await foreign.remove();
  }
});

// Credential mode: the app's own session, of the local OpenID provider or of a cookie, is all that a login needs.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, expiry, open, scenario, seen } from './setup.mjs';
import { sign } from './site.mjs';

let setup;
before(async () => { setup = await open({ signIn: true }); });
after(() => setup.close());

/** Runs a test as a user who is logged in at the provider. */
const it = (name, work) => scenario(() => setup, name, async (visit) => {
  visit.site.logIn(visit.user);
  await work(visit, () => visit.page('6', 'credential'));
});

const pause = (milliseconds) => new Promise((over) => setTimeout(over, milliseconds));
const asked = (visit) => visit.site.credentials.filter((user) => user === visit.user).length;

/** Lets the exchanges' tokens expire within two seconds: the service mints none so brief. */
const brieflyExchanged = (visit) =>
  visit.context.route('**/v1/token/exchange', async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    if (response.ok()) answer.token = sign({ sub: visit.user, exp: Math.floor(Date.now() / 1000) + 2 });
    await route.fulfill({ response, json: answer });
  });

/** Opens a page whose brief token was accepted once, and has expired; later exchanges give tokens of an hour. */
async function lapsed(visit, open) {
  await brieflyExchanged(visit);
  const page = await open();
  assert.equal(await call(page, 'login', visit.user), true);
  await call(page, 'event', 'before');
  await visit.delivered('before');
  await visit.context.unroute('**/v1/token/exchange');
  await expiry();
  return page;
}

/** Logs the user out at the provider, which tells the service. */
async function logOut(visit) {
  const to = `${visit.service.url}/v1/sign-out/backchannel/web`;
  const { status } = await visit.sandbox.provider('logout', { sub: visit.user, sid: visit.site.sessions.get(visit.user), to });
  assert.equal(status, 200);
}

it('a login by the provider\'s ID token, without a backend', async (visit, open) => {
  const page = await open();
  const sent = page.waitForRequest('**/v1/token/exchange');
  assert.equal(await call(page, 'login', visit.user), true);
  assert.deepEqual((await sent).postDataJSON(), { app: 'web' });
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert.deepEqual(visit.requested, ['/v1/token/exchange']);
  assert.deepEqual(visit.site.logins.filter((user) => user === visit.user), []);
  // A reload needs no credential; storage has none.
  await page.reload();
  await page.waitForFunction(() => window.app?.started);
  assert.equal(await call(page, 'login', visit.user), true);
  assert.deepEqual([visit.exchanges(), asked(visit)], [1, 1]);
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  const credential = (await (await sent).headerValue('authorization')).replace('Bearer ', '');
  assert(credential.length > 100 && !stored.includes(credential));
});

it('an expired token is refreshed, not exchanged', async (visit, open) => {
  const page = await lapsed(visit, open);
  await call(page, 'event', 'after');
  await visit.delivered('before', 'after');
  assert.deepEqual([visit.exchanges(), visit.refreshes(), asked(visit)], [1, 1, 1]);
});

it('a session that an operator ended is replaced by an exchange, and nobody is asked', async (visit, open) => {
  const page = await lapsed(visit, open);
  await visit.service.run('users', 'revoke', visit.user, '--app', 'web');
  await call(page, 'event', 'after');
  await visit.delivered('before', 'after');
  assert.deepEqual([visit.exchanges(), visit.refreshes(), asked(visit)], [2, 1, 2]);
  assert.deepEqual(await seen(page, 'relogin'), []);
});

it('a logout at the provider ends the session, and a new login there heals it', async (visit, open) => {
  const page = await lapsed(visit, open);
  await logOut(visit);
  await call(page, 'event', 'after');
  await eventually(async () => assert.deepEqual(await seen(page, 'relogin'), ['unauthorized']));
  const { length } = visit.requested;
  await call(page, 'event', 'later');
  await pause(2000);
  assert.equal(visit.requested.length, length, 'quiet until the next login');
  // The app is asked once more; what it then gives is sent if it is another one, that of the next second.
  assert.deepEqual([asked(visit), visit.refreshes()], [3, 1]);
  assert([2, 3].includes(visit.exchanges()));
  visit.site.logIn(visit.user);
  assert.equal(await call(page, 'login', visit.user), true);
  await visit.delivered('before', 'after', 'later');
});

it('nobody is logged in: nothing is sent', async (visit, open) => {
  const page = await lapsed(visit, open);
  await logOut(visit);
  visit.site.sessions.delete(visit.user);
  await call(page, 'event', 'after');
  await eventually(async () => assert.deepEqual(await seen(page, 'relogin'), ['invalid_token']));
  assert.deepEqual([visit.exchanges(), visit.refreshes()], [1, 1]);
  const failed = await page.evaluate((user) => window.app.login(user).catch(({ message }) => message), visit.user);
  assert.equal(failed, 'no token');
  assert.equal(visit.exchanges(), 1);
});

it('three tabs that log in together exchange once, and recover together', async (visit, open) => {
  const pages = [await open(), await open(), await open()];
  await brieflyExchanged(visit);
  await Promise.all(pages.map((page) => call(page, 'login', visit.user)));
  assert.equal(visit.exchanges(), 1);
  await visit.context.unroute('**/v1/token/exchange');
  await visit.service.run('users', 'revoke', visit.user, '--app', 'web');
  await expiry();
  for (const [at, page] of pages.entries()) await call(page, 'event', `of tab ${at}`);
  await eventually(async () => assert((await visit.sandbox.events(visit.user)).length > 0));
  assert.equal(visit.exchanges(), 2);
  for (const page of pages) assert.deepEqual(await seen(page, 'relogin'), []);
});

it('a change of the provider\'s key: a login waits for the time that the service says', async (visit, open) => {
  const page = await open();
  const statuses = [];
  page.on('response', (answer) => { if (answer.url().endsWith('/exchange')) statuses.push(answer.status()); });
  // The second change comes before the service may fetch keys again.
  for (const user of [`${visit.user}-first`, visit.user]) {
    visit.site.logIn(user);
    await visit.sandbox.provider('rotate');
    assert.equal(await call(page, 'login', user), true);
  }
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert(statuses.includes(503) && !statuses.includes(401), statuses);
  console.log(`exchanges after two changes of the key: ${statuses}`);
});

scenario(() => setup, 'the site\'s own cookie is a credential', async (visit) => {
  visit.site.logIn(visit.user);
  const cookie = { name: 'app_session', value: visit.site.sessions.get(visit.user), url: visit.site.url, httpOnly: true };
  await visit.context.addCookies([cookie]);
  const page = await visit.page('6', 'cookie');
  assert.equal(await call(page, 'login', visit.user), true);
  await call(page, 'event', 'a');
  await visit.delivered('a');
  assert.deepEqual(visit.requested, ['/v1/token/exchange']);
  await page.evaluate(() => window.app.auth.logout());
  await visit.context.clearCookies();
  const code = await page.evaluate((user) => window.app.login(user).catch((error) => error.code), visit.user);
  assert.equal(code, 'unauthorized');
});

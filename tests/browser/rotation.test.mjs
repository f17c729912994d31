// Keys that are replaced while a page is open: the real SDK notices nothing of a rotation, and recovers from a compromise.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, open, scenario, seen } from './stage.mjs';

let stage;
before(async () => {
  stage = await open();
  const { service, sandbox } = stage;
  await service.down();
  Object.assign(service.env, {
    COUNTERSIGN_BRAZE__MAIN__REST_URL: sandbox.url,
    COUNTERSIGN_BRAZE__MAIN__API_KEY: sandbox.restApiKey,
    COUNTERSIGN_APPS__WEB__WORKSPACE: 'main',
    COUNTERSIGN_APPS__WEB__BRAZE_APP_ID: sandbox.appId,
    COUNTERSIGN_RINGS__MAIN__ROTATION__SOAK: '0s',
  });
  await service.up();
});
after(() => stage.close());
const it = (name, work) => scenario(() => stage, name, work);

/** The key that signs. */
const active = async (visit) => (await visit.service.run('keys', 'public')).kid;

/** A command that ends with "waiting" (3), since tokens of the old key are alive. */
async function waiting(visit, ...args) {
  await assert.rejects(visit.service.run(...args), ({ code }) => code === 3);
}

it('a rotation in mid-session is not noticed', async (visit) => {
  const page = await visit.page();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'before');
  await visit.delivered('before');
  const old = await active(visit);
  await waiting(visit, 'rotate', 'run', '--yes');
  // The process that was killed at the start is taken for alive for 30 s; then the service goes on by itself.
  await eventually(async () => assert.notEqual(await active(visit), old), 60_000);
  await call(page, 'event', 'with the old token');
  await visit.delivered('before', 'with the old token');
  // Nodes follow within 2 s; whichever key signs meanwhile, Braze has it.
  for (let n = 0; n < 8; n += 1) {
    await call(page, 'login', visit.user);
    await call(page, 'event', `login ${n}`);
    await new Promise((done) => setTimeout(done, 300));
  }
  await eventually(async () => assert.equal((await visit.sandbox.events(visit.user)).length, 10));
  assert.deepEqual(await visit.codes(), []);
  assert.deepEqual(await seen(page, 'failures'), [], 'no auth error');
});

it('a compromise is one auth error, and heals by itself', async (visit) => {
  const page = await visit.eagerPage();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'before');
  await visit.delivered('before');
  const bad = await active(visit);
  // The key before is still published and takes over at once; its place is not waited for.
  await visit.service.run('keys', 'compromise', bad).catch(({ code }) => assert.equal(code, 3));
  assert.notEqual(await active(visit), bad);
  await call(page, 'event', 'after');
  await visit.delivered('before', 'after');
  assert((await visit.codes()).every((code) => code === 27), 'Braze does not have the key any more');
  assert((await seen(page, 'failures')).length >= 1);
  assert.equal(visit.refreshes() >= 1, true);
  assert.deepEqual(await seen(page, 'relogin'), [], 'nobody has to log in again');
});

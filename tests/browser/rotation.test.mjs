// Key changes in mid-session: a rotation causes no failure, a compromise causes one refusal.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { call, eventually, open, scenario, seen } from './setup.mjs';

let setup;
before(async () => { setup = await open({ rotating: true }); });
after(() => setup.close());
const it = (name, work) => scenario(() => setup, name, work);

const activeKey = async ({ service }) => (await service.run('keys', 'list')).find((key) => key.state === 'active').kid;

/** Waits until Braze holds the active key and a stand-by key. */
async function ready(visit) {
  await eventually(async () => {
    await visit.service.run('braze', 'keys', 'apply');
    const keys = await visit.service.run('keys', 'list');
    const published = keys.filter(({ state }) => state === 'active' || state === 'published').map(({ kid }) => kid);
    const held = await visit.sandbox.keys();
    assert(published.length >= 2 && published.every((kid) => held.includes(kid)));
  });
}

it('a rotation in mid-session gives no failure', async (visit) => {
  await ready(visit);
  const page = await visit.page();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'before');
  await visit.delivered('before');
  const old = await activeKey(visit);
  await visit.service.run('rotate', 'run', '--yes');
  assert.notEqual(await activeKey(visit), old);
  await call(page, 'event', 'after');
  const other = await visit.page();
  await call(other, 'login', visit.user);
  await call(other, 'event', 'from another tab');
  await visit.delivered('before', 'after', 'from another tab');
  await call(page, 'login', `${visit.user}-new`);
  await call(page, 'event', 'of a new user');
  const { user } = visit;
  visit.user = `${user}-new`;
  await visit.delivered('of a new user');
  assert.deepEqual(await seen(page, 'failures'), []);
  assert.deepEqual(await seen(other, 'failures'), []);
  assert.equal(visit.refreshes(), 0);
});

it('a compromise gives a failure and heals by itself', async (visit) => {
  await ready(visit);
  const page = await visit.page();
  await call(page, 'login', visit.user);
  await call(page, 'event', 'before');
  await visit.delivered('before');
  const compromised = await activeKey(visit);
  await visit.service.run('keys', 'compromise', compromised, '--yes', '--why', 'a test');
  await eventually(async () => assert(!(await visit.sandbox.keys()).includes(compromised)));
  await call(page, 'event', 'after');
  await visit.delivered('before', 'after');
  assert.deepEqual([...new Set(await seen(page, 'failures'))], [27]);
  // A node notices within 2 s; until then a refresh may still return a token of the compromised key.
  assert(visit.refreshes() >= 1 && visit.refreshes() <= 3, `${visit.refreshes()} refreshes`);
});

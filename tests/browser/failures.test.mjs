// Failures that the SDK reports through the client, and what `countersign failures` says of them.

import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { call, eventually, open, scenario, started } from './setup.mjs';

/** Limit for a node to know a change, on a slow machine: Braze's list is compared every 5 s here, records are read every 9 s. */
const KNOWN = 150_000;

let managed, byHand;
before(async () => {
  managed = await open({ rotating: true, environment: { COUNTERSIGN_RINGS__MAIN__ROTATION__CHECK_EVERY: '5s' } });
  byHand = await open({ configuration: '\n[apps.ios]\n', published: false });
});
after(() => Promise.all([managed?.close(), byHand?.close()]));

/** Returns the sentence of a cause; fails where no app reported it. */
async function sentence(visit, cause) {
  const { failures } = await visit.service.run('failures');
  const found = failures.find((row) => row.cause === cause && row.app === 'web');
  assert(found, `${cause} is not among ${failures.map((row) => `${row.cause}: ${row.sentence}`).join('; ')}`);
  return found.sentence;
}

/** Logs in as another user each time, since a session counts once, until the cause is reported; returns its sentence. */
function reported(visit, page, cause) {
  let times = 0;
  return eventually(async () => {
    await call(page, 'login', `${visit.user}-${(times += 1)}`);
    await call(page, 'event', 'a');
    return eventually(() => sentence(visit, cause), 6_000);
  }, KNOWN);
}

scenario(() => managed, 'the flag for SDK authentication is off', async (visit) => {
  const page = await visit.context.newPage();
  await page.goto(`${visit.site.url}/?flag=off`);
  await started(page);
  assert.match(await reported(visit, page, 'token_missing'), /no token/);
});

/** Waits until Braze holds the active key and a stand-by key. */
async function ready(visit) {
  await eventually(async () => {
    await visit.service.run('braze', 'keys', 'apply');
    assert((await visit.sandbox.keys()).length >= 2);
  }, KNOWN);
}

scenario(() => managed, "Braze's clock is two hours ahead", async (visit) => {
  await ready(visit);
  await visit.sandbox.call('PATCH', 'switches', { clock_ahead_s: 7200 });
  try {
    assert.match(await reported(visit, await visit.eagerPage(), 'clock_behind'), /clock .* behind/);
  } finally {
    await visit.sandbox.call('PATCH', 'switches', { clock_ahead_s: 0 });
  }
});

scenario(() => managed, 'a key is withdrawn while its tokens are valid', async (visit) => {
  await ready(visit);
  const active = (await visit.service.run('keys', 'list')).find((key) => key.state === 'active').kid;
  const { apps } = await visit.sandbox.call('GET', 'state');
  const [{ keys }] = apps;
  const isActive = ({ description }) => description.split(' ')[1] === active;
  await visit.sandbox.makePrimary(keys.find((key) => !isActive(key)).id);
  await visit.sandbox.call('DELETE', `apps/web/keys/${keys.find(isActive).id}`);
  const text = await reported(visit, await visit.eagerPage(), 'key_withdrawn_too_early');
  assert(text.includes(active.slice(0, 4)), text);
});

scenario(() => byHand, "the key is at another app's list only", async (visit) => {
  const copy = join(visit.service.folder, 'copy.pem');
  await writeFile(copy, visit.service.publicKey);
  const { kid } = (await visit.service.run('keys', 'list'))[0];
  await visit.service.run('keys', 'confirm', kid, '--public-key', copy, '--app', 'ios');
  assert.match(await reported(visit, await visit.eagerPage(), 'key_at_another_app'), /ios/);
});

// `countersign demo`: each button of the page has the promised effect.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Demo } from './processes.mjs';
import { eventually, keepFailure, launch, newContext } from './setup.mjs';

let demo, browser;
before(async () => { [demo, browser] = [await Demo.create(), await launch()]; });
after(() => Promise.all([browser.close(), demo.remove()]));

/** Waits for the next second: the button "expire" spares tokens of the current one. */
const nextSecond = () => { const second = Math.floor(Date.now() / 1000); return eventually(async () => assert(Date.now() / 1000 >= second + 1)); };

test('the demo heals what its buttons break', async () => {
  const context = await newContext(browser);
  await context.tracing.start({ screenshots: true, snapshots: true });
  const page = await context.newPage();
  const external = [];
  page.on('request', (request) => { if (!request.url().startsWith('data:') && new URL(request.url()).hostname !== '127.0.0.1') external.push(request.url()); });
  const click = (act) => page.click(`[data-act=${act}]`);
  const log = () => page.innerText('#log');
  const braze = () => page.frameLocator('#sandbox').locator('#requests').innerText();
  const newest = async (pattern) => eventually(async () => assert.match((await braze()).split('\n')[0], pattern));
  try {
    await page.goto(demo.url);
    await page.click('text=Log in');
    await eventually(async () => assert.equal(await page.innerText('#who'), 'u-1'));
    await click('event');
    await newest(/u-1.*accepted$/);
    await nextSecond();
    await click('expire');
    await eventually(async () => assert.match(await log(), /failure: 22/));
    await newest(/u-1.*accepted$/);
    await click('rotate');
    await eventually(async () => assert.match(await log(), /rotate the key: done/));
    await click('cut');
    await nextSecond();
    await click('expire');
    await newest(/22 EXPIRED/);
    await click('mend');
    await newest(/u-1.*accepted$/);
    assert.deepEqual(external, [], 'nothing is asked of other machines');
  } catch (error) {
    await keepFailure(context, 'demo');
    throw error;
  } finally {
    await context.close();
  }
});

// The console as operators have it: each page narrow and wide, light and dark; by keyboard alone; refused; without script.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { ConsolePage, THEMES } from './console_page.mjs';
import { Sandbox, Service } from './processes.mjs';
import { eventually, keepFailure, launch } from './setup.mjs';

const PAGES = ['Overview', 'Keys', 'Rotation', 'Failures', 'Users', 'Callers', 'Nodes', 'Audit', 'Doctor'];
const LONG = 'u'.repeat(512);
/** State sentence: a word with its shape, or a sentence that judges nothing. */
const STATE = /^((● serving|▲ attention|■ stopped) )?\S.*\./;
const MOST_REQUESTS = 6;

let sandbox, service, browser, token;
before(async () => {
  [sandbox, browser] = [await Sandbox.create(), await launch()];
  service = await Service.create('http://127.0.0.1:1', sandbox.keyManagement());
  token = (await service.run('operators', 'create', 'alice', '--role', 'operator')).operator_token;
  await fill();
});
after(async () => {
  await browser?.close();
  await Promise.all([service?.remove(), sandbox?.remove()]);
});

/** Calls the service as an app does. */
async function post(path, body, headers = {}) {
  const answer = await fetch(`${service.url}/v1/${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  assert(answer.ok, `${path}: ${answer.status}`);
  return answer.status === 204 ? {} : answer.json();
}

/** Lets the service work, so that no page is empty: a rotation, sessions, failures. */
async function fill() {
  await eventually(async () => {
    await service.run('rotate', 'run', '--yes');
    const states = (await service.run('keys', 'list')).map(({ state }) => state).sort();
    assert.deepEqual(states, ['active', 'published', 'retiring']);
  });
  for (const [at, error_code] of [22, 22, 25, 27].entries()) {
    const { refresh_token } = await post('token/generate', { app: 'web', user_id: at ? `u-${at}` : LONG }, { authorization: `Bearer ${service.apiKey}` });
    await post('failures', { refresh_token, failure: { error_code, reason: 'TEST', platform: 'web', sdk_version: '6.13.0' } });
  }
  await eventually(async () => assert((await service.run('failures')).failures.length > 0, 'failures are on record'));
}

/** Runs a test in a browser context of its own; a failure leaves a trace and a screenshot. */
function shows(name, options, work) {
  test(name, async () => {
    const visit = await ConsolePage.open(browser, service, options);
    try {
      await work(visit);
    } catch (error) {
      await keepFailure(visit.context, name);
      throw error;
    } finally {
      await visit.context.close();
    }
  });
}

const wide = { viewport: { width: 1440, height: 900 } };
const phone = { viewport: { width: 375, height: 844 } };

for (const colorScheme of THEMES) {
  shows(`each page is whole, ${colorScheme}`, { ...phone, colorScheme }, async (visit) => {
    const { page } = visit;
    await visit.isGood('Log in');
    await visit.login(token);
    await visit.isAt('Overview');
    assert.deepEqual(await page.locator('nav a').allInnerTexts(), PAGES);
    for (const name of PAGES) {
      await visit.follow(name);
      assert(visit.requests.length <= MOST_REQUESTS, `${name} makes ${visit.requests.length} requests`);
      assert.match(await visit.state(), STATE, name);
      // The themes differ in colours only, so that one of them is looked at in both widths.
      for (const { viewport } of colorScheme === 'light' ? [wide, phone] : [phone]) {
        await page.setViewportSize(viewport);
        await visit.isGood(`${name} at ${viewport.width} px`);
      }
    }
  });

  shows(`errors, empty pages, a long id and a new secret have room, ${colorScheme}`, { ...phone, colorScheme }, async (visit) => {
    const { page } = visit;
    const press = (name) => page.getByRole('button', { name, exact: true }).click();
    await visit.login('cso1_0000000000000000_wrong');
    await page.waitForSelector('#token-error');
    await visit.isGood('refused');
    await visit.login(token);
    await visit.isAt('Overview');
    for (const [user, shown] of [[LONG, 'h2 + table'], ['nobody', '.empty']]) {
      await visit.follow('Users');
      await page.fill('#user', user);
      await press('Look up');
      await page.waitForSelector(shown);
      await visit.isGood(`user ${user.slice(0, 9)}`);
    }
    await visit.follow('Callers');
    await page.fill('#client', `backend-${colorScheme}`);
    await press('Make the key');
    await page.waitForSelector('.error');
    await visit.isGood('an error');
    await page.check('[name=app][value=web]');
    await press('Make the key');
    await page.waitForSelector('.note.ok');
    await visit.isGood('a new secret');
    await visit.follow('Callers');
    await page.click('main td a');
    await page.waitForSelector('[data-confirm]');
    await visit.isGood('a caller');
  });
}

shows('a wrong token is refused, and the field says so', wide, async (visit) => {
  const { page } = visit;
  await visit.login('cso1_0000000000000000_wrong');
  await page.waitForSelector('#token-error');
  assert.match(await page.innerText('#token-error'), /not accepted/);
  assert.equal(await page.getAttribute('[name=token]', 'aria-describedby'), 'token-error');
  await page.goto(`${service.opsUrl}/console/keys`);
  await visit.isAt('Log in');
});

shows('the keyboard suffices to log in, make a key and log out', wide, async (visit) => {
  const { page } = visit;
  await visit.tabTo('[name=token]');
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await visit.isAt('Overview');
  await visit.tabTo('nav a[href="/console/keys"]');
  await page.keyboard.press('Enter');
  await visit.isAt('Keys');
  const total = async () => Number(/of (\d+)/.exec(await page.innerText('main caption'))[1]);
  const before = await total();
  await visit.tabTo('[name=bits]');
  assert.equal(await page.inputValue('[name=bits]'), '2048');
  await visit.tabTo('form[action="/console/keys/generate"] button');
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === 'POST'), page.keyboard.press('Enter'),
  ]);
  assert.equal(answer.status(), 303, 'the key is made');
  await eventually(async () => assert.equal(await total(), before + 1));
  await visit.tabTo('form[action="/console/logout"] button');
  await page.keyboard.press('Enter');
  await visit.isAt('Log in');
  await page.goto(`${service.opsUrl}/console/keys`);
  await visit.isAt('Log in');
  await visit.isClean('by keyboard');
});

shows('without script, every page is read and a form works', { ...wide, javaScriptEnabled: false }, async (visit) => {
  const { page } = visit;
  await visit.login(token);
  await visit.isAt('Overview');
  for (const name of PAGES) {
    await visit.follow(name);
    assert.match(await visit.state(), STATE, name);
    assert.equal(await page.locator('.copy:visible, #theme:visible').count(), 0, `${name} shows what needs the script`);
  }
  await visit.follow('Callers');
  await page.fill('#client', 'without-script');
  await page.check('[name=app][value=web]');
  await page.getByRole('button', { name: 'Make the key' }).click();
  await page.waitForSelector('.note.ok');
  await visit.follow('Callers');
  assert.match(await page.innerText('main table'), /without-script/);
  await page.getByRole('button', { name: 'Log out' }).click();
  await visit.isAt('Log in');
});

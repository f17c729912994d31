// The console as operators have it: each page narrow and wide, light and dark; by keyboard alone; refused; without script.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Sandbox, Service } from './processes.mjs';
import { eventually, keepFailure, launch } from './setup.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PAGES = ['Overview', 'Keys', 'Rotation', 'Failures', 'Users', 'Callers', 'Nodes', 'Audit', 'Doctor'];
const THEMES = ['light', 'dark'];
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

/** Browser of one operator, with the requests, refusals and errors of its page. */
class ConsolePage {
  static async open(options) {
    const context = await browser.newContext(options);
    await context.tracing.start({ snapshots: true });
    await context.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    const visit = Object.assign(new ConsolePage(), { context, requests: [], errors: [] });
    visit.page = await context.newPage();
    visit.page.on('request', (request) => visit.requests.push(request.url()));
    visit.page.on('pageerror', (error) => visit.errors.push(error.message));
    // Chromium also says that a form was refused; the tests read the answers.
    visit.page.on('console', (message) => {
      if (message.type() === 'error' && !/status of (401|422)/.test(message.text())) visit.errors.push(message.text());
    });
    await visit.page.goto(`${service.opsUrl}/console`);
    return visit;
  }

  async login(secret = token) {
    await this.page.fill('[name=token]', secret);
    await this.page.click('main button');
  }

  /** Waits for a page by its title. */
  async isAt(title) {
    await eventually(async () => assert.equal((await this.page.innerText('h1')).trim(), title));
    await this.page.waitForLoadState('load');
  }

  /** Follows the navigation. */
  async follow(name) {
    this.requests.length = 0;
    const link = this.page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true });
    await Promise.all([this.page.waitForEvent('load'), link.click()]);
    await this.isAt(name);
  }

  async state() {
    return (await this.page.innerText('.state')).replace(/\s+/g, ' ');
  }

  /** Opens everything that is folded, so that it is looked at too. */
  unfold() {
    return this.page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
  }

  async isAccessible(state) {
    // A colour in transition is none of the theme's.
    await eventually(async () => assert.equal(await this.page.evaluate(() => document.getAnimations().length), 0));
    if (!await this.page.evaluate(() => 'axe' in window)) await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`), [], state);
  }

  /** No element goes beyond the page, but within what scrolls by itself. */
  async fits(state) {
    const beyond = await this.page.evaluate(() => {
      const scrolls = (element) => element && (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement));
      const out = [...document.body.querySelectorAll('*:not(.skip)')].filter((element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 0 && element.checkVisibility() && (left < -0.5 || right > document.documentElement.clientWidth + 0.5) && !scrolls(element.parentElement);
      });
      return [...out.map((element) => element.outerHTML.slice(0, 120)), ...(document.documentElement.scrollWidth > innerWidth ? ['the page scrolls sideways'] : [])];
    });
    assert.deepEqual(beyond, [], state);
  }

  /** Nothing was refused by the policy, asked of others, or thrown. */
  async isClean(state) {
    assert.deepEqual(await this.page.evaluate(() => window.violations ?? []), [], `${state}: violations of the policy`);
    assert.deepEqual(this.errors, [], `${state}: errors`);
    assert.deepEqual(this.requests.filter((url) => !url.startsWith(`${service.opsUrl}/`)), [], `${state}: requests to others`);
  }

  async isGood(state) {
    await this.unfold();
    await this.isAccessible(state);
    await this.fits(state);
    await this.isClean(state);
  }

  /** Presses the tabulator until an element of this page has the focus, which can be seen. */
  async tabTo(selector) {
    const has = (selector) => document.activeElement?.matches(selector);
    for (let presses = 0; presses < 150; presses += 1) {
      if (await this.page.evaluate(has, selector)) {
        return assert.match(await this.page.evaluate(() => getComputedStyle(document.activeElement).outline), /solid 2px/);
      }
      await this.page.keyboard.press('Tab');
    }
    assert.fail(`the keyboard does not reach ${selector}`);
  }
}

/** Runs a test in a browser context of its own; a failure leaves a trace and a screenshot. */
function shows(name, options, work) {
  test(name, async () => {
    const visit = await ConsolePage.open(options);
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
    await visit.login();
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
    await visit.login();
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
  await visit.login();
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

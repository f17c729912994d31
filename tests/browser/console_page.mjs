// The console in a browser, as one operator has it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { eventually, newContext } from './setup.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const THEMES = ['light', 'dark'];

/** Browser of one operator, with the requests, refusals and errors of its page. */
export class ConsolePage {
  static async open(browser, service, options) {
    const context = await newContext(browser, options);
    await context.tracing.start({ snapshots: true });
    await context.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    const visit = Object.assign(new ConsolePage(), { context, service, requests: [], errors: [] });
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

  async login(secret) {
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

  /** Sends the form of a button, and waits for the answer. */
  async press(name) {
    const button = this.page.getByRole('main').getByRole('button', { name, exact: true });
    await Promise.all([this.page.waitForEvent('load'), button.click()]);
  }

  async state() {
    return (await this.page.innerText('.state')).replace(/\s+/g, ' ');
  }

  /** Opens everything that is folded, so that it is looked at too. */
  unfold() {
    return this.page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
  }

  /** In either theme. */
  async isAccessibleInThemes(state) {
    for (const colorScheme of THEMES) {
      await this.page.emulateMedia({ colorScheme });
      await this.isAccessible(`${state}, ${colorScheme}`);
    }
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
    assert.deepEqual(this.requests.filter((url) => !url.startsWith(`${this.service.opsUrl}/`)), [], `${state}: requests to others`);
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

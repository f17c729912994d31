// The demo's page as its readers have it: narrow and wide, light and dark, by keyboard, with errors, and not installed.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Demo } from './processes.mjs';
import { eventually, keepFailure, launch, newContext } from './setup.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const STORY = /^22 EXPIRED(, \d+ times)? → refreshed in \d+ ms → [1-9]\d* events? accepted$/;
const THEMES = ['light', 'dark'];

let demo, browser;
before(async () => { [demo, browser] = [await Demo.create({ joined: true }), await launch()]; });
after(() => Promise.all([browser.close(), demo.remove()]));

/** Page of the demo in a browser context of its own. */
class DemoPage {
  static async open(options, url) {
    const context = await newContext(browser, options);
    await context.tracing.start({ screenshots: true, snapshots: true });
    // The policy also reports what a script catches.
    await context.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    const page = await context.newPage();
    await page.goto(url);
    return Object.assign(new DemoPage(), { context, page });
  }

  async login(user = 'u-1') {
    await this.page.fill('#user', user);
    await this.page.click('#login button:not([type])');
    await this.reads('#who', new RegExp(`^${user}$`));
    await this.reads('#claim-verdict', /accepted/);
  }

  click(act) {
    return this.page.click(`[data-act=${act}]`);
  }

  /** Waits until an element has a text like this. */
  reads(selector, pattern) {
    return eventually(async () => assert.match((await this.page.innerText(selector)).trim().replace(/\s+/g, ' '), pattern));
  }

  /** Waits for the next second: the button "expire" spares tokens of the current one. */
  async nextSecond() {
    const second = Math.floor(Date.now() / 1000);
    await eventually(async () => assert(Date.now() / 1000 >= second + 1));
  }

  async heals() {
    await this.nextSecond();
    await this.click('expire');
    await this.reads('#story', STORY);
  }

  async isAccessible(state) {
    await this.page.evaluate(AXE);
    // A colour in transition is none of the theme's.
    await eventually(async () => assert.equal(await this.page.evaluate(() => document.getAnimations().length), 0));
    // Inside the frame is another page.
    const { violations } = await this.page.evaluate(() => window.axe.run({ exclude: ['#sandbox'] }));
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], state);
  }

  /** No element goes beyond the page, but within what scrolls by itself. */
  async fits(state) {
    const beyond = await this.page.evaluate(() => {
      const scrolls = (element) => element.closest('pre, #log, dd') && !element.matches('pre, #log, dd');
      const out = [...document.body.querySelectorAll('*')].filter((element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 0 && !scrolls(element) && (left < -0.5 || right > document.documentElement.clientWidth + 0.5);
      });
      return [...out.map((element) => element.outerHTML.slice(0, 80)), ...(document.documentElement.scrollWidth > innerWidth ? ['the page scrolls sideways'] : [])];
    });
    assert.deepEqual(beyond, [], state);
  }

  /** Places of the parts of the page, which is scrolled to its top: one part stays in sight otherwise. */
  places() {
    return this.page.evaluate(() => {
      scrollTo(0, 0);
      return [...document.querySelectorAll('.card, #login, [data-act], h2')].filter((element) => element.checkVisibility()).map((element) => {
        const { top, height } = element.getBoundingClientRect();
        return `${element.id || element.dataset.act || element.textContent.slice(0, 20)} ${Math.round(top + scrollY)} ${Math.round(height)}`;
      });
    });
  }

  /** Waits until this button alone is filled. */
  async fills(label) {
    const filled = () => this.page.evaluate(() => [...document.querySelectorAll('button')].filter((button) => {
      const { backgroundColor, borderColor } = getComputedStyle(button);
      return button.checkVisibility() && backgroundColor === borderColor;
    }).map((button) => button.textContent));
    await eventually(async () => assert.deepEqual(await filled(), [label]));
  }

  async close() {
    assert.deepEqual(await this.page.evaluate(() => window.violations), [], 'violations of the policy');
    await this.context.close();
  }
}

/** Runs a test with a page; a failure leaves a trace and a screenshot. */
function shows(name, options, work, url = () => demo.url) {
  test(name, async () => {
    const visit = await DemoPage.open(options, url());
    try {
      await work(visit);
    } catch (error) {
      await keepFailure(visit.context, name);
      await visit.context.close();
      throw error;
    }
    await visit.close();
  });
}

const wide = { viewport: { width: 1440, height: 900 } };
const phone = { viewport: { width: 390, height: 844 } };

shows('expiry, failure, refresh and retry are one line', wide, async (visit) => {
  await visit.login();
  await visit.heals();
  await visit.reads('#log', /healed: 22 EXPIRED/);
  await visit.reads('#state', /^Accepted: Braze takes the events of u-1\./);
});

shows('the token counts down to its end', wide, async (visit) => {
  const { page } = visit;
  await visit.login();
  const left = async () => {
    const shown = await page.innerText('#countdown');
    assert.match(shown, /^(1:)?\d\d:\d\d$/);
    return shown.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  };
  const first = await left();
  await eventually(async () => assert(await left() < first));
  assert.equal(await page.innerText('#claim-sub'), 'u-1');
  const claims = JSON.parse(await page.textContent('#claims')).claims;
  assert.equal(await page.innerText('#claim-exp'), await page.evaluate((exp) => new Date(exp * 1000).toLocaleTimeString(), claims.exp));
});

shows('a key that Braze lacks changes nothing until the next token, and the page says so', wide, async (visit) => {
  await visit.login();
  const kid = () => visit.page.innerText('#claim-kid');
  const before = await kid();
  await visit.click('rotate_unpublished');
  await visit.reads('#rotate_unpublished-effect', /Nothing changes until the next token\..* refused with 27\./);
  await visit.click('event');
  await visit.reads('#claim-verdict', /accepted/);
  assert.equal(await kid(), before);
  await visit.nextSecond();
  await visit.click('expire');
  await visit.reads('#story', /^27 NO_MATCHING_PUBLIC_KEYS/);
  await visit.click('publish');
  await visit.reads('#publish-effect', /Braze has key/);
  await visit.reads('#story', /events? accepted$/);
  assert.notEqual(await kid(), before);
});

shows('nothing moves while values change', phone, async (visit) => {
  await visit.login();
  const before = await visit.places();
  for (const act of ['event', 'rotate_unpublished', 'publish', 'rotate', 'cut', 'mend']) {
    await visit.click(act);
    await visit.reads(`#${act}-effect`, /\d/);
    assert.deepEqual(await visit.places(), before, act);
  }
  await visit.heals();
  assert.deepEqual(await visit.places(), before, 'healed');
});

shows('the keyboard suffices', wide, async (visit) => {
  const tabTo = async (selector) => {
    for (let presses = 0; presses < 60; presses += 1) {
      if (await visit.page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
      await visit.page.keyboard.press('Tab');
    }
    assert.fail(`the keyboard does not reach ${selector}`);
  };
  await visit.page.waitForSelector('#app:not([hidden])', { state: 'attached' });
  await tabTo('#user');
  await visit.page.keyboard.press('Enter');
  await visit.reads('#claim-verdict', /accepted/);
  await visit.nextSecond();
  await tabTo('[data-act=expire]');
  const outline = await visit.page.evaluate(() => getComputedStyle(document.activeElement).outline);
  assert.match(outline, /solid 2px/);
  await visit.page.keyboard.press('Enter');
  await visit.reads('#story', STORY);
});

for (const colorScheme of THEMES) {
  shows(`axe finds nothing in the ${colorScheme} theme, also with errors`, { ...phone, colorScheme }, async (visit) => {
    const { page } = visit;
    await page.waitForSelector('#app:not([hidden])', { state: 'attached' });
    await visit.fills('Log in');
    await visit.isAccessible('start');
    await visit.login();
    await visit.fills('Send an event');
    await page.click('summary');
    await visit.isAccessible('logged in');
    await visit.heals();
    await visit.isAccessible('healed');
    await page.fill('#user', 'u'.repeat(600));
    await page.click('#login button:not([type])');
    await visit.reads('#login-error', /user/);
    await page.route('**/demo/act', (route) => route.fulfill({ status: 400, json: { error: 'no key signs' } }));
    await visit.click('rotate');
    await visit.reads('#rotate-effect', /Failed: no key signs/);
    await visit.isAccessible('errors');
    await visit.fits('errors');
  });
}

for (const width of [375, 390, 1440]) {
  shows(`nothing goes beyond a page of ${width} px`, { viewport: { width, height: 844 } }, async (visit) => {
    await visit.page.waitForSelector('#app:not([hidden])', { state: 'attached' });
    await visit.fits('start');
    await visit.login('u'.repeat(100));
    await visit.heals();
    await visit.fits('healed');
    const least = width < 640 ? 44 : 32;
    const small = await visit.page.evaluate((least) => [...document.querySelectorAll('button, input, summary')]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < least).map((element) => element.outerHTML), least);
    assert.deepEqual(small, [], 'targets');
  });
}

shows('the page leads to the console, whose pages say that their data are a sample', phone, async (visit) => {
  const { page } = visit;
  // Shown once the SDK is there.
  await page.locator('#login').waitFor();
  const before = await visit.places();
  await visit.reads('#console-state', /^The console is ready\.$/);
  assert.deepEqual(await visit.places(), before);
  await visit.fits('with the token');
  const token = await page.innerText('#console-token');
  await page.click('#console-link');
  await page.fill('[name=token]', token);
  await page.press('[name=token]', 'Enter');
  await visit.reads('h1', /^Overview$/);
  await visit.reads('.banner', /^Sample data/);
  await page.goto(demo.url);
});

shows('whoever wants no motion gets none', { ...wide, reducedMotion: 'reduce' }, async (visit) => {
  await visit.login();
  const moving = await visit.page.evaluate(() => [...document.querySelectorAll('*')].filter((element) => {
    const { transitionDuration, animationName } = getComputedStyle(element);
    return animationName !== 'none' || transitionDuration.split(',').some((span) => parseFloat(span) > 0);
  }).length);
  assert.equal(moving, 0);
});

let bare;
before(async () => { bare = await Demo.create({ installed: false }); });
after(() => bare.remove());

for (const colorScheme of THEMES) {
  const permissions = ['clipboard-read', 'clipboard-write'];
  shows(`the ${colorScheme} page says what to install`, { ...phone, colorScheme, permissions }, async (visit) => {
    const { page } = visit;
    await visit.reads('#packages', /^@braze\/web-sdk and @countersign\/braze-web$/);
    await visit.isAccessible('not installed');
    await visit.fits('not installed');
    await visit.fills('Load the page again');
    const copied = async (id) => {
      await page.click(`[data-copy=${id}]`);
      await visit.reads(`[data-copy=${id}]`, /^Copied$/);
      return page.evaluate(() => navigator.clipboard.readText());
    };
    assert.equal(await copied('build'), 'npm --prefix clients/web ci && npm --prefix clients/web run build');
    assert.equal(await copied('install'), 'npm install --no-save @braze/web-sdk ./clients/web');
  }, () => bare.url);
}

// The last of those that need it bare.
shows('what is installed meanwhile needs no other start', wide, async (visit) => {
  await visit.page.waitForSelector('#missing:not([hidden])');
  await bare.install();
  await visit.page.click('#again');
  await visit.login();
}, () => bare.url);

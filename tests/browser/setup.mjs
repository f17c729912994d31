// Set-up of the browser tests: service, local Braze, site and browser; a context with pages for each test; retries.

import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { Sandbox, Service } from './processes.mjs';
import { PageServer, ownPublicKey } from './site.mjs';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const FAILURES = process.env.TEST_FAILURES ?? fileURLToPath(new URL('failures/', import.meta.url));

/**
 * Starts everything for the tests of one file. With `rotating` the service manages Braze's keys itself, with a stand-by key;
 * with `signIn` it takes credentials of the local OpenID provider, and the site's cookie. `configuration` and
 * `environment` are added to the service's; without `published` Braze lacks its key.
 */
export async function open({ rotating = false, signIn = false, configuration = '', environment = {}, published = true } = {}) {
  const site = await PageServer.create();
  const sandbox = await Sandbox.create();
  const settings = { ...(rotating ? sandbox.keyManagement() : {}), ...environment };
  const service = await Service.create(site.url, settings, signIn ? sandbox.signIn(site.url) : configuration);
  site.connect(service, sandbox);
  const keys = rotating ? [] : [...(published ? [service.publicKey] : []), ownPublicKey];
  for (const key of keys) await sandbox.call('POST', 'apps/web/keys', { public_key: key });
  const browser = await launch();
  const close = async () => {
    await browser.close();
    await Promise.all([service.remove(), sandbox.remove(), site.remove()]);
  };
  return { site, service, sandbox, browser, close };
}

/** Launches Chromium without its background requests. */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

/** Limit for one step of a browser, also on a machine that has other work. */
const PATIENCE = 120_000;

/** Makes a context of a browser, with patience. */
export async function newContext(browser, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  return context;
}

const RETRIES = 2;

let users = 0;

/**
 * Runs a test with a browser context of its own. A failure saves a trace and screenshots, is logged, and is retried twice
 * as another user, because browsers exceed their time limits on busy machines.
 */
export function scenario(setup, name, work) {
  test(name, async (t) => {
    for (const _ of Array(RETRIES)) {
      try {
        return await once(setup(), name, work);
      } catch (error) {
        t.diagnostic(`tried once more: ${error.message}`);
        console.error(`${name}: failed, and is tried once more:`, error);
      }
    }
    await once(setup(), name, work);
  });
}

async function once(setup, name, work) {
  const context = await newContext(setup.browser);
  const visit = new Visit(setup, context);
  await context.tracing.start({ screenshots: true, snapshots: true });
  try {
    await work(visit);
    assert.deepEqual(visit.external, [], 'nothing is asked of other machines');
  } catch (error) {
    await keepFailure(context, name);
    throw error;
  } finally {
    // A request that a page began just before has nobody to answer it.
    for (const routes of [...context.pages(), context]) await routes.unrouteAll({ behavior: 'ignoreErrors' });
    await context.close();
  }
}

/** Saves the trace and a screenshot of each page. */
export async function keepFailure(context, name) {
  await mkdir(FAILURES, { recursive: true });
  const file = `${FAILURES}/${name.replace(/[^a-z0-9]+/gi, '-')}`;
  await context.tracing.stop({ path: `${file}.zip` });
  for (const [at, page] of context.pages().entries()) await page.screenshot({ path: `${file}-${at}.png` }).catch(() => {});
}

/** Visit of one user: pages of one browser, and the paths that they requested from the service. */
export class Visit {
  constructor(setup, context) {
    Object.assign(this, setup, { context, user: `u-${process.pid}-${(users += 1)}`, requested: [], external: [] });
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.hostname !== '127.0.0.1') this.external.push(url.href);
      if (url.host === this.service.address && request.method() === 'POST') this.requested.push(url.pathname);
    });
  }

  /** Opens another page of the app in the same browser; a logout has `deadline` milliseconds. */
  async page(sdk = '6', mode = 'login', deadline = 10_000) {
    const page = await this.context.newPage();
    await page.goto(`${this.site.url}/?sdk=${sdk}&mode=${mode}&deadline=${deadline}`);
    await started(page);
    return page;
  }

  /** Opens a page whose SDK has Braze's configuration already, from an anonymous session, and so retries quickly. */
  async eagerPage() {
    const page = await this.page();
    await page.evaluate(() => window.app.braze.openSession());
    await page.waitForFunction(() => Object.keys(localStorage).some((key) => key.startsWith('ab.storage.serverConfig') && localStorage[key].includes('100')));
    return page;
  }

  /** Holds refreshes back until the returned function is called. */
  async holdRefreshes() {
    let release;
    const held = new Promise((done) => { release = done; });
    await this.context.route('**/v1/token/refresh', async (route) => {
      await held;
      // The page may have aborted the request meanwhile.
      await route.continue().catch(() => {});
    });
    return release;
  }

  /** Stops the service while `work` runs. */
  async withoutService(work) {
    await this.service.down();
    try {
      await work();
    } finally {
      await this.service.up();
    }
  }

  refreshes() {
    return this.requested.filter((path) => path === '/v1/token/refresh').length;
  }

  exchanges() {
    return this.requested.filter((path) => path === '/v1/token/exchange').length;
  }

  /** Waits until Braze has accepted exactly these events, each once. */
  async delivered(...names) {
    await eventually(async () => {
      const events = await this.sandbox.events(this.user);
      assert.deepEqual(events.map(({ name }) => name).sort(), [...names].sort());
    });
    for (const event of await this.sandbox.events(this.user)) assert.equal(event.deliveries, 1, `${event.name} came once`);
  }

  /** Returns how many sessions of a user are live. */
  async live(user = this.user) {
    return (await this.service.run('users', 'sessions', user)).filter(({ ended }) => ended === null).length;
  }

  codes() {
    return this.sandbox.codes(this.user);
  }
}

export async function started(page) {
  await page.waitForFunction(() => window.app?.started);
}

/** Repeats a check until it passes, for a minute by default. */
export async function eventually(check, limit = 60_000) {
  const end = Date.now() + limit;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((again) => setTimeout(again, 50));
    }
  }
}

/** Waits until a brief token that was just issued has expired. */
export async function expiry() {
  const end = (Math.floor(Date.now() / 1000) + 3) * 1000;
  await eventually(() => assert(Date.now() >= end));
}

/** Calls a method of the page's app: `call(page, 'login', user)`. */
export function call(page, method, ...args) {
  return page.evaluate(([method, args]) => window.app[method](...args), [method, args]);
}

/** Reads a member of the page's app. */
export function seen(page, member) {
  return page.evaluate((member) => window.app[member], member);
}

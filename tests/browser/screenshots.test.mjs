// Screenshots of each page of the console, narrow and wide, light and dark, with a rotation in progress and failures of
// several causes. They are written to TEST_SCREENSHOTS, where it is set; docs/console.md shows some of them. A console
// that runs already is looked at with CONSOLE_URL and CONSOLE_TOKEN.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sandbox, Service } from './processes.mjs';
import { eventually, launch, newContext } from './setup.mjs';

const PAGES = ['Overview', 'Keys', 'Rotation', 'Failures', 'Users', 'Callers', 'Nodes', 'Audit', 'Doctor'];
const WIDTHS = [375, 1440];
const THEMES = ['light', 'dark'];
/** Longest part of a page that is shown: what is below it is more of the same. */
const TALLEST = { 375: 1600, 1440: 1200 };
const USER = 'customer-4711';

let sandbox, service, browser, url, token, folder;
before(async () => {
  browser = await launch();
  folder = process.env.TEST_SCREENSHOTS ?? await mkdtemp(join(tmpdir(), 'countersign-screenshots-'));
  await mkdir(folder, { recursive: true });
  [url, token] = [process.env.CONSOLE_URL, process.env.CONSOLE_TOKEN];
  if (!url) await start();
});
after(async () => {
  await browser?.close();
  if (folder && !process.env.TEST_SCREENSHOTS) await rm(folder, { recursive: true });
  await Promise.all([service?.remove(), sandbox?.remove()]);
});

/** Starts a service, and lets it work: a rotation that waits for its tokens, sessions, callers, failures. */
async function start() {
  sandbox = await Sandbox.create();
  const ios = await sandbox.call('POST', 'apps', { name: 'ios' });
  const settings = { COUNTERSIGN_APPS__IOS__WORKSPACE: 'main', COUNTERSIGN_APPS__IOS__BRAZE_APP_ID: ios.app_id };
  service = await Service.create('http://127.0.0.1:1', { ...sandbox.keyManagement(), ...settings });
  await service.beside();
  url = service.opsUrl;
  token = (await service.run('operators', 'create', 'alice', '--role', 'operator')).operator_token;
  for (const client of ['shop', 'loyalty']) await service.run('clients', 'create', client, '--app', 'web', '--expires', '90d');
  await eventually(async () => {
    await service.run('rotate', 'run', '--yes');
    const states = (await service.run('keys', 'list')).map(({ state }) => state);
    assert(['active', 'published', 'retiring'].every((state) => states.includes(state)));
  });
  const reports = [
    [22, 'EXPIRED', 'android'], [22, 'EXPIRED', 'ios'], [22, 'EXPIRED', 'web'], [22, 'EXPIRED', 'web'],
    [27, 'NO_MATCHING_PUBLIC_KEYS', 'web'], [27, 'NO_MATCHING_PUBLIC_KEYS', 'android'], [27, 'NO_MATCHING_PUBLIC_KEYS', 'ios'],
    [25, 'PUBLIC_KEY_ERROR', 'web'], [21, 'SUBJECT_MISMATCH', 'web'], [26, 'MISSING_TOKEN', 'flutter'], [26, 'MISSING_TOKEN', 'web'],
  ];
  for (const [at, [error_code, reason, platform]] of reports.entries()) {
    const { refresh_token } = await post('token/generate', { app: 'web', user_id: `customer-${at}` }, { authorization: `Bearer ${service.apiKey}` });
    await post('failures', { refresh_token, failure: { error_code, reason, platform, sdk_version: '6.13.0' } });
  }
  for (let logins = 0; logins < 3; logins += 1) {
    const { refresh_token } = await post('token/generate', { app: 'web', user_id: USER }, { authorization: `Bearer ${service.apiKey}` });
    await post('token/refresh', { refresh_token });
  }
  await eventually(async () => assert((await service.run('failures')).failures.length > 2, 'failures are on record'));
}

async function post(path, body, headers = {}) {
  const answer = await fetch(`${service.url}/v1/${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  assert(answer.ok, `${path}: ${answer.status}`);
  return answer.status === 204 ? {} : answer.json();
}

/** Takes a picture of the page as WebP. */
async function picture(page, name) {
  const { width, height } = await page.evaluate(() => ({ width: innerWidth, height: document.documentElement.scrollHeight }));
  const clip = { x: 0, y: 0, width, height: Math.min(height, TALLEST[width]), scale: 1 };
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 75, captureBeyondViewport: true, clip });
  await session.detach();
  await writeFile(join(folder, `${name}.webp`), Buffer.from(data, 'base64'));
  return clip;
}

/** Size of a WebP file, of any of its three kinds. */
function sizeOf(file) {
  assert.equal(file.toString('latin1', 0, 4) + file.toString('latin1', 8, 12), 'RIFFWEBP');
  const kind = file.toString('latin1', 12, 16);
  if (kind === 'VP8 ') return [file.readUInt16LE(26) & 0x3fff, file.readUInt16LE(28) & 0x3fff];
  if (kind === 'VP8L') return [(file.readUInt32LE(21) & 0x3fff) + 1, ((file.readUInt32LE(21) >> 14) & 0x3fff) + 1];
  return [file.readUIntLE(24, 3) + 1, file.readUIntLE(27, 3) + 1];
}

for (const width of WIDTHS) {
  for (const colorScheme of THEMES) {
    test(`a picture of each page, ${width} px, ${colorScheme}`, async () => {
      const context = await newContext(browser, { viewport: { width, height: 812 }, colorScheme, reducedMotion: 'reduce' });
      try {
        const page = await context.newPage();
        await page.goto(`${url}/console`);
        await page.fill('[name=token]', token);
        await Promise.all([page.waitForURL((at) => at.pathname === '/console'), page.click('main button')]);
        for (const name of PAGES) {
          const link = page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true });
          await Promise.all([page.waitForEvent('load'), link.click()]);
          await eventually(async () => assert.equal((await page.innerText('h1')).trim(), name));
          if (name === 'Users') {
            await page.fill('#user', USER);
            await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: 'Look up' }).click()]);
          }
          await page.evaluate(() => document.activeElement?.blur());
          const file = `${name.toLowerCase()}-${width}-${colorScheme}`;
          const clip = await picture(page, file);
          assert.equal(clip.width, width);
          assert.deepEqual(sizeOf(await readFile(join(folder, `${file}.webp`))), [clip.width, clip.height], file);
        }
      } finally {
        await context.close();
      }
    });
  }
}

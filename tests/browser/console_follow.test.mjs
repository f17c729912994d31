// Operators bring a matter to its end on the pages alone, beside the real SDK: a rotation, a roll back with a compromise
// after it, by keyboard alone, and a failure, without script. They run side by side, because tokens live for a minute at least.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ConsolePage } from './console_page.mjs';
import { Visit, call, eventually, keepFailure, newContext, open, seen } from './setup.mjs';

/** Limit for what takes a minute on a quick machine: the life of the old key's tokens. */
const TOKENS_END = 240_000;
/** Limit for an act, which may have to be repeated. */
const ACT = 180_000;
const MATTERS = 3;
const wide = { viewport: { width: 1440, height: 900 } };

/** Runs a test with a service of its own, a user of its app, and an operator on the console. */
function follows(name, options, work) {
  test(name, async () => {
    const setup = await open({ rotating: true, environment: options.environment });
    const context = await newContext(setup.browser);
    const visit = new Visit(setup, context);
    const { operator_token: token } = await setup.service.run('operators', 'create', 'ada', '--role', 'operator');
    const operator = await ConsolePage.open(setup.browser, setup.service, { ...wide, ...options.context });
    try {
      await work(visit, operator, token);
      await operator.isClean('at the end');
      assert.deepEqual(visit.external, [], 'nothing is asked of other machines');
    } catch (error) {
      await keepFailure(operator.context, name);
      throw error;
    } finally {
      await setup.close();
    }
  });
}

/** Waits until Braze holds this many keys, all of them the service's. */
function published({ service, sandbox }, count) {
  return eventually(async () => {
    await service.run('braze', 'keys', 'apply');
    const held = await sandbox.keys();
    const known = (await service.run('keys', 'list')).map(({ kid }) => kid);
    assert(held.length === count && held.every((kid) => known.includes(kid)));
  });
}

/** Steps of a list, each as one line. */
async function steps(operator, list = '.steps:not(.dry)') {
  const texts = await operator.page.locator(`${list} > li`).allInnerTexts();
  return texts.map((text) => text.replace(/\s+/g, ' ')).join('\n');
}

/** Beginning of the key that signs, as the state sentence has it. */
const signing = async (operator) => /serving ([\w-]{8}) signs/.exec(await operator.state())?.[1];

describe('from the pages to the end', { concurrency: MATTERS }, () => {
  const environment = {
    COUNTERSIGN_APPS__WEB__LIFETIME: '1m', COUNTERSIGN_RINGS__MAIN__ROTATION__MARGIN: '1s',
    COUNTERSIGN_RINGS__MAIN__ROTATION__STANDBY: 'false', COUNTERSIGN_RINGS__MAIN__ROTATION__SOAK: '5s',
  };
  follows('a rotation', { environment }, async (visit, operator, token) => {
    await operator.login(token);
    await operator.isAt('Overview');
    await operator.follow('Rotation');
    assert.match(await operator.page.innerText('.empty'), /not been rotated yet/);
    await operator.isAccessibleInThemes('no rotation yet');
    await published(visit, 1);
    const app = await visit.page();
    await call(app, 'login', visit.user);
    await call(app, 'event', 'before');
    await visit.delivered('before');

    await operator.follow('Rotation');
    const old = await signing(operator);
    assert.match(await steps(operator, '.dry'), /make a new key[\s\S]*web[\s\S]*sign/);
    await operator.unfold();
    await operator.isAccessibleInThemes('before a rotation, with its forms open');

    await operator.press('Begin a rotation');
    await operator.isAt('Rotation');
    assert.equal(await operator.page.innerText('#steps-title'), 'Rotation in progress');
    // The page looks for news by itself.
    const done = async (step) => eventually(async () => assert.match(await steps(operator), step));
    await done(/✓ done: key [\w-]{8} activated/);
    // It waits for the old key's tokens; on a slow machine that minute may be over.
    await done(new RegExp(`● now: .* left|done: key ${old} retired`));
    const fresh = await signing(operator);
    assert(fresh && fresh !== old, `${fresh} signs after ${old}`);
    await operator.unfold();
    await operator.isAccessibleInThemes('a rotation in progress');

    await call(app, 'event', 'during');
    const other = await visit.page();
    await call(other, 'login', visit.user);
    await call(other, 'event', 'from another tab');
    await visit.delivered('before', 'during', 'from another tab');

    await eventually(async () => assert.equal(await operator.page.innerText('#steps-title'), 'Last rotation'), TOKENS_END);
    await done(new RegExp(`done: key ${old} retired`));
    assert.match(await operator.state(), new RegExp(`serving ${fresh} signs`));
    assert.deepEqual((await visit.sandbox.keys()).map((kid) => kid.slice(0, 8)), [fresh], 'Braze holds the new key only');
    await operator.follow('Keys');
    assert.match(await operator.state(), new RegExp(`${fresh} signs for ring main`));
    assert.match(await operator.page.innerText('table.rows'), new RegExp(`${old}[\\s\\S]*retired`));
    await operator.unfold();
    await operator.isAccessibleInThemes('keys after a rotation');

    await call(app, 'event', 'after');
    await visit.delivered('before', 'during', 'from another tab', 'after');
    // A token that lived for its minute is expired (22); none lacked its key (27).
    const codes = [...await seen(app, 'failures'), ...await seen(other, 'failures')];
    assert.deepEqual(codes.filter((code) => code !== 22), []);
  });

  follows('a roll back and a compromise, by keyboard alone', {}, async (visit, operator, token) => {
    const { page } = operator;
    const { keyboard } = page;
    /** Follows a link or sends a form, and waits for the page that comes. */
    const enter = async (selector) => {
      await operator.tabTo(selector);
      await Promise.all([page.waitForEvent('load'), keyboard.press('Enter')]);
    };
    await published(visit, 2);
    await operator.tabTo('[name=token]');
    await keyboard.type(token);
    await keyboard.press('Enter');
    await operator.isAt('Overview');
    await enter('nav a[href="/console/rotation"]');
    await operator.isAt('Rotation');
    const first = await signing(operator);

    /** Sends a form until the page says that it took effect: what changed meanwhile makes it outdated, and it does nothing. */
    const send = (done, form) => eventually(async () => {
      await enter('nav a[href="/console/rotation"]');
      if (await done()) return;
      await form();
      assert.fail('look again');
    }, ACT);
    const button = (act) => () => enter(`form[action="/console/rotation/${act}"] button`);
    await send(async () => (await signing(operator) ?? first) !== first, button('run'));
    await send(async () => await signing(operator) === first, button('roll-back'));

    const app = await visit.page();
    await call(app, 'login', visit.user);
    await call(app, 'event', 'before');
    await visit.delivered('before');

    const form = `details.compromise:has([data-confirm="${first}"])`;
    const open = async () => {
      await operator.tabTo(`${form} summary`);
      await keyboard.press('Enter');
      await operator.tabTo(`${form} [name=why]`);
      await keyboard.type('it was seen in a log');
      await operator.tabTo(`${form} [name=confirmation]`);
    };
    await open();
    await keyboard.type('mistyped');
    assert(await page.isDisabled(`${form} button.danger`), 'the button waits for the right text');
    await operator.isAccessibleInThemes('a confirmation that does not match');
    await send(async () => (await signing(operator) ?? first) !== first, async () => {
      await open();
      await keyboard.type(first);
      await enter(`${form} button.danger`);
    });
    const successor = await signing(operator);
    assert(successor && successor !== first, `${successor} signs after ${first}`);
    await eventually(async () => assert(!(await visit.sandbox.keys()).some((kid) => kid.startsWith(first)), 'Braze has it no more'));
    await enter('nav a[href="/console/keys"]');
    await operator.isAt('Keys');
    assert.match(await page.innerText('table.rows'), new RegExp(`${first}[\\s\\S]*compromised`));
    await operator.unfold();
    await operator.isAccessibleInThemes('keys after a compromise');

    await call(app, 'event', 'after');
    await visit.delivered('before', 'after');
    assert.deepEqual([...new Set(await seen(app, 'failures'))], [27], 'the token of the old key is rejected, and replaced');
    await enter('nav a[href="/console/audit"]');
    await operator.isAt('Audit');
    assert.match(await page.innerText('table.rows'), /operator ada[\s\S]*it was seen in a log/);

    await enter('nav a[href="/console/nodes"]');
    await operator.isAt('Nodes');
    // Without any operator there would be no console.
    await visit.service.run('operators', 'create', 'grace', '--role', 'viewer');
    await visit.service.run('operators', 'revoke', 'ada');
    // The open page looks for news by itself, and finds that its session has ended.
    await operator.isAt('Log in');
  });

  const environmentOfFailure = { COUNTERSIGN_RINGS__MAIN__ROTATION__STANDBY: 'false' };
  follows('a failure, without script', { environment: environmentOfFailure, context: { javaScriptEnabled: false } }, async (visit, operator, token) => {
    const { page } = operator;
    await operator.login(token);
    await operator.isAt('Overview');
    await operator.follow('Failures');
    assert.match(await page.innerText('.empty'), /No app reported a failure/);

    // Braze has no key yet: it rejects every token.
    const app = await visit.eagerPage();
    await call(app, 'login', visit.user);
    await call(app, 'event', 'kept');
    await eventually(async () => {
      await operator.follow('Failures');
      // Before the first report there is no table, for which a look at it would wait.
      assert.match(await page.innerText('main'), /key_not_published/);
    });
    await Promise.all([page.waitForEvent('load'), page.click('table.rows a >> text=key_not_published')]);
    assert.match(await page.innerText('.sentence'), /web/);
    const [program, ...command] = (await page.innerText('.command code')).split(' ');
    assert.equal(program, 'countersign');
    await visit.service.run(...command);

    await visit.delivered('kept');
    const told = (await seen(app, 'failures')).length;
    await call(app, 'event', 'later');
    await visit.delivered('kept', 'later');
    assert.equal((await seen(app, 'failures')).length, told, 'no token is rejected any more');
    await operator.follow('Keys');
    assert.match(await page.innerText('table.rows'), /web/);
    await operator.follow('Failures');
    assert.match(await operator.state(), /● serving .* none of them rises/);
  });
});

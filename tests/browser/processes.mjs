// Processes of the binary that TEST_BINARY names: the service, the local Braze, the demo.

import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { appendFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from './site.mjs';

const binary = process.env.TEST_BINARY;
if (!binary) throw new Error('TEST_BINARY must name the countersign binary');

/** Starts the binary; returns the process and its ready line, the first on stdout. */
async function start(args, options) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let log = '';
  child.stderr.on('data', (text) => (log = (log + text).slice(-20_000)));
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit').then(() => { throw new Error(`countersign ${args[0]} ended: ${log}`); });
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {});
  return { child, ready: JSON.parse(line) };
}

async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** Process of the service. It can be stopped and started again on the same port, with the same folder. */
export class Service {
  /** Processes of other nodes. */
  others = [];

  /** `configuration` is added to the file that `init` makes. */
  static async create(origin, settings, configuration = '') {
    const service = new Service();
    service.folder = await mkdtemp(join(tmpdir(), 'countersign-browser-'));
    service.env = { ...process.env, COUNTERSIGN_APPS__WEB__ALLOWED_ORIGINS: JSON.stringify([origin]), ...settings };
    const made = await service.run('init');
    await appendFile(join(service.folder, 'countersign.toml'), configuration);
    service.publicKey = made.public_key;
    service.apiKey = (await service.run('clients', 'create', 'backend', '--app', 'web')).api_key;
    service.address = '127.0.0.1:0';
    await service.up();
    return service;
  }

  async up() {
    const args = ['serve', '--json', '--listen', this.address, '--ops-listen', '127.0.0.1:0'];
    // While the service was down, a connection of another process may have got its port.
    const again = (error) => {
      if (!/in use/.test(error.message)) throw error;
      return new Promise((over) => setTimeout(over, 1000)).then(up);
    };
    const up = () => start(args, { cwd: this.folder, env: this.env }).catch(again);
    const { child, ready } = await up();
    Object.assign(this, { child, url: ready.url, opsUrl: ready.ops_url, address: new URL(ready.url).host });
  }

  /** Starts another node on the same store. */
  async beside() {
    const args = ['serve', '--json', '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'];
    this.others.push((await start(args, { cwd: this.folder, env: this.env })).child);
  }

  /** Kills the service; it is unreachable until `up`. */
  async down() {
    await stop(this.child, 'SIGKILL');
  }

  /**
   * Runs a CLI command beside the service. Its exit code may be 3: work remains; or 5: the service did not say within 3 s
   * that it knows of an end.
   */
  async run(...args) {
    const done = promisify(execFile)(binary, [...args, '--json'], { cwd: this.folder, env: this.env });
    const { stdout } = await done.catch((error) => {
      if (error.code === 3 || error.code === 5) return error;
      throw error;
    });
    return JSON.parse(stdout);
  }

  async remove() {
    for (const child of [this.child, ...this.others]) await stop(child);
    await rm(this.folder, { recursive: true });
  }
}

/** Process of the local Braze. */
export class Sandbox {
  static async create() {
    const sandbox = new Sandbox();
    const { child, ready } = await start(['sandbox', '--json', '--listen', '127.0.0.1:0', '--fast-retries']);
    child.stdout.resume();
    return Object.assign(sandbox, { child, url: ready.url, app: ready.apps[0], restApiKey: ready.rest_api_key });
  }

  get sdkApiKey() {
    return this.app.sdk_api_key;
  }

  /** Returns the environment with which a service manages the app's keys here. */
  keyManagement() {
    return {
      COUNTERSIGN_BRAZE__MAIN__REST_URL: this.url,
      COUNTERSIGN_BRAZE__MAIN__API_KEY: this.restApiKey,
      COUNTERSIGN_APPS__WEB__WORKSPACE: 'main',
      COUNTERSIGN_APPS__WEB__BRAZE_APP_ID: this.app.app_id,
      COUNTERSIGN_RINGS__MAIN__ROTATION__STANDBY: 'true',
      COUNTERSIGN_RINGS__MAIN__ROTATION__SOAK: '0s',
    };
  }

  /** Returns the key ids in the descriptions of the app's keys. */
  async keys() {
    const { apps } = await this.call('GET', 'state');
    return apps[0].keys.map(({ description }) => description.split(' ')[1]);
  }

  async call(method, path, body) {
    const answer = await fetch(`${this.url}/sandbox/v1/${path}`, { method, body: body && JSON.stringify(body) });
    const result = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${result.error}`);
    return result;
  }

  /** Makes a key of the app primary, as a person does in Braze's dashboard. */
  async makePrimary(keyId) {
    const answer = await fetch(`${this.url}/app_group/sdk_authentication/primary`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${this.restApiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ app_id: this.app.app_id, key_id: keyId }),
    });
    if (!answer.ok) throw new Error(`primary: ${answer.status} ${await answer.text()}`);
  }

  /** Calls the local OpenID provider: `id-token`, `logout`, `rotate`. */
  async provider(path, body = {}) {
    const answer = await fetch(`${this.url}/oidc/${path}`, { method: 'POST', body: JSON.stringify(body) });
    const result = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${result.error}`);
    return result;
  }

  /** Returns the configuration with which a service takes the provider's ID tokens, and the site's cookie, for logins. */
  signIn(site) {
    const tables = [
      `kind = "oidc"\nissuer = "${this.url}/oidc"\naudience = ["web"]`,
      `kind = "session_endpoint"\nurl = "${site}/backend/me"\ncookies = ["app_session"]\nuser_id = "/user/id"`,
    ];
    return tables.map((table) => `\n[[apps.web.sign_in]]\n${table}\nshared_user_ids = true\n`).join('');
  }

  /** Returns a user's accepted custom events, each with its name and number of deliveries. */
  async events(user) {
    const { events } = await this.call('GET', 'events');
    return events.filter((event) => event.user_id === user && event.name === 'ce').map(({ data, deliveries }) => ({ name: data.n, deliveries }));
  }

  /** Returns the error code of each of a user's requests to unregister push; null if it was accepted. */
  async unregistrations(user) {
    const { requests } = await this.call('GET', 'requests');
    const ofUser = requests.filter(({ push, user_ids: [of] }) => push && of === user);
    return ofUser.map(({ code }) => code);
  }

  /** Returns the push tokens on record for a user. */
  async pushTokens(user) {
    const { push_tokens: tokens } = await this.call('GET', 'push-tokens');
    return tokens.filter((push) => push.user_id === user).map(({ token }) => token);
  }

  /** Returns the error codes of a user's requests, in order of arrival. */
  async codes(user) {
    const { requests } = await this.call('GET', 'requests');
    return requests.filter((request) => request.user_ids.includes(user) && request.code !== null).map(({ code }) => code);
  }

  async remove() {
    await stop(this.child);
  }
}

/** Process of the demo, with a modules folder as npm would fill it, or an empty one. */
export class Demo {
  /** `joined`: the SDK is installed as one module, which a page loads quickly. */
  static async create({ installed = true, joined = false } = {}) {
    const modules = await mkdtemp(join(tmpdir(), 'countersign-demo-'));
    const here = (path) => fileURLToPath(new URL(path, import.meta.url));
    const { child, ready } = await start(['demo', '--json', '--listen', '127.0.0.1:0', '--modules', modules]);
    const demo = Object.assign(new Demo(), { child, modules, here, url: ready.url });
    if (installed) await demo.install(joined);
    return demo;
  }

  /** Puts the SDK and the client where the demo looks for them. */
  async install(joined = false) {
    for (const scope of ['@braze', '@countersign']) await mkdir(join(this.modules, scope));
    const sdk = join(this.modules, '@braze/web-sdk');
    if (joined) {
      await mkdir(join(sdk, 'src'), { recursive: true });
      await writeFile(join(sdk, 'src/index.js'), await bundle('@braze/web-sdk'));
    } else await symlink(this.here('node_modules/@braze/web-sdk'), sdk);
    await symlink(this.here('../../clients/web'), join(this.modules, '@countersign/braze-web'));
  }

  async remove() {
    await stop(this.child);
    await rm(this.modules, { recursive: true });
  }
}

// Website of the app: its page, the SDK and the client as modules, and the backend that requests sessions from the
// service.
//
// The SDK has some 230 modules, which an app's bundler joins. Here it is esbuild: without it, two thirds of a page's
// processor time were for loading them.

import { createServer } from 'node:http';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { extname, normalize } from 'node:path';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const CLIENT = process.env.TEST_CLIENT ?? here('../../clients/web/dist/');
const SDKS = { 6: '@braze/web-sdk', 5: 'braze-web-sdk-5' };
const TYPES = { '.js': 'text/javascript', '.html': 'text/html' };

/** Key pair of the tests, also held by Braze, for expired and foreign tokens: the service mints none. */
const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ownPublicKey = own.publicKey.export({ type: 'spki', format: 'pem' });

/** Returns a token with these claims, signed by the tests' own key. */
export function sign(claims) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const input = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode({ jti: crypto.randomUUID(), ...claims })}`;
  return `${input}.${createSign('RSA-SHA256').update(input).sign(own.privateKey, 'base64url')}`;
}

const seconds = () => Math.floor(Date.now() / 1000);

/** Tokens that the backend can return at login instead of the service's. */
const INSTEAD = {
  expired: (user) => sign({ sub: user, exp: seconds() - 60 }),
  brief: (user) => sign({ sub: user, exp: seconds() + 2 }),
  another_user: () => sign({ sub: 'somebody-else', exp: seconds() + 600 }),
  garbage: () => 'no-token-at-all',
};

/** Joins an SDK's modules into one; returns its text. */
export async function bundle(name) {
  const { build } = createRequire(new URL('../../clients/web/package.json', import.meta.url))('esbuild');
  const entryPoints = [here(`node_modules/${name}/src/index.js`)];
  const { outputFiles } = await build({ entryPoints, bundle: true, format: 'esm', write: false });
  return outputFiles[0].text;
}

const bundles = new Map();

/** As `bundle`, once for each version. */
function sdk(version) {
  if (!bundles.has(version)) bundles.set(version, bundle(SDKS[version]));
  return bundles.get(version);
}

/** HTTP server of the website. */
export class PageServer {
  /** Starts listening, because the service must know the page's origin; `connect` sets service and Braze later. */
  static async create() {
    const site = new PageServer();
    site.logins = [];
    site.sessions = new Map();
    site.credentials = [];
    site.server = createServer((request, response) => site.answer(request, response).catch((error) => {
      response.writeHead(500).end(String(error));
    }));
    await new Promise((listening) => site.server.listen(0, '127.0.0.1', listening));
    site.url = `http://127.0.0.1:${site.server.address().port}`;
    return site;
  }

  connect(service, sandbox) {
    Object.assign(this, { service, sandbox });
  }

  async answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    if (request.method === 'POST' && pathname === '/backend/session') return this.session(request, response);
    if (request.method === 'POST' && pathname === '/backend/id-token') return this.idToken(request, response);
    if (pathname === '/backend/me') return this.me(request, response);
    if (pathname === '/config') return json(response, 200, { service: this.service.url, sandbox: this.sandbox.url, sdkApiKey: this.sandbox.sdkApiKey });
    if (pathname === '/') return file(response, here('page.html'));
    const [, version] = /^\/sdk\/([56])\.js$/.exec(pathname) ?? [];
    if (version) return send(response, '.js', await sdk(version));
    if (pathname.startsWith('/client/')) return file(response, CLIENT + normalize(pathname.slice('/client'.length)));
    return response.writeHead(404).end();
  }

  /** Serves the backend's session route: mints for the user in the body, without a password. */
  async session(request, response) {
    const { user, instead } = JSON.parse(await text(request));
    this.logins.push(user);
    const minted = await fetch(`${this.service.url}/v1/token/generate`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.service.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ app: 'web', user_id: user }),
    });
    const answer = await minted.json();
    if (minted.ok && instead) answer.token = INSTEAD[instead](user);
    json(response, minted.status, answer);
  }

  /** Logs a user in at the provider, in a new session of that. */
  logIn(user) {
    this.sessions.set(user, crypto.randomUUID());
  }

  /** Gives an ID token of the user's session at the provider; null without one. */
  async idToken(request, response) {
    const { user } = JSON.parse(await text(request));
    this.credentials.push(user);
    const sid = this.sessions.get(user);
    json(response, 200, sid ? await this.sandbox.provider('id-token', { sub: user, sid }) : { id_token: null });
  }

  /** Tells whose session a cookie is. */
  me(request, response) {
    const sid = /app_session=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    const [user] = [...this.sessions].find(([, session]) => session === sid) ?? [];
    json(response, user ? 200 : 401, user ? { user: { id: user } } : {});
  }

  async remove() {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }
}

async function text(request) {
  let text = '';
  for await (const part of request) text += part;
  return text;
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body));
}

async function file(response, path) {
  send(response, extname(path), await readFile(path).catch(() => null));
}

function send(response, extension, content) {
  if (content === null) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': TYPES[extension] ?? 'application/octet-stream', 'cache-control': 'max-age=3600' }).end(content);
}

// A real OpenID provider (npm oidc-provider) on a loopback address, whose users log in by script. Its keys can change.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

export const CLIENT = 'our-client';
export const API = 'https://api.example';
const REDIRECT = 'http://127.0.0.1/callback';
const COOKIES = [randomBytes(16).toString('hex')];

function key(kid, type, alg, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

const rsa = (kid) => key(kid, 'rsa', 'RS256', { modulusLength: 2048 });
const ec = (kid) => key(kid, 'ec', 'ES256', { namedCurve: 'P-256' });

/** The provider's server; `serve` gives it keys. */
export class OidcProvider {
  static async listen() {
    const made = new OidcProvider();
    made.server = createServer((request, response) => {
      if (request.url === '/jwks') made.keyHits += 1;
      made.handle(request, response);
    });
    made.server.listen(0, '127.0.0.1');
    await once(made.server, 'listening');
    return Object.assign(made, { issuer: `http://127.0.0.1:${made.server.address().port}`, keyHits: 0, keys: [] });
  }

  /** Starts it, with two keys, and a client of which it tells this URL its logouts. */
  start(logoutUrl) {
    this.logoutUrl = logoutUrl;
    this.changeKeys();
  }

  /** Signs with new keys from now on; the old ones stay in the set. Accounts and sessions stay, too. */
  changeKeys() {
    const n = this.keys.length / 2;
    this.keys = [rsa(`rsa-${n}`), ec(`ec-${n}`), ...this.keys];
    const provider = this.provider();
    this.logouts = [];
    provider.on('backchannel.success', () => this.logouts.push('success'));
    provider.on('backchannel.error', (_, error) => this.logouts.push(`${error.message}: ${error.cause}`));
    this.handle = provider.callback();
  }

  provider() {
    const resource = {
      enabled: true,
      defaultResource: () => API,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: '', audience: API, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    };
    return new Provider(this.issuer, {
      jwks: { keys: this.keys },
      cookies: { keys: COOKIES },
      clients: [{
        client_id: CLIENT,
        token_endpoint_auth_method: 'none',
        redirect_uris: [REDIRECT],
        backchannel_logout_uri: this.logoutUrl,
        backchannel_logout_session_required: true,
      }],
      // Its dispatcher refuses loopback addresses, and the service has one.
      fetch: (url, { dispatcher, ...options }) => fetch(url, options),
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      features: { backchannelLogout: { enabled: true }, resourceIndicators: resource, devInteractions: { enabled: true } },
    });
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}

/** A browser of a user: it keeps cookies, follows redirects within the provider and fills in its forms. */
export class Browser {
  constructor(provider) {
    this.provider = provider;
    this.cookies = new Map();
  }

  async send(url, form) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const body = form && new URLSearchParams(form);
    const answer = await fetch(url, { method: form ? 'POST' : 'GET', headers: { cookie }, body, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      if (value) this.cookies.set(name, value); else this.cookies.delete(name);
    }
    const location = answer.headers.get('location');
    if (!location) return { url, page: await answer.text() };
    const next = new URL(location, url).href;
    return next.startsWith(this.provider.issuer) ? this.send(next) : { url: next, page: '' };
  }

  /** Logs in by code and PKCE; returns the ID token and the access token. */
  async logIn(user) {
    const verifier = randomBytes(32).toString('base64url');
    const query = new URLSearchParams({
      client_id: CLIENT, response_type: 'code', scope: 'openid', redirect_uri: REDIRECT, prompt: 'login',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    let at = await this.send(`${this.provider.issuer}/auth?${query}`);
    for (const form of [{ prompt: 'login', login: user, password: 'any' }, { prompt: 'consent' }]) {
      if (!at.url.startsWith(REDIRECT)) at = await this.send(at.url, form);
    }
    const code = new URL(at.url).searchParams.get('code');
    if (!code) throw new Error(`no code: ${at.url} ${at.page}`);
    const grant = { grant_type: 'authorization_code', client_id: CLIENT, redirect_uri: REDIRECT, code, code_verifier: verifier };
    const answer = await fetch(`${this.provider.issuer}/token`, { method: 'POST', body: new URLSearchParams(grant) });
    const tokens = await answer.json();
    if (!tokens.id_token) throw new Error(JSON.stringify(tokens));
    return { idToken: tokens.id_token, accessToken: tokens.access_token };
  }

  /** Logs out at the provider, which tells its clients. */
  async logOut(idToken) {
    const { page } = await this.send(`${this.provider.issuer}/session/end?id_token_hint=${idToken}`);
    const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(page) ?? [];
    if (!xsrf) throw new Error(`no form: ${page}`);
    return this.send(`${this.provider.issuer}/session/end/confirm`, { xsrf, logout: 'yes' });
  }
}

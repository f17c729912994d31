// The service and a real OpenID provider: exchange of its tokens, change of its keys, logout at it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createPublicKey, verify } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Service } from '../browser/processes.mjs';
import { API, Browser, CLIENT, OidcProvider } from './provider.mjs';

let provider, service;

before(async () => {
  provider = await OidcProvider.listen();
  service = await Service.create('https://app.example', {});
  await service.down();
  // Tokens of one provider for two audiences: ID tokens of the client, access tokens of its API.
  await appendFile(join(service.folder, 'countersign.toml'), `
[[apps.web.sign_in]]
kind = "oidc"
issuer = "${provider.issuer}"
audience = ["${CLIENT}", "${API}"]
algorithms = ["RS256", "ES256"]
token_types = ["", "jwt", "at+jwt"]
`);
  await service.up();
  provider.start(`${service.url}/v1/sign-out/backchannel/web`);
});

after(async () => {
  await provider?.stop();
  await service?.remove();
});

const post = (path, body, credential) => fetch(service.url + path, {
  method: 'POST',
  headers: { 'content-type': 'application/json', ...(credential && { authorization: `Bearer ${credential}` }) },
  body: JSON.stringify(body),
});

const exchange = (credential) => post('/v1/token/exchange', { app: 'web' }, credential);

/** Claims of the answer's token, which our key signed. */
async function minted(answer) {
  const body = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(body));
  const [header, claims, signature] = body.token.split('.');
  const key = createPublicKey(service.publicKey);
  assert.ok(verify('RSA-SHA256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url')));
  return { ...body, claims: JSON.parse(Buffer.from(claims, 'base64url')) };
}

test('an ID token and an access token are exchanged', async () => {
  const { idToken, accessToken } = await new Browser(provider).logIn('u-1');
  for (const credential of [idToken, accessToken]) {
    assert.equal((await minted(await exchange(credential))).claims.sub, 'u-1');
  }
  assert.equal(provider.keyHits, 1);
  for (const forged of [`${idToken}x`, idToken.slice(0, -2), idToken.replace(/\.[^.]+$/, '.')]) {
    const answer = await exchange(forged);
    assert.deepEqual([answer.status, (await answer.json()).code], [401, 'unauthorized']);
  }
});

test('a token of a new key is accepted after at most one fetch', async () => {
  const browser = new Browser(provider);
  const { idToken: old } = await browser.logIn('u-2');
  provider.changeKeys();
  const { idToken } = await browser.logIn('u-2');
  let answer = await exchange(idToken);
  // The set may be younger than 30 s: then the answer says when the next fetch is allowed, and is never 401.
  while (answer.status === 503) {
    const seconds = Number(answer.headers.get('retry-after'));
    assert.ok(seconds >= 1 && seconds <= 30, `${seconds}`);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    answer = await exchange(idToken);
  }
  assert.equal((await minted(answer)).claims.sub, 'u-2');
  assert.equal((await minted(await exchange(old))).claims.sub, 'u-2');
  assert.equal(provider.keyHits, 2);
});

test('a logout at the provider ends its sessions here', async () => {
  const [browser, other] = [new Browser(provider), new Browser(provider)];
  const { idToken } = await browser.logIn('u-3');
  const session = await minted(await exchange(idToken));
  const elsewhere = await minted(await exchange((await other.logIn('u-3')).idToken));
  const refresh = async ({ refresh_token: refreshToken }) =>
    (await post('/v1/token/refresh', { refresh_token: refreshToken })).status;
  assert.equal(await refresh(session), 200);
  await browser.logOut(idToken);
  // The provider tells its clients before it answers the user.
  assert.deepEqual(provider.logouts, ['success']);
  assert.notEqual(await refresh(session), 200, 'the session is over');
  assert.equal((await exchange(idToken)).status, 401, 'the ID token of the ended login is refused');
  assert.equal(await refresh(elsewhere), 200, 'the session of another device goes on');
});

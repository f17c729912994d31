// Makes the calls that it is told on stdin, one JSON object a line, all at the same time: driver.mjs PACKAGE_INDEX.
// Prints one line for each result.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { inspect } from "node:util";

const { Answer, Countersign, CountersignError, Session } = await import(process.argv[2]);
const clients = new Map();

function clientOf({ url, api_key: apiKey, connect_timeout: connectTimeout, timeout, ca }) {
  const key = JSON.stringify([url, apiKey, connectTimeout, timeout, ca]);
  const options = { url, apiKey, ...(ca && { ca: readFileSync(ca, "utf8") }) };
  if (connectTimeout) options.connectTimeout = connectTimeout;
  if (timeout) options.timeout = timeout;
  if (!clients.has(key)) clients.set(key, new Countersign(options));
  return clients.get(key);
}

// Every way in which a log or a debugger may show a value.
const shown = (value) => [inspect(value, { showHidden: true, depth: 9 }), String(value), JSON.stringify(value) ?? "", value?.stack ?? ""];

const calls = {
  generate: (client, { app, user_id, ttl }) => client.generate(app, user_id, { ttl }),
  refresh: (client, { refresh_token, user_id, failure }) => client.refresh(refresh_token, { userId: user_id, failure }),
  revoke: (client, { refresh_token }) => client.revoke(refresh_token),
  report_failure: (client, { refresh_token, failure }) => client.reportFailure(refresh_token, failure),
  answer: (client, { app, user_id, ttl }) => client.answer(app, user_id, { ttl }),
  defaults: (client) => ({ connect_timeout: client.connectTimeout, timeout: client.timeout }),
};

function times({ json, now }) {
  const session = Session.parse(json);
  const { tokenExpires, refreshExpires } = session;
  return { refreshable: session.isRefreshable(now), due: session.isDueForRefresh(now), token_expires: tokenExpires, refresh_expires: refreshExpires };
}

function plain(value) {
  if (value instanceof Session) return value.forApp();
  if (value instanceof Answer) {
    const { status, headers, body, error } = value;
    return { status, headers, body, error: error?.message ?? null };
  }
  if (value?.pendingNodes !== undefined) {
    return { status: value.status, pending_nodes: value.pendingNodes, pending_until: value.pendingUntil };
  }
  return value ?? null;
}

async function result({ call, client, args = {} }) {
  let made;
  try {
    made = client && clientOf(client);
    const value = call === "times" ? times(args) : await calls[call](made, args);
    return { ok: plain(value), shown: [...shown(made), ...shown(value), ...shown(value?.error)] };
  } catch (error) {
    const all = [...shown(made), ...shown(error)];
    if (!(error instanceof CountersignError)) return { refused: error.name, shown: all };
    const { code, status, retryAfter, requestId } = error;
    return { error: { code, status, retry_after: retryAfter, request_id: requestId }, shown: all };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, parallel = 1, ...step } = JSON.parse(line);
  Promise.all(Array.from({ length: parallel }, () => result(step))).then((results) => {
    console.log(JSON.stringify({ id, results }));
  });
}

// Uses the client that openapi-typescript generates: generated.js ADDRESS API_KEY. What is not in the document does not compile.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [address, apiKey] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: address });
const headers = { Authorization: `Bearer ${apiKey}` };

function check(right: boolean, what: string): asserts right {
  if (!right) throw new Error(what);
}

const login = await client.POST("/v1/token/generate", { headers, body: { app: "web", user_id: "42", ttl: 60 } });
check(login.data !== undefined, JSON.stringify(login.error));
const expires: number = login.data.token_expires;
check(expires > 1.7e12 && login.data.token.split(".").length === 3, "login");

// @ts-expect-error: a number is no user id
const refused = await client.POST("/v1/token/generate", { headers, body: { app: "web", user_id: 42 } });
const problem: components["schemas"]["Problem"] | undefined = refused.error;
check(problem?.code === "client_error" && problem.retry === "never", "refusal");

const refresh_token = login.data.refresh_token ?? "";
const next = await client.POST("/v1/token/refresh", { body: { refresh_token } });
check(next.data !== undefined && next.data.token !== login.data.token, "refresh");
const reported = await client.POST("/v1/failures", { body: { refresh_token, failure: { error_code: 25 } } });
check(reported.response.status === 204, "report");
const ended = await client.POST("/v1/token/revoke", { body: { refresh_token: next.data.refresh_token ?? "" } });
check(ended.data?.status === "success", "logout");
const over = await client.POST("/v1/token/refresh", { body: { refresh_token: next.data.refresh_token ?? "" } });
check(over.error?.code === "invalid_token" && over.response.status === 401, "over");
console.log("openapi-typescript: login, refusal, refresh, report, logout");

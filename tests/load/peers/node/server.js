// The mint of Countersign's contract with fastify and jose. Arguments: port, key file, key id; PEER_API_KEY is the API key.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

import fastify from "fastify";
import { SignJWT, importPKCS8 } from "jose";

const LIFETIME = 3600;

const [port, keyFile, kid] = process.argv.slice(2);
const key = await importPKCS8(readFileSync(keyFile, "utf8"), "RS256");
const header = { alg: "RS256", typ: "JWT", kid };
const digest = (text) => createHash("sha256").update(text).digest();
const expected = digest(`Bearer ${process.env.PEER_API_KEY}`);

const text = { type: "string", minLength: 1, maxLength: 512 };
const times = { token_expires: { type: "integer" }, server_time: { type: "integer" }, expires_in: { type: "integer" } };
const schema = {
  body: { type: "object", required: ["app", "user_id"], additionalProperties: false, properties: { app: text, user_id: text } },
  response: { 200: { type: "object", properties: { token: { type: "string" }, ...times } } },
};

const server = fastify({ logger: false, keepAliveTimeout: 60_000 });

server.post("/v1/token/generate", {
  schema,
  onRequest: (request, reply, next) => {
    if (timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) next();
    else reply.code(401).send({ code: "unauthorized" });
  },
  handler: async (request) => {
    const now = Date.now();
    const iat = Math.floor(now / 1000);
    const exp = iat + LIFETIME;
    const claims = { sub: request.body.user_id, iat, exp, jti: randomBytes(16).toString("base64url") };
    const token = await new SignJWT(claims).setProtectedHeader(header).sign(key);
    return { token, token_expires: exp * 1000, server_time: now, expires_in: LIFETIME };
  },
});

await server.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });
console.log("ready");

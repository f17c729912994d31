// Independent judge: npm's jose verifies every sampled token, and refuses it with one bit flipped.
// Usage: node judge.mjs TOKENS_FILE PUBLIC_KEY_PEM
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const { importSPKI, jwtVerify } = await import(pathToFileURL(require.resolve("jose")).href);

const [tokensFile, keyFile] = process.argv.slice(2);
const key = await importSPKI(readFileSync(keyFile, "utf8"), "RS256");
const options = { algorithms: ["RS256"], typ: "JWT", requiredClaims: ["sub", "exp"] };

function flipped(token) {
  const [head, payload, signature] = token.split(".");
  const raw = Buffer.from(signature, "base64url");
  raw[raw.length >> 1] ^= 1;
  return [head, payload, raw.toString("base64url")].join(".");
}

let judged = 0;
for (const line of readFileSync(tokensFile, "utf8").trim().split("\n")) {
  const { user, token } = JSON.parse(line);
  const { payload } = await jwtVerify(token, key, options);
  assert.equal(payload.sub, user);
  await assert.rejects(jwtVerify(flipped(token), key, options), { code: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" });
  judged += 1;
}
assert.ok(judged > 0);
console.log(`jose: ${judged} tokens verified, ${judged} flipped ones refused`);

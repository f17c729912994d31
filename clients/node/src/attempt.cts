import * as http from "node:http";
import * as https from "node:https";

/** A request that is sent as often as there are attempts. */
export interface Call {
  readonly url: URL;
  readonly agent: http.Agent;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** By the clock of `performance.now`. */
  readonly deadline: number;
  readonly connectTimeout: number;
}

export interface Received {
  readonly kind: "answer";
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export type Outcome =
  | Received
  | { readonly kind: "not_reached" }
  | { readonly kind: "no_answer" }
  | { readonly kind: "too_large"; readonly status: number };

/** Answers are below 4 kB. */
const LARGEST_ANSWER = 65_536;

/**
 * Sends once; never rejects. The built-in `fetch` has no time-out for the connection alone, and cannot tell whether the
 * request was sent when it fails: hence `node:http`.
 */
export function attempt(call: Call): Promise<Outcome> {
  const { protocol } = call.url;
  const request = (protocol === "https:" ? https : http).request(call.url, {
    method: "POST",
    agent: call.agent,
    headers: { ...call.headers, "Content-Length": String(Buffer.byteLength(call.body)) },
  });
  return new Promise((resolve) => {
    let connected = false;
    let ended = false;
    const end = (outcome: Outcome) => {
      if (ended) return;
      ended = true;
      clearTimeout(connecting);
      clearTimeout(whole);
      resolve(outcome);
      if (outcome.kind !== "answer") request.destroy();
    };
    const fail = () => end({ kind: connected ? "no_answer" : "not_reached" });
    const reached = () => {
      connected = true;
      clearTimeout(connecting);
    };
    const connecting = setTimeout(fail, call.connectTimeout);
    const whole = setTimeout(fail, Math.max(0, call.deadline - performance.now()));
    request.on("error", fail);
    request.on("close", fail);
    request.on("socket", (socket) => {
      if (request.reusedSocket) reached();
      else socket.once(protocol === "https:" ? "secureConnect" : "connect", reached);
    });
    request.on("response", (response) => read(response, end, fail));
    request.end(call.body);
  });
}

function read(response: http.IncomingMessage, end: (outcome: Outcome) => void, fail: () => void): void {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let length = 0;
  response.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > LARGEST_ANSWER) end({ kind: "too_large", status });
    else chunks.push(chunk);
  });
  response.on("error", fail);
  response.on("end", () => {
    const text = Buffer.concat(chunks).toString("utf8");
    end({ kind: "answer", status, headers: response.headers, text });
  });
}

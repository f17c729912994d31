// What the page shows: the sentence of state, the picture, the token, the story of a failure, and the log.

export const find = (id) => document.getElementById(id);
export const clock = (time = Date.now()) => new Date(time).toLocaleTimeString();
export const brief = (kid) => (kid ? kid.slice(0, 8) : '–');
export const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** Sets a text only where it differs, so that a reader's selection and a screen reader are left alone. */
export function write(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

/** Shows the sentence of state; `mood` is idle, ok, warn or bad. */
export function state(mood, text) {
  if (find('state-text').textContent === text) return;
  find('state').dataset.mood = mood;
  write('state-text', text);
  write('state-time', clock());
}

/** Milliseconds for which a part of the picture is lit. */
const LIT = 1500;
const lit = new Map();

/** Lights an edge of the picture and the nodes that it joins; `label` replaces its text. A bad edge stays lit. */
export function light(edge, mood, nodes, label) {
  if (label) write(`${edge}-label`, label);
  for (const id of [`edge-${edge}`, ...nodes.map((node) => `node-${node}`)]) {
    clearTimeout(lit.get(id));
    find(id).classList.remove('ok', 'bad');
    find(id).classList.add('lit', mood);
    if (mood !== 'bad' || id !== `edge-${edge}`) lit.set(id, setTimeout(dim, LIT, id));
  }
}

/** Ends the light of parts of the picture. */
export function dim(...ids) {
  for (const id of ids) find(id).classList.remove('lit', 'ok', 'bad');
}

const decoded = (part) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))));

let shown = null;

/** Returns the key id of the token that is shown. */
export const kid = () => shown?.header.kid;

/** Shows a token with its claims; null: there is none. */
export function token(jwt) {
  if (jwt === (shown?.jwt ?? null)) return;
  shown = null;
  try {
    const [header, claims] = (jwt ?? '').split('.');
    shown = jwt && { jwt, header: decoded(header), claims: decoded(claims) };
  } catch {}
  const { header, claims } = shown ?? {};
  write('jwt-text', jwt ?? '–');
  write('claims', shown ? JSON.stringify({ header, claims }, null, 2) : '–');
  write('claim-sub', claims?.sub ?? '–');
  write('claim-iat', claims ? clock(claims.iat * 1000) : '–');
  write('claim-exp', claims ? clock(claims.exp * 1000) : '–');
  write('claim-kid', header?.kid ?? '–');
  write('claim-alg', header?.alg ?? '–');
  verdict('', shown ? 'not sent yet' : '–');
  tick();
}

/** Shows what Braze said to the token last. */
export function verdict(mood, text) {
  find('claim-verdict').className = mood;
  write('claim-verdict', text);
}

function tick() {
  const left = shown ? Math.max(0, Math.ceil(shown.claims.exp - Date.now() / 1000)) : null;
  const two = (number) => String(number).padStart(2, '0');
  const hours = Math.floor(left / 3600);
  write('countdown', left === null ? '–' : `${hours ? `${hours}:` : ''}${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`);
  write('countdown-why', left === 0 ? 'past exp: it has expired' : 'until exp, by this device’s clock');
}
setInterval(tick, 1000);

/** Adds a line to the log. */
export function log(text, mood = '') {
  const line = document.createElement('div');
  const time = Object.assign(document.createElement('time'), { textContent: clock() });
  line.append(time, Object.assign(document.createElement('span'), { textContent: text, className: mood }));
  find('log').prepend(line);
  while (find('log').children.length > 200) find('log').lastChild.remove();
}

/** Says beside a button what it did, and what it did not do yet. */
export function effect(act, text, mood = 'said') {
  const place = find(`${act}-effect`);
  place.className = act === 'event' ? (mood === 'bad' ? 'bad' : 'muted') : `effect ${mood}`;
  place.textContent = `${clock()} ${text}`;
}

/** Milliseconds after the first acceptance in which further events belong to the same story. */
const TOGETHER = 2000;

/** Story of one failure: refused, refreshed, accepted. */
export class Story {
  #told = null;

  /** Braze refused a request with this many events. */
  refused(code, reason, events) {
    if (this.#told?.accepted !== undefined) this.#end();
    this.#told ??= { code, reason, refusals: 0, held: 0, tries: 0 };
    Object.assign(this.#told, { code, reason, refusals: this.#told.refusals + 1, held: Math.max(this.#told.held, events) });
    this.#show();
  }

  /** The client asked for a token. */
  asked() {
    if (!this.#told || this.#told.accepted !== undefined) return;
    Object.assign(this.#told, { tries: this.#told.tries + 1, asking: true });
    this.#show();
  }

  /** The answer: a token after `took` milliseconds, or none. */
  answered(took, isToken, how) {
    if (!this.#told || this.#told.accepted !== undefined) return;
    Object.assign(this.#told, { asking: false, refreshed: isToken ? `${how} in ${Math.round(took)} ms` : undefined });
    this.#show();
  }

  /** Braze accepted a request with this many events. */
  accepted(events) {
    const told = this.#told;
    // A request that was on its way with the old token heals nothing.
    if (!told?.refreshed || (events === 0 && told.held > 0 && told.accepted === undefined)) return;
    told.accepted = (told.accepted ?? 0) + events;
    clearTimeout(told.timer);
    told.timer = setTimeout(() => this.#end(), TOGETHER);
    this.#show();
  }

  /** True while Braze refuses. */
  get isOpen() {
    return this.#told !== null && this.#told.accepted === undefined;
  }

  #steps() {
    const { code, reason, refusals, refreshed, asking, tries, accepted, held } = this.#told;
    const again = refusals > 1 ? `, ${refusals} times` : '';
    const middle = refreshed ?? (asking ? 'refreshing…' : tries ? `no token after ${tries === 1 ? '1 try' : `${tries} tries`}` : 'refresh is due');
    const end = accepted === undefined ? `${count(held, 'event')} waiting` : accepted ? `${count(accepted, 'event')} accepted` : 'request accepted';
    return [[`${code} ${reason}${again}`, 'bad'], [middle, refreshed ? 'good' : ''], [end, accepted === undefined ? '' : 'good']];
  }

  #show() {
    const parts = this.#steps().flatMap(([text, mood], at) => {
      const step = Object.assign(document.createElement('b'), { className: mood, textContent: (at ? '→ ' : '') + text });
      return at ? [' ', step] : [step];
    });
    find('story').replaceChildren(...parts);
  }

  #end() {
    clearTimeout(this.#told.timer);
    log(`healed: ${this.#steps().map(([text]) => text).join(' → ')}`, 'good');
    this.#told = null;
  }
}

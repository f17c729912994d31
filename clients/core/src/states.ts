// The states of the client, and what each event does in each. A test compares the table with that of ../../README.md, word
// for word; another one brings a client into each state, triggers each event, and looks at what the client does and at the
// state that it is in then.

/**
 * What an event does in each state; after the arrow the state that follows, where it is another one. Signed out: no user,
 * quiet. Ready: the SDK has a good token, and a timer runs. Attempting: one attempt to get a good token is under way. Backing
 * off: until the time of the next attempt.
 */
export type Row = readonly [signedOut: string, ready: string, attempting: string, backingOff: string];

/** Not in any bundle: nothing imports it but the tests. */
export const transitions: Record<string, Row> = {
  "`login(user)`": ["→ attempting", "→ attempting", "abort → attempting", "→ attempting"],
  "`logout()`": ["delete, revoke", "delete, revoke → signed out", "abort, delete, revoke → signed out", "delete, revoke → signed out"],
  "failure of the saved token": ["keep it, mark the token", "mark the token → attempting", "keep it, mark the token", "keep it, mark the token"],
  "failure of a spent token": ["–", "flush", "flush", "flush"],
  "failure of another user": ["–", "–", "–", "–"],
  "failure of an unknown token, or without one": ["keep it", "set the saved token, flush", "keep it", "set the saved token, flush"],
  "failure 25 or 28": ["report it", "report it", "report it", "report it"],
  "the timer fires": ["–", "→ attempting", "–", "→ attempting"],
  "page shown": ["–", "→ attempting", "–", "–"],
  "online": ["–", "→ attempting", "–", "→ attempting"],
  "the attempt has a token": ["–", "–", "save, set its token, flush → ready", "–"],
  "the session is over": ["–", "–", "delete, tell the app → signed out", "–"],
  "no answer, or any other": ["–", "–", "→ backing off", "–"],
  "another page saved the session": ["–", "set its token", "–", "set its token → ready"],
  "another page deleted the session": ["–", "→ signed out", "–", "→ signed out"],
};

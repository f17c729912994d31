-- Schema 5: the last use of each API key. It only adds; the version before goes on beside it.

-- A table of its own: a use changes no record of a key, and so reloads none.
CREATE TABLE api_key_uses (
    id        TEXT    NOT NULL PRIMARY KEY,
    last_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

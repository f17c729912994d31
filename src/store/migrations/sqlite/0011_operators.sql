-- Schema 11: operators, their sessions of the console, their creations, and answers by the minute. It only adds; the version
-- before goes on beside it.

-- Operators; `hash` is SHA-256 of the token's 256-bit secret. A name has one live row at most.
CREATE TABLE operators (
    token   TEXT    NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    role    TEXT    NOT NULL,
    hash    BLOB    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Sessions of the console; `hash` is SHA-256 of the cookie's 256 bits.
CREATE TABLE console_sessions (
    hash    BLOB    NOT NULL PRIMARY KEY,
    token   TEXT    NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests with an `Idempotency-Key`; `request` is SHA-256 of method, path and body.
CREATE TABLE creations (
    actor   TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    request BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    -- Id of what was made; NULL while that is not known.
    made    TEXT,
    PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;

-- Answers of an app in the minute that begins at `minute`.
CREATE TABLE activity (
    minute    INTEGER NOT NULL,
    app       TEXT    NOT NULL,
    mints     INTEGER NOT NULL,
    refreshes INTEGER NOT NULL,
    refused   INTEGER NOT NULL,
    PRIMARY KEY (minute, app)
) STRICT, WITHOUT ROWID;

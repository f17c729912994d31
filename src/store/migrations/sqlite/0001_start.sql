-- Schema 1. Migrations are numbered and go forward only; one that is applied somewhere is never edited.
-- Times are milliseconds since 1970. User ids stand here as keyed hashes only; tokens and secrets never.
-- The app '' means every app.

-- One device's chain of refresh tokens. The id begins with the time of creation, so new rows lie together.
CREATE TABLE sessions (
    id           BLOB    NOT NULL PRIMARY KEY,
    user         BLOB    NOT NULL,
    app          TEXT    NOT NULL,
    counter      INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    rotated      INTEGER NOT NULL,
    idle_expires INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    ended        TEXT,
    ended_at     INTEGER
) STRICT, WITHOUT ROWID;

-- The only index: no refresh touches its columns, so a refresh writes one row and nothing else.
CREATE INDEX sessions_by_user ON sessions (user, app);

-- Users who get no token until they are opted in again.
CREATE TABLE opt_outs (
    user  BLOB    NOT NULL,
    app   TEXT    NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (user, app)
) STRICT, WITHOUT ROWID;

-- Every session of the app that was created at or before `ended_at` has ended then.
CREATE TABLE app_ends (
    app      TEXT    NOT NULL PRIMARY KEY,
    ended_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Signing keys: the public halves, and where custody finds the private ones.
CREATE TABLE keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    ring       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    bits       INTEGER NOT NULL,
    public_key TEXT    NOT NULL,
    custody    TEXT    NOT NULL,
    locator    TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Backends' API keys; `apps` is a list with commas, `hash` the SHA-256 of 256 random bits.
CREATE TABLE api_keys (
    id      TEXT    NOT NULL PRIMARY KEY,
    client  TEXT    NOT NULL,
    apps    TEXT    NOT NULL,
    hash    BLOB    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Single values: generation, latest_time, readable_from, user_hash_key, check.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('generation', 1);

-- Schema 6: operators, their sessions of the console, their creations, and answers by the minute. It only adds; the version
-- before goes on beside it.

-- Operators; `hash` is SHA-256 of the token's 256-bit secret. A name has one live row at most.
CREATE TABLE countersign.operators (
    token   TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    role    TEXT   NOT NULL,
    hash    BYTEA  NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT
);

-- Sessions of the console; `hash` is SHA-256 of the cookie's 256 bits.
CREATE TABLE countersign.console_sessions (
    hash    BYTEA  NOT NULL PRIMARY KEY,
    token   TEXT   NOT NULL,
    created BIGINT NOT NULL,
    used    BIGINT NOT NULL
);

-- Requests with an `Idempotency-Key`; `request` is SHA-256 of method, path and body.
CREATE TABLE countersign.creations (
    actor   TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    request BYTEA  NOT NULL,
    at      BIGINT NOT NULL,
    -- Id of what was made; NULL while that is not known.
    made    TEXT,
    PRIMARY KEY (actor, key)
);

-- Answers of an app in the minute that begins at `minute`.
CREATE TABLE countersign.activity (
    minute    BIGINT NOT NULL,
    app       TEXT   NOT NULL,
    mints     BIGINT NOT NULL,
    refreshes BIGINT NOT NULL,
    refused   BIGINT NOT NULL,
    PRIMARY KEY (minute, app)
);

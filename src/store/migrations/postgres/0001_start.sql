-- Schema 1. Migrations are numbered and go forward only; one that is applied somewhere is never edited.
-- Times are milliseconds since 1970. User ids stand here as keyed hashes only; tokens and secrets never.
-- The app '' means every app. All names are written with their schema, so that no `search_path` leads elsewhere.

CREATE SCHEMA countersign;

-- One device's chain of refresh tokens. A refresh updates the row in place: no index has a column that a refresh
-- changes, and the free part of each page has room for the new version of the row (a HOT update).
CREATE TABLE countersign.sessions (
    id                BYTEA  NOT NULL PRIMARY KEY,
    user_hash         BYTEA  NOT NULL,
    app               TEXT   NOT NULL,
    counter           BIGINT NOT NULL,
    created           BIGINT NOT NULL,
    rotated           BIGINT NOT NULL,
    idle_expires      BIGINT NOT NULL,
    expires           BIGINT NOT NULL,
    ended             TEXT,
    ended_at          BIGINT,
    -- Keyed hashes of the provider's subject and of its session, and the time of issue of the credential; NULL where the
    -- session began without a provider.
    provider_subject  BYTEA,
    provider_session  BYTEA,
    credential_issued BIGINT
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- `ended` lets a login count the rows that have not ended without reading the others.
CREATE INDEX sessions_by_user ON countersign.sessions (user_hash, app, ended);
CREATE INDEX sessions_by_provider_subject ON countersign.sessions (provider_subject, app)
    WHERE provider_subject IS NOT NULL AND ended IS NULL;
CREATE INDEX sessions_by_provider_session ON countersign.sessions (provider_session, app)
    WHERE provider_session IS NOT NULL AND ended IS NULL;

-- Users who get no token until they are opted in again.
CREATE TABLE countersign.opt_outs (
    user_hash BYTEA  NOT NULL,
    app       TEXT   NOT NULL,
    since     BIGINT NOT NULL,
    PRIMARY KEY (user_hash, app)
);

-- Every session of the app that was created at or before `ended_at` has ended then.
CREATE TABLE countersign.app_ends (
    app      TEXT   NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL
);

-- Logins that ended at the provider: credentials of `login` that were issued up to `issued_until` are refused.
CREATE TABLE countersign.sign_outs (
    app              TEXT   NOT NULL,
    login            BYTEA  NOT NULL,
    issued_until     BIGINT NOT NULL,
    remembered_until BIGINT NOT NULL,
    PRIMARY KEY (app, login)
);

-- Logout tokens that were carried out, as keyed hashes of their ids.
CREATE TABLE countersign.logout_tokens (
    app              TEXT   NOT NULL,
    id               BYTEA  NOT NULL,
    remembered_until BIGINT NOT NULL,
    PRIMARY KEY (app, id)
);

-- Signing keys: the public halves, and where custody finds the private ones.
CREATE TABLE countersign.keys (
    kid        TEXT   NOT NULL PRIMARY KEY,
    ring       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    bits       BIGINT NOT NULL,
    public_key TEXT   NOT NULL,
    custody    TEXT   NOT NULL,
    locator    TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    changed    BIGINT NOT NULL
);

-- Facts about a key beside its record: the latest end of a token of it, the end of its private half.
CREATE TABLE countersign.key_lives (
    kid          TEXT NOT NULL PRIMARY KEY,
    tokens_until BIGINT,
    destroyed    BIGINT
);

-- Which app was asked to hold which key, and since when it is shown, or attested, to do so.
CREATE TABLE countersign.publications (
    kid      TEXT NOT NULL,
    app      TEXT NOT NULL,
    asked    BIGINT,
    shown    BIGINT,
    braze_id TEXT,
    PRIMARY KEY (kid, app)
);

-- Where each ring's rotation stands; `version` counts the changes.
CREATE TABLE countersign.rotations (
    ring    TEXT   NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    goal    TEXT   NOT NULL,
    new_key TEXT
);

-- What serving nodes have loaded; `loaded` is a list of key ids with commas.
CREATE TABLE countersign.nodes (
    node   TEXT   NOT NULL PRIMARY KEY,
    seen   BIGINT NOT NULL,
    loaded TEXT   NOT NULL
);

-- Who may do what only one may do.
CREATE TABLE countersign.leases (
    name   TEXT   NOT NULL PRIMARY KEY,
    holder TEXT   NOT NULL,
    until  BIGINT NOT NULL
);

-- Backends' API keys; `apps` is a list with commas, `hash` the SHA-256 of 256 random bits.
CREATE TABLE countersign.api_keys (
    id      TEXT   NOT NULL PRIMARY KEY,
    client  TEXT   NOT NULL,
    apps    TEXT   NOT NULL,
    hash    BYTEA  NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT
);

-- A table of its own: a use changes no record of a key, and so reloads none.
CREATE TABLE countersign.api_key_uses (
    id        TEXT   NOT NULL PRIMARY KEY,
    last_used BIGINT NOT NULL
) WITH (fillfactor = 70);

-- What happened to keys, who did it and why. Rows are added and never changed.
CREATE TABLE countersign.audit_log (
    seq    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     BIGINT NOT NULL,
    ring   TEXT   NOT NULL,
    kid    TEXT,
    app    TEXT,
    action TEXT   NOT NULL,
    actor  TEXT   NOT NULL,
    why    TEXT   NOT NULL
);

CREATE FUNCTION countersign.audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON countersign.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION countersign.audit_log_is_append_only();

-- Single values, as text: generation, readable_from, installation_id, user_hash_key, clock_floor, clock_acceptance, check.
CREATE TABLE countersign.meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

INSERT INTO countersign.meta (name, value) VALUES ('generation', '1');

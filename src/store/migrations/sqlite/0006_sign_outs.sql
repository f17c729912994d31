-- Schema 6: logins at identity providers, and their ends. It only adds; the version before goes on beside it, and such
-- sessions end in it as `logout`, a value that it knows.

-- Keyed hashes of the provider's subject and of its session, and the time of issue of the credential; NULL where the
-- session began without a provider.
ALTER TABLE sessions ADD COLUMN provider_subject BLOB;
ALTER TABLE sessions ADD COLUMN provider_session BLOB;
ALTER TABLE sessions ADD COLUMN credential_issued INTEGER;

-- Partial: sessions without a provider cost nothing here, and a logout reads no session that has ended. No refresh touches
-- these columns.
CREATE INDEX sessions_by_provider_subject ON sessions (provider_subject, app)
    WHERE provider_subject IS NOT NULL AND ended IS NULL;
CREATE INDEX sessions_by_provider_session ON sessions (provider_session, app)
    WHERE provider_session IS NOT NULL AND ended IS NULL;

-- Logins that ended at the provider: credentials of `login` that were issued up to `issued_until` are refused.
CREATE TABLE sign_outs (
    app              TEXT    NOT NULL,
    login            BLOB    NOT NULL,
    issued_until     INTEGER NOT NULL,
    remembered_until INTEGER NOT NULL,
    PRIMARY KEY (app, login)
) STRICT, WITHOUT ROWID;

-- Logout tokens that were carried out, as keyed hashes of their ids.
CREATE TABLE logout_tokens (
    app              TEXT    NOT NULL,
    id               BLOB    NOT NULL,
    remembered_until INTEGER NOT NULL,
    PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;

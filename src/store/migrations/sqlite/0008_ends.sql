-- Schema 8: what nodes follow to answer while the store is out of reach. It only adds; the version before goes on beside
-- it, and the triggers write down its ends, too. It puts no end of a user on record in `user_ends`, so that a session
-- that began while the store was out of reach outlives a revocation by a program of that version: revoke again when the
-- update is complete.

-- Log of what ended, and of opt-ins. A number is never used again, also where the log is empty.
CREATE TABLE ends (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    -- session, user, app, login, opt_out or opt_in
    kind    TEXT NOT NULL,
    -- Id of the session, or keyed hash of the user or login.
    subject BLOB,
    app     TEXT,
    why     TEXT,
    -- Sessions that were created, and credentials that were issued, at or before it have ended.
    at      INTEGER,
    -- Time from which nobody need remember it.
    until   INTEGER
) STRICT;

-- The last number of the log at the time of a purge. Not every write has a time, and none has that of the purge's clock:
-- so that no row is forgotten too early, a row counts as written when a purge first found it.
CREATE TABLE ends_dates (
    at     INTEGER NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

-- Every session of the user, on one app or all, that was created at or before `ended_at` has ended then: also one that
-- is put on record later.
CREATE TABLE user_ends (
    user     BLOB    NOT NULL,
    app      TEXT    NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (user, app)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_ends_by_time ON user_ends (ended_at);

-- How far each node has followed the log, and until when it may answer without the store.
CREATE TABLE followers (
    node         TEXT    NOT NULL PRIMARY KEY,
    position     INTEGER NOT NULL,
    looked       INTEGER NOT NULL,
    serves_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER session_is_born_ended AFTER INSERT ON sessions WHEN NEW.ended IS NOT NULL
BEGIN
    INSERT INTO ends (kind, subject, app, why, at, until)
        VALUES ('session', NEW.id, NEW.app, NEW.ended, NEW.ended_at, NEW.expires);
END;
-- `OF ended`: a refresh does not name the column, and so is not even compiled with the trigger.
CREATE TRIGGER session_ends AFTER UPDATE OF ended ON sessions WHEN NEW.ended IS NOT NULL AND OLD.ended IS NULL
BEGIN
    INSERT INTO ends (kind, subject, app, why, at, until)
        VALUES ('session', NEW.id, NEW.app, NEW.ended, NEW.ended_at, NEW.expires);
END;

CREATE TRIGGER user_ends_first AFTER INSERT ON user_ends
BEGIN INSERT INTO ends (kind, subject, app, at) VALUES ('user', NEW.user, NEW.app, NEW.ended_at); END;
CREATE TRIGGER user_ends_again AFTER UPDATE ON user_ends
BEGIN INSERT INTO ends (kind, subject, app, at) VALUES ('user', NEW.user, NEW.app, NEW.ended_at); END;

CREATE TRIGGER app_ends_first AFTER INSERT ON app_ends
BEGIN INSERT INTO ends (kind, app, at) VALUES ('app', NEW.app, NEW.ended_at); END;
CREATE TRIGGER app_ends_again AFTER UPDATE ON app_ends
BEGIN INSERT INTO ends (kind, app, at) VALUES ('app', NEW.app, NEW.ended_at); END;

CREATE TRIGGER login_ends_first AFTER INSERT ON sign_outs
BEGIN
    INSERT INTO ends (kind, subject, app, at, until)
        VALUES ('login', NEW.login, NEW.app, NEW.issued_until, NEW.remembered_until);
END;
CREATE TRIGGER login_ends_again AFTER UPDATE ON sign_outs
BEGIN
    INSERT INTO ends (kind, subject, app, at, until)
        VALUES ('login', NEW.login, NEW.app, NEW.issued_until, NEW.remembered_until);
END;

CREATE TRIGGER user_opts_out AFTER INSERT ON opt_outs
BEGIN INSERT INTO ends (kind, subject, app, at) VALUES ('opt_out', NEW.user, NEW.app, NEW.since); END;
CREATE TRIGGER user_opts_in AFTER DELETE ON opt_outs
BEGIN INSERT INTO ends (kind, subject, app) VALUES ('opt_in', OLD.user, OLD.app); END;

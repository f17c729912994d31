-- Schema 2: replacing keys. It only adds; the version before goes on beside it.

-- Which app was asked to hold which key, and since when it is shown, or attested, to do so.
CREATE TABLE publications (
    kid      TEXT NOT NULL,
    app      TEXT NOT NULL,
    asked    INTEGER,
    shown    INTEGER,
    braze_id TEXT,
    PRIMARY KEY (kid, app)
) STRICT, WITHOUT ROWID;

-- What a key did and underwent: the latest end of a token of it, the end of its private half.
CREATE TABLE key_lives (
    kid          TEXT NOT NULL PRIMARY KEY,
    tokens_until INTEGER,
    destroyed    INTEGER
) STRICT, WITHOUT ROWID;

-- Where each ring's rotation stands; `version` counts the changes.
CREATE TABLE rotations (
    ring    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    goal    TEXT    NOT NULL,
    made    TEXT
) STRICT, WITHOUT ROWID;

-- What serving nodes have loaded; `loaded` is a list of key ids with commas.
CREATE TABLE nodes (
    node   TEXT    NOT NULL PRIMARY KEY,
    seen   INTEGER NOT NULL,
    loaded TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may do what only one may do.
CREATE TABLE leases (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened to keys, who did it and why. Lines are added and never changed.
CREATE TABLE trail (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    ring TEXT    NOT NULL,
    kid  TEXT,
    app  TEXT,
    deed TEXT    NOT NULL,
    by   TEXT    NOT NULL,
    why  TEXT    NOT NULL
) STRICT;

CREATE TRIGGER trail_is_not_changed BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER trail_is_not_shortened BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;

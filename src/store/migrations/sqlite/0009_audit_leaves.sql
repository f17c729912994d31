-- Schema 9: the audit log as leaves of a Merkle tree. It only adds; the version before goes on, and writes to `audit_log`,
-- whose rows the next append turns into leaves.

-- The head of the log: one row, which every append changes in its transaction.
CREATE TABLE audit_head (
    one            INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    -- Number of leaves.
    size           INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    -- Index of the epoch's first leaf.
    epoch_begun_at INTEGER NOT NULL,
    -- The last row of `audit_log` that is a leaf.
    swept          INTEGER NOT NULL,
    -- Description of a fork that was found.
    fork           TEXT
) STRICT;
INSERT INTO audit_head (one, size, epoch, epoch_begun_at, swept) VALUES (1, 0, 1, 0, 0);

-- Leaves, from 0 without a gap. `text` is what the tree is built on; the other columns repeat it for queries.
CREATE TABLE audit_leaves (
    number     INTEGER NOT NULL PRIMARY KEY,
    text       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    request_id TEXT,
    action     TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    ring       TEXT,
    kid        TEXT,
    app        TEXT,
    user       TEXT,
    session    TEXT,
    client     TEXT,
    api_key    TEXT,
    why        TEXT    NOT NULL
) STRICT;
-- Events of keys are few among those of sessions.
CREATE INDEX audit_leaves_of_rings ON audit_leaves (number) WHERE ring IS NOT NULL;

CREATE TRIGGER audit_leaves_are_not_changed BEFORE UPDATE ON audit_leaves
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_leaves_are_not_deleted BEFORE DELETE ON audit_leaves
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Acts that took effect and whose leaves could not be appended: the text of a leaf from its index on.
CREATE TABLE audit_waiting (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL
) STRICT;

-- Checkpoints that were printed.
CREATE TABLE audit_checkpoints (
    epoch    INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    note     TEXT    NOT NULL,
    -- Roots of the perfect subtrees, from the largest.
    subtrees BLOB    NOT NULL,
    PRIMARY KEY (epoch, size)
) STRICT, WITHOUT ROWID;

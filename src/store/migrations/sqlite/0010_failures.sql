-- Schema 10: counts of failures that apps report. It only adds; the version before goes on beside it.

-- Reports in the minute (span 60) or hour (span 3600) that begins at `since`. The words w0 to w15 are a sketch of the
-- distinct sessions, which has neither ids nor hashes; two sketches merge by OR.
CREATE TABLE failure_counts (
    span     INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    app      TEXT NOT NULL,
    platform TEXT NOT NULL,
    code     TEXT NOT NULL,
    cause    TEXT NOT NULL,
    -- Key that signed; '' where it is not known.
    kid      TEXT NOT NULL,
    reports  INTEGER NOT NULL,
    w0  INTEGER NOT NULL,
    w1  INTEGER NOT NULL,
    w2  INTEGER NOT NULL,
    w3  INTEGER NOT NULL,
    w4  INTEGER NOT NULL,
    w5  INTEGER NOT NULL,
    w6  INTEGER NOT NULL,
    w7  INTEGER NOT NULL,
    w8  INTEGER NOT NULL,
    w9  INTEGER NOT NULL,
    w10 INTEGER NOT NULL,
    w11 INTEGER NOT NULL,
    w12 INTEGER NOT NULL,
    w13 INTEGER NOT NULL,
    w14 INTEGER NOT NULL,
    w15 INTEGER NOT NULL,
    PRIMARY KEY (span, since, app, platform, code, cause, kid)
) STRICT;

-- The latest report of each cause at each app, as far as it is kept.
CREATE TABLE failure_examples (
    app             TEXT NOT NULL,
    cause           TEXT NOT NULL,
    at              INTEGER NOT NULL,
    platform        TEXT NOT NULL,
    code            TEXT NOT NULL,
    kid             TEXT NOT NULL,
    confidence      TEXT NOT NULL,
    -- Keys of the ring with their states then: "kid state,kid state".
    keys            TEXT NOT NULL,
    -- Seconds from the issue of the token to its end, and to the report.
    issue_to_end    INTEGER,
    issue_to_report INTEGER,
    PRIMARY KEY (app, cause)
) STRICT;

-- Versions of SDKs that reported, with the sketch of their sessions.
CREATE TABLE failure_versions (
    version TEXT NOT NULL PRIMARY KEY,
    seen    INTEGER NOT NULL,
    w0  INTEGER NOT NULL,
    w1  INTEGER NOT NULL,
    w2  INTEGER NOT NULL,
    w3  INTEGER NOT NULL,
    w4  INTEGER NOT NULL,
    w5  INTEGER NOT NULL,
    w6  INTEGER NOT NULL,
    w7  INTEGER NOT NULL,
    w8  INTEGER NOT NULL,
    w9  INTEGER NOT NULL,
    w10 INTEGER NOT NULL,
    w11 INTEGER NOT NULL,
    w12 INTEGER NOT NULL,
    w13 INTEGER NOT NULL,
    w14 INTEGER NOT NULL,
    w15 INTEGER NOT NULL
) STRICT;

-- Time of the last event about each cause.
CREATE TABLE failure_alerts (
    cause TEXT NOT NULL PRIMARY KEY,
    at    INTEGER NOT NULL
) STRICT;

-- Starts and reloads of the service, with its version.
CREATE TABLE service_events (
    at      INTEGER NOT NULL,
    node    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (at, node, kind)
) STRICT;

-- Schema 5: counts of failures that apps report. It only adds; the version before goes on beside it.

-- Reports in the minute (span 60) or hour (span 3600) that begins at `since`. The words w0 to w15 are a sketch of the
-- distinct sessions, which has neither ids nor hashes; two sketches merge by OR.
CREATE TABLE countersign.failure_counts (
    span     BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    app      TEXT NOT NULL,
    platform TEXT NOT NULL,
    code     TEXT NOT NULL,
    cause    TEXT NOT NULL,
    -- Key that signed; '' where it is not known.
    kid      TEXT NOT NULL,
    reports  BIGINT NOT NULL,
    w0  BIGINT NOT NULL,
    w1  BIGINT NOT NULL,
    w2  BIGINT NOT NULL,
    w3  BIGINT NOT NULL,
    w4  BIGINT NOT NULL,
    w5  BIGINT NOT NULL,
    w6  BIGINT NOT NULL,
    w7  BIGINT NOT NULL,
    w8  BIGINT NOT NULL,
    w9  BIGINT NOT NULL,
    w10 BIGINT NOT NULL,
    w11 BIGINT NOT NULL,
    w12 BIGINT NOT NULL,
    w13 BIGINT NOT NULL,
    w14 BIGINT NOT NULL,
    w15 BIGINT NOT NULL,
    PRIMARY KEY (span, since, app, platform, code, cause, kid)
);

-- The latest report of each cause at each app, as far as it is kept.
CREATE TABLE countersign.failure_examples (
    app             TEXT NOT NULL,
    cause           TEXT NOT NULL,
    at              BIGINT NOT NULL,
    platform        TEXT NOT NULL,
    code            TEXT NOT NULL,
    kid             TEXT NOT NULL,
    confidence      TEXT NOT NULL,
    -- Keys of the ring with their states then: "kid state,kid state".
    keys            TEXT NOT NULL,
    -- Seconds from the issue of the token to its end, and to the report.
    issue_to_end    BIGINT,
    issue_to_report BIGINT,
    PRIMARY KEY (app, cause)
);

-- Versions of SDKs that reported, with the sketch of their sessions.
CREATE TABLE countersign.failure_versions (
    version TEXT NOT NULL PRIMARY KEY,
    seen    BIGINT NOT NULL,
    w0  BIGINT NOT NULL,
    w1  BIGINT NOT NULL,
    w2  BIGINT NOT NULL,
    w3  BIGINT NOT NULL,
    w4  BIGINT NOT NULL,
    w5  BIGINT NOT NULL,
    w6  BIGINT NOT NULL,
    w7  BIGINT NOT NULL,
    w8  BIGINT NOT NULL,
    w9  BIGINT NOT NULL,
    w10 BIGINT NOT NULL,
    w11 BIGINT NOT NULL,
    w12 BIGINT NOT NULL,
    w13 BIGINT NOT NULL,
    w14 BIGINT NOT NULL,
    w15 BIGINT NOT NULL
);

-- Time of the last event about each cause.
CREATE TABLE countersign.failure_alerts (
    cause TEXT NOT NULL PRIMARY KEY,
    at    BIGINT NOT NULL
);

-- Starts and reloads of the service, with its version.
CREATE TABLE countersign.service_events (
    at      BIGINT NOT NULL,
    node    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (at, node, kind)
);

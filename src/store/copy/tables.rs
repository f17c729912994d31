//! Tables that a copy has, with the types of their columns. A test compares them with those of a new store.

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Integer,
    Text,
    Bytes,
}

/// Column of a table.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) kind: Kind,
}

/// Table of the store.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// Number of columns, from the first, that are the primary key.
    pub(in crate::store) key: usize,
    pub(in crate::store) columns: &'static [Column],
}

const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// Name of the table of single values. Each engine writes them as text in its own way, and has some for itself.
pub(in crate::store) const META: &str = "meta";

/// Name of the table of the audit log's head, which is one row.
pub(in crate::store) const AUDIT_HEAD: &str = "audit_head";

/// Name of the table of acts that wait for their leaves.
pub(in crate::store) const AUDIT_WAITING: &str = "audit_waiting";

/// Name of the table to which the version before appends.
pub(in crate::store) const AUDIT_LOG: &str = "audit_log";

/// Tables whose rows are numbered in the order in which they were written.
pub(in crate::store) const NUMBERED: [&str; 2] = [AUDIT_LOG, AUDIT_WAITING];

/// Key by which a row of this table replaces one that a new store has; `None` for tables that are empty there.
pub(in crate::store) fn replaced_by(table: &Table) -> Option<&'static str> {
    match table.name {
        META => Some("name"),
        AUDIT_HEAD => Some("one"),
        _ => None,
    }
}

/// Tables whose changes the triggers of both engines write into the log of ends. What is copied did not end now.
pub(in crate::store) const LOGGED: [&str; 5] = ["sessions", "opt_outs", "app_ends", "user_ends", "sign_outs"];

/// Single values that are about a store and not about its contents.
pub(in crate::store) const OF_THE_STORE: [&str; 5] = ["check", "latest_time", "purged_to", "readable_from", "schema"];

/// Tables that no copy has: they say what a running service does, and how far it has followed the ends in one store. Nodes
/// of the copy begin with what has ended there as a whole.
#[cfg(test)]
pub(in crate::store) const OF_NODES: [&str; 5] = ["nodes", "leases", "ends", "ends_dates", "followers"];

/// Every other table.
pub(in crate::store) const TABLES: [Table; 28] = [
    Table {
        name: "sessions",
        key: 1,
        columns: &[
            bytes("id"),
            bytes("user_hash"),
            text("app"),
            integer("counter"),
            integer("created"),
            integer("rotated"),
            integer("idle_expires"),
            integer("expires"),
            text("ended"),
            integer("ended_at"),
            bytes("provider_subject"),
            bytes("provider_session"),
            integer("credential_issued"),
        ],
    },
    Table { name: "opt_outs", key: 2, columns: &[bytes("user_hash"), text("app"), integer("since")] },
    Table { name: "app_ends", key: 1, columns: &[text("app"), integer("ended_at")] },
    Table { name: "user_ends", key: 2, columns: &[bytes("user_hash"), text("app"), integer("ended_at")] },
    Table {
        name: "sign_outs",
        key: 2,
        columns: &[text("app"), bytes("login"), integer("issued_until"), integer("remembered_until")],
    },
    Table { name: "logout_tokens", key: 2, columns: &[text("app"), bytes("id"), integer("remembered_until")] },
    Table {
        name: "keys",
        key: 1,
        columns: &[
            text("kid"),
            text("ring"),
            text("state"),
            integer("bits"),
            text("public_key"),
            text("custody"),
            text("locator"),
            integer("created"),
            integer("changed"),
        ],
    },
    Table { name: "sealed_keys", key: 1, columns: &[text("kid"), bytes("sealed")] },
    Table { name: "key_lives", key: 1, columns: &[text("kid"), integer("tokens_until"), integer("destroyed")] },
    Table {
        name: "publications",
        key: 2,
        columns: &[text("kid"), text("app"), integer("asked"), integer("shown"), text("braze_id")],
    },
    Table { name: "rotations", key: 1, columns: &[text("ring"), integer("version"), text("goal"), text("new_key")] },
    Table {
        name: "api_keys",
        key: 1,
        columns: &[
            text("id"),
            text("client"),
            text("apps"),
            bytes("hash"),
            integer("created"),
            integer("expires"),
            integer("revoked"),
        ],
    },
    Table { name: "api_key_uses", key: 1, columns: &[text("id"), integer("last_used")] },
    Table {
        name: AUDIT_LOG,
        key: 1,
        columns: &[
            integer("seq"),
            integer("at"),
            text("ring"),
            text("kid"),
            text("app"),
            text("action"),
            text("actor"),
            text("why"),
        ],
    },
    Table {
        name: AUDIT_HEAD,
        key: 1,
        columns: &[
            integer("one"),
            integer("size"),
            integer("epoch"),
            integer("epoch_begun_at"),
            integer("swept"),
            text("fork"),
        ],
    },
    Table {
        name: "audit_leaves",
        key: 1,
        columns: &[
            integer("number"),
            text("text"),
            integer("at"),
            text("actor"),
            text("request_id"),
            text("action"),
            text("outcome"),
            text("ring"),
            text("kid"),
            text("app"),
            text("user_hash"),
            text("session"),
            text("client"),
            text("api_key"),
            text("why"),
        ],
    },
    Table { name: AUDIT_WAITING, key: 1, columns: &[integer("seq"), text("record")] },
    Table {
        name: "audit_checkpoints",
        key: 2,
        columns: &[integer("epoch"), integer("size"), integer("at"), text("note"), bytes("subtrees")],
    },
    Table {
        name: "failure_counts",
        key: 7,
        columns: &[
            integer("span"),
            integer("since"),
            text("app"),
            text("platform"),
            text("code"),
            text("cause"),
            text("kid"),
            integer("reports"),
            integer("w0"),
            integer("w1"),
            integer("w2"),
            integer("w3"),
            integer("w4"),
            integer("w5"),
            integer("w6"),
            integer("w7"),
            integer("w8"),
            integer("w9"),
            integer("w10"),
            integer("w11"),
            integer("w12"),
            integer("w13"),
            integer("w14"),
            integer("w15"),
        ],
    },
    Table {
        name: "failure_examples",
        key: 2,
        columns: &[
            text("app"),
            text("cause"),
            integer("at"),
            text("platform"),
            text("code"),
            text("kid"),
            text("confidence"),
            text("keys"),
            integer("issue_to_end"),
            integer("issue_to_report"),
        ],
    },
    Table {
        name: "failure_versions",
        key: 1,
        columns: &[
            text("version"),
            integer("seen"),
            integer("w0"),
            integer("w1"),
            integer("w2"),
            integer("w3"),
            integer("w4"),
            integer("w5"),
            integer("w6"),
            integer("w7"),
            integer("w8"),
            integer("w9"),
            integer("w10"),
            integer("w11"),
            integer("w12"),
            integer("w13"),
            integer("w14"),
            integer("w15"),
        ],
    },
    Table { name: "failure_alerts", key: 1, columns: &[text("cause"), integer("at")] },
    Table { name: "service_events", key: 3, columns: &[integer("at"), text("node"), text("kind"), text("version")] },
    Table {
        name: "operators",
        key: 1,
        columns: &[
            text("token"),
            text("name"),
            text("role"),
            bytes("hash"),
            integer("created"),
            integer("expires"),
            integer("revoked"),
        ],
    },
    Table {
        name: "console_sessions",
        key: 1,
        columns: &[bytes("hash"), text("token"), integer("created"), integer("used")],
    },
    Table {
        name: "creations",
        key: 2,
        columns: &[text("actor"), text("key"), bytes("request"), integer("at"), text("made")],
    },
    Table {
        name: "activity",
        key: 2,
        columns: &[integer("minute"), text("app"), integer("mints"), integer("refreshes"), integer("refused")],
    },
    Table { name: META, key: 1, columns: &[text("name"), text("value")] },
];

//! Events of the audit log as its leaves show them, and those of the table `audit_log`, to which a program of the version
//! before appends.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows;
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditEvent, AuditOutcome, AuditTarget},
        ids::{AppName, Kid, RingName},
    },
    store::repetition::{LastEvent, may_repeat, repeats},
};

/// SELECT of the columns that [`event_of`] reads, in its order, and of the index.
macro_rules! select_leaves {
    ($where:literal) => {
        concat!(
            "SELECT at, actor, request_id, action, outcome, ring, kid, app, user, session, client, api_key, why, \
             number, text FROM audit_leaves ",
            $where
        )
    };
}
pub(super) use select_leaves;

const NEWEST: &str =
    select_leaves!("WHERE ring IS NOT NULL AND (?1 IS NULL OR ring = ?1) ORDER BY number DESC LIMIT ?2");

/// The last event about a key at an app: a row that is no leaf yet, else a leaf.
const LAST: &str = "SELECT action, outcome, why, actor FROM ( \
         SELECT * FROM (SELECT action, 'done' AS outcome, why, actor FROM audit_log \
             WHERE seq > (SELECT swept FROM audit_head) AND ring = ?1 AND kid IS ?2 AND app IS ?3 \
             ORDER BY seq DESC LIMIT 1) \
         UNION ALL \
         SELECT * FROM (SELECT action, outcome, why, actor FROM audit_leaves \
             WHERE ring IS NOT NULL AND ring = ?1 AND kid IS ?2 AND app IS ?3 ORDER BY number DESC LIMIT 1)) LIMIT 1";

/// Returns the newest events about keys, newest first: of one ring, or of all.
pub(super) fn newest(c: &Connection, ring: Option<&RingName>, limit: u32) -> rusqlite::Result<Vec<AuditEvent>> {
    c.prepare_cached(NEWEST)?.query_map(params![ring.map(RingName::as_str), limit], event_of)?.collect()
}

/// Returns whether the event repeats the last one about the same key at the same app.
pub(super) fn is_repetition(c: &Connection, event: &AuditEvent) -> rusqlite::Result<bool> {
    if !may_repeat(event) {
        return Ok(false);
    }
    let target = &event.target;
    let (ring, kid) = (target.ring.as_ref().map(RingName::as_str), target.kid.as_ref().map(Kid::as_str));
    let values = params![ring, kid, target.app.as_ref().map(AppName::as_str)];
    let is_same = |row: &Row<'_>| {
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        Ok(repeats(event, &LastEvent { action: text(0)?, outcome: text(1)?, why: text(2)?, actor: text(3)? }))
    };
    Ok(c.prepare_cached(LAST)?.query_row(values, is_same).optional()?.unwrap_or(false))
}

/// Reads an event from the columns of `select_leaves!`.
pub(super) fn event_of(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    Ok(AuditEvent {
        at: UnixMillis(row.get(0)?),
        actor: Actor { name: row.get(1)?, request_id: row.get(2)? },
        action: rows::variant(row, 3)?,
        outcome: rows::variant(row, 4)?,
        target: AuditTarget {
            ring: rows::optional(row, 5, rows::parsed)?,
            kid: rows::optional(row, 6, rows::parsed)?,
            app: rows::optional(row, 7, rows::parsed)?,
            user: rows::optional(row, 8, rows::parsed)?,
            session: rows::optional(row, 9, rows::parsed)?,
            client: rows::optional(row, 10, rows::parsed)?,
            api_key: rows::optional(row, 11, rows::parsed)?,
        },
        why: row.get(12)?,
    })
}

/// Reads an event of the table `audit_log` from the columns at, ring, kid, app, action, actor, why.
pub(super) fn old_event_of(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    Ok(AuditEvent {
        at: rows::time(row, 0)?,
        target: AuditTarget {
            ring: rows::optional(row, 1, rows::parsed)?,
            kid: rows::optional(row, 2, rows::parsed)?,
            app: rows::optional(row, 3, rows::parsed)?,
            ..AuditTarget::default()
        },
        action: rows::variant(row, 4)?,
        actor: Actor::named(row.get::<_, String>(5)?),
        outcome: AuditOutcome::Done,
        why: row.get(6)?,
    })
}

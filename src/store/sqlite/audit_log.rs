//! The table `audit_log`: events are appended and read, never changed; triggers refuse anything else.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows;
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditOutcome, AuditTarget},
        ids::{AppName, Kid, RingName},
    },
    store::repetition::{LastEvent, may_repeat, repeats},
};

/// Appends an event, unless it repeats the last event about the same key at the same app.
pub(super) fn append(c: &Connection, event: &AuditEvent) -> rusqlite::Result<()> {
    if is_repetition(c, event)? {
        return Ok(());
    }
    let sql = "INSERT INTO audit_log (at, ring, kid, app, action, actor, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (at, action) = (event.at.0, event.action.as_str());
    let (ring, kid, app) = subject(event);
    c.prepare_cached(sql)?.execute(params![at, ring, kid, app, action, event.actor.name, event.why]).map(drop)
}

/// Returns the newest events, newest first: of one ring, or of all.
pub(super) fn newest(c: &Connection, ring: Option<&RingName>, limit: u32) -> rusqlite::Result<Vec<AuditEvent>> {
    let sql = "SELECT at, ring, kid, app, action, actor, why FROM audit_log \
               WHERE ?1 IS NULL OR ring = ?1 ORDER BY seq DESC LIMIT ?2";
    c.prepare_cached(sql)?.query_map(params![ring.map(RingName::as_str), limit], event_of)?.collect()
}

/// Returns whether the event repeats the last one about the same key at the same app.
fn is_repetition(c: &Connection, event: &AuditEvent) -> rusqlite::Result<bool> {
    if !may_repeat(event) {
        return Ok(false);
    }
    let sql = "SELECT action, why, actor FROM audit_log WHERE ring = ?1 AND kid IS ?2 AND app IS ?3 ORDER BY seq DESC LIMIT 1";
    let (ring, kid, app) = subject(event);
    let values = params![ring, kid, app];
    let is_same = |row: &Row<'_>| {
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        Ok(repeats(event, &LastEvent { action: text(0)?, why: text(1)?, actor: text(2)? }))
    };
    Ok(c.prepare_cached(sql)?.query_row(values, is_same).optional()?.unwrap_or(false))
}

/// The columns `ring`, `kid` and `app` of an event.
fn subject(event: &AuditEvent) -> (Option<&str>, Option<&str>, Option<&str>) {
    let target = &event.target;
    (
        target.ring.as_ref().map(RingName::as_str),
        event.target.kid.as_ref().map(Kid::as_str),
        event.target.app.as_ref().map(AppName::as_str),
    )
}

/// Reads an event from the columns at, ring, kid, app, action, actor, why.
fn event_of(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
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

//! Acts on keys: every part of one, or none.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{keys::insert, rows, upkeep::next_generation};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, RingName},
        rotation::{AuditAction, AuditEvent, Progress, Publication},
    },
    store::{KeyChange, KeyTransaction, PublicationChange},
};

/// In a savepoint of its own, because it shares its transaction with other writes.
pub(super) fn perform(c: &mut Connection, act: &KeyTransaction) -> rusqlite::Result<bool> {
    let mut all = c.savepoint()?;
    if !try_perform(&all, act)? {
        all.rollback()?;
        return Ok(false);
    }
    next_generation(&all, act.insert.is_some() || !act.changes.is_empty())?;
    all.commit()?;
    Ok(true)
}

fn try_perform(c: &Connection, act: &KeyTransaction) -> rusqlite::Result<bool> {
    if let Some(key) = &act.insert
        && !insert(c, key)?
    {
        return Ok(false);
    }
    for change in &act.changes {
        if !change_key(c, change)? {
            return Ok(false);
        }
    }
    for change in &act.publications {
        if !change_publication(c, change)? {
            return Ok(false);
        }
    }
    if let Some((ring, progress)) = &act.progress
        && !advance(c, ring, progress)?
    {
        return Ok(false);
    }
    if let Some((kid, at)) = &act.destroyed {
        let sql = "INSERT INTO key_lives (kid, destroyed) VALUES (?1, ?2) \
                   ON CONFLICT (kid) DO UPDATE SET destroyed = coalesce(destroyed, excluded.destroyed)";
        c.prepare_cached(sql)?.execute(params![kid.as_str(), at.0])?;
    }
    act.events.iter().try_for_each(|event| note(c, event))?;
    Ok(true)
}

fn change_key(c: &Connection, change: &KeyChange) -> rusqlite::Result<bool> {
    let sql = "UPDATE keys SET state = ?3, changed = ?4 WHERE kid = ?1 AND state = ?2";
    let values = params![change.to.kid.as_str(), change.from.as_str(), change.to.state.as_str(), change.to.changed.0];
    Ok(c.prepare_cached(sql)?.execute(values)? == 1)
}

fn change_publication(c: &Connection, change: &PublicationChange) -> rusqlite::Result<bool> {
    let (kid, app) = (change.kid.as_str(), change.app.as_str());
    let sql = "SELECT asked, shown, braze_id FROM publications WHERE kid = ?1 AND app = ?2";
    let found = c.prepare_cached(sql)?.query_row([kid, app], |row| publication_of(row, 0)).optional()?;
    if found != change.from {
        return Ok(false);
    }
    match &change.to {
        None => c.prepare_cached("DELETE FROM publications WHERE kid = ?1 AND app = ?2")?.execute([kid, app])?,
        Some(to) => {
            let sql = "INSERT INTO publications (kid, app, asked, shown, braze_id) VALUES (?1, ?2, ?3, ?4, ?5) \
                       ON CONFLICT (kid, app) DO UPDATE SET \
                       asked = excluded.asked, shown = excluded.shown, braze_id = excluded.braze_id";
            let (asked, shown) = (to.asked.map(|at| at.0), to.shown.map(|at| at.0));
            c.prepare_cached(sql)?.execute(params![kid, app, asked, shown, to.braze_id])?
        }
    };
    Ok(true)
}

/// The publication that begins at this column.
pub(super) fn publication_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Publication> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixMillis));
    Ok(Publication { asked: time(first)?, shown: time(first + 1)?, braze_id: row.get(first + 2)? })
}

fn advance(c: &Connection, ring: &RingName, progress: &Progress) -> rusqlite::Result<bool> {
    let (version, new_key) = (rows::stored(progress.version)?, progress.new_key.as_ref().map(Kid::as_str));
    let sql = if version == 0 {
        "INSERT INTO rotations (ring, version, goal, new_key) VALUES (?1, ?2 + 1, ?3, ?4) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE rotations SET version = ?2 + 1, goal = ?3, new_key = ?4 WHERE ring = ?1 AND version = ?2"
    };
    Ok(c.prepare_cached(sql)?.execute(params![ring.as_str(), version, progress.goal.as_str(), new_key])? == 1)
}

/// The ring's progress; nothing under way where there is none on record.
pub(super) fn progress(c: &Connection, ring: &RingName) -> rusqlite::Result<Progress> {
    let sql = "SELECT version, goal, new_key FROM rotations WHERE ring = ?1";
    let found = c.prepare_cached(sql)?.query_row([ring.as_str()], |row| {
        let new_key: Option<String> = row.get(2)?;
        Ok(Progress {
            version: rows::unsigned(row, 0)?,
            goal: rows::word(row, 1)?,
            new_key: new_key.map(|kid| kid.parse()).transpose().map_err(|why| rows::damaged(2, why))?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

fn note(c: &Connection, event: &AuditEvent) -> rusqlite::Result<()> {
    // A refusal is always told; anything else may be what was tried before.
    let last = "SELECT action FROM audit_log WHERE ring = ?1 AND kid IS ?2 AND app IS ?3 ORDER BY seq DESC LIMIT 1";
    let (kid, app) = (event.kid.as_ref().map(Kid::as_str), event.app.as_ref().map(AppName::as_str));
    let values = params![event.ring.as_str(), kid, app];
    let last: Option<String> = c.prepare_cached(last)?.query_row(values, |row| row.get(0)).optional()?;
    if event.action != AuditAction::Refused && event.kid.is_some() && last.as_deref() == Some(event.action.as_str()) {
        return Ok(());
    }
    let sql = "INSERT INTO audit_log (at, ring, kid, app, action, actor, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (at, ring) = (event.at.0, event.ring.as_str());
    c.prepare_cached(sql)?.execute(params![at, ring, kid, app, event.action.as_str(), event.actor, event.why])?;
    Ok(())
}

/// A line of the audit log: at, ring, kid, app, action, actor, why.
pub(super) fn audit_event_of(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let (kid, app): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
    Ok(AuditEvent {
        at: rows::time(row, 0)?,
        ring: rows::parsed(row, 1)?,
        kid: kid.map(|kid| kid.parse()).transpose().map_err(|why| rows::damaged(2, why))?,
        app: app.map(|app| app.parse()).transpose().map_err(|why| rows::damaged(3, why))?,
        action: rows::word(row, 4)?,
        actor: row.get(5)?,
        why: row.get(6)?,
    })
}

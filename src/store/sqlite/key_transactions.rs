//! Writes of a [`KeyTransaction`]: all of its parts, or none.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{audit_append, audit_log::is_repetition, meta::next_generation, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditEvent, record_of},
        ids::{Kid, RingName},
        key::KeyRecord,
        rotation::{Progress, Publication},
    },
    store::{KeyChange, KeyMove, KeyTransaction, PublicationChange, acts::any_stops_something},
};

/// Applies a transaction. Returns `false`, and changes nothing, where the store is not as the transaction says it must
/// be. It runs in a savepoint, because the writer commits it together with other writes. Returns with it the records of
/// acts that took effect without one.
pub(super) fn apply(c: &mut Connection, transaction: &KeyTransaction) -> rusqlite::Result<(bool, Vec<String>)> {
    let mut savepoint = c.savepoint()?;
    if !try_apply(&savepoint, transaction)? {
        savepoint.rollback()?;
        return Ok((false, Vec::new()));
    }
    let unrecorded = record(&savepoint, &transaction.events)?;
    let keys_changed = transaction.insert.is_some() || !transaction.changes.is_empty() || !transaction.moves.is_empty();
    next_generation(&savepoint, keys_changed)?;
    savepoint.commit()?;
    Ok((true, unrecorded))
}

fn try_apply(c: &Connection, transaction: &KeyTransaction) -> rusqlite::Result<bool> {
    if let Some(key) = &transaction.insert
        && !insert_key(c, key)?
    {
        return Ok(false);
    }
    for change in &transaction.changes {
        if !change_key(c, change)? {
            return Ok(false);
        }
    }
    for change in &transaction.moves {
        if !move_key(c, change)? {
            return Ok(false);
        }
    }
    for change in &transaction.publications {
        if !change_publication(c, change)? {
            return Ok(false);
        }
    }
    if let Some((ring, progress)) = &transaction.progress
        && !change_progress(c, ring, progress)?
    {
        return Ok(false);
    }
    if let Some((kid, at)) = &transaction.destroyed {
        record_destruction(c, kid, *at)?;
    }
    Ok(true)
}

/// Appends the events that do not repeat the last one about the same key at the same app.
fn record(c: &Connection, events: &[AuditEvent]) -> rusqlite::Result<Vec<String>> {
    let (stops, mut unrecorded) = (any_stops_something(events), Vec::new());
    for event in events {
        if !is_repetition(c, event)? {
            unrecorded.extend(audit_append::record(c, vec![record_of(event)], stops)?);
        }
    }
    Ok(unrecorded)
}

/// Inserts a key. Returns `false` where its id is on record already.
fn insert_key(c: &Connection, key: &KeyRecord) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO keys (kid, ring, state, bits, public_key, custody, locator, created, changed) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
    let inserted = c.prepare_cached(sql)?.execute(params![
        key.kid.as_str(),
        key.ring.as_str(),
        key.state.as_str(),
        key.bits,
        key.public_key,
        key.custody,
        key.locator,
        key.created.0,
        key.changed.0,
    ])?;
    Ok(inserted == 1)
}

fn change_key(c: &Connection, change: &KeyChange) -> rusqlite::Result<bool> {
    let sql = "UPDATE keys SET state = ?3, changed = ?4 WHERE kid = ?1 AND state = ?2";
    let values = params![change.to.kid.as_str(), change.from.as_str(), change.to.state.as_str(), change.to.changed.0];
    Ok(c.prepare_cached(sql)?.execute(values)? == 1)
}

fn move_key(c: &Connection, change: &KeyMove) -> rusqlite::Result<bool> {
    let sql =
        "UPDATE keys SET custody = ?5, locator = ?6 WHERE kid = ?1 AND state = ?2 AND custody = ?3 AND locator = ?4";
    let (kid, state, from, to) = (change.kid.as_str(), change.state.as_str(), &change.from, &change.to);
    let values = params![kid, state, from.custody, from.locator, to.custody, to.locator];
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

/// Reads a publication from the columns asked, shown, `braze_id`, of which `first` is the first.
pub(super) fn publication_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Publication> {
    Ok(Publication {
        asked: rows::optional(row, first, rows::time)?,
        shown: rows::optional(row, first + 1, rows::time)?,
        braze_id: row.get(first + 2)?,
    })
}

fn change_progress(c: &Connection, ring: &RingName, progress: &Progress) -> rusqlite::Result<bool> {
    let (version, new_key) = (rows::stored(progress.version)?, progress.new_key.as_ref().map(Kid::as_str));
    let sql = if version == 0 {
        "INSERT INTO rotations (ring, version, goal, new_key) VALUES (?1, ?2 + 1, ?3, ?4) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE rotations SET version = ?2 + 1, goal = ?3, new_key = ?4 WHERE ring = ?1 AND version = ?2"
    };
    Ok(c.prepare_cached(sql)?.execute(params![ring.as_str(), version, progress.goal.as_str(), new_key])? == 1)
}

/// Records the time at which a private key was destroyed; the first time stays on record.
fn record_destruction(c: &Connection, kid: &Kid, at: UnixMillis) -> rusqlite::Result<()> {
    let sql = "INSERT INTO key_lives (kid, destroyed) VALUES (?1, ?2) \
               ON CONFLICT (kid) DO UPDATE SET destroyed = coalesce(destroyed, excluded.destroyed)";
    c.prepare_cached(sql)?.execute(params![kid.as_str(), at.0]).map(drop)
}

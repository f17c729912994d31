//! The table `meta`: single values, each under its name.

use rusqlite::{Connection, OptionalExtension, ToSql, params, types::FromSql};

use super::rows;
use crate::{clock::UnixMillis, domain::ids::InstallationId};

pub(super) const AUDIT_KEY: &str = "audit_key";
const CHECK: &str = "check";
pub(super) const GENERATION: &str = "generation";
pub(super) const INSTALLATION_ID: &str = "installation_id";
const LATEST_TIME: &str = "latest_time";
const READABLE_FROM: &str = "readable_from";
pub(super) const USER_HASH_KEY: &str = "user_hash_key";

/// Returns the value of that name.
pub(super) fn get<T: FromSql>(c: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    c.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Writes the value of that name.
pub(super) fn put(c: &Connection, name: &str, value: impl ToSql) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    c.prepare_cached(sql)?.execute(params![name, value]).map(drop)
}

/// Returns the number that changes with every change of a key or an API key.
pub(super) fn generation(c: &Connection) -> rusqlite::Result<u64> {
    c.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([GENERATION], |row| rows::unsigned(row, 0))
}

/// Raises the generation if `changed`, and returns `changed`.
pub(super) fn next_generation(c: &Connection, changed: bool) -> rusqlite::Result<bool> {
    if changed {
        c.prepare_cached("UPDATE meta SET value = value + 1 WHERE name = ?1")?.execute([GENERATION])?;
    }
    Ok(changed)
}

/// Returns the latest time that an older version put on record; `None` in a store that none wrote to.
pub(super) fn latest_time(c: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(get(c, LATEST_TIME)?.map(UnixMillis))
}

/// Returns the id of the store's installation; `None` in a store of an older version.
pub(super) fn installation_id(c: &Connection) -> rusqlite::Result<Option<InstallationId>> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    c.prepare_cached(sql)?.query_row([INSTALLATION_ID], |row| rows::parsed(row, 0)).optional()
}

/// Puts the id of the store's installation on record, if there is none. Returns whether it was put there.
pub(super) fn adopt_installation_id(c: &Connection, id: &InstallationId) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    Ok(c.execute(sql, params![INSTALLATION_ID, id.to_string()])? == 1)
}

/// Returns the sealed user-hash key.
pub(super) fn user_hash_key(c: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    get(c, USER_HASH_KEY)
}

/// Replaces the value of that name if it still is `from`; `None` means that there must be none. Returns whether it was
/// replaced.
pub(super) fn replace(c: &Connection, name: &str, from: Option<&[u8]>, to: &[u8]) -> rusqlite::Result<bool> {
    let changed = match from {
        None => c.execute("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![name, to]),
        Some(from) => {
            let sql = "UPDATE meta SET value = ?3 WHERE name = ?1 AND value = ?2";
            c.execute(sql, params![name, from, to])
        }
    };
    Ok(changed? == 1)
}

/// Writes the value that [`check_value`] reads, to prove that the store can be written to.
pub(super) fn put_check_value(c: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
    put(c, CHECK, now.0)
}

/// Returns the value that [`put_check_value`] wrote last.
pub(super) fn check_value(c: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(get(c, CHECK)?.map(UnixMillis))
}

/// Returns the lowest schema version of a program that may use the store; `None` where the store does not say.
pub(super) fn readable_from(c: &Connection) -> rusqlite::Result<Option<u32>> {
    get(c, READABLE_FROM)
}

/// Raises the lowest schema version of a program that may use the store; never lowers it.
pub(super) fn raise_readable_from(c: &Connection, version: u32) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
    c.execute(sql, params![READABLE_FROM, version]).map(drop)
}

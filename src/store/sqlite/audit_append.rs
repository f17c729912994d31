//! Appends to the audit log, in the transaction of the change that they record.

use rusqlite::{Connection, Row, params};

use super::{audit_log::old_event_of, meta, rows};
use crate::{
    domain::audit::{record_of, text_of},
    store::AuditHead,
};

const HEAD: &str =
    "SELECT size, epoch, epoch_begun_at, fork, (SELECT count(*) FROM audit_waiting), swept FROM audit_head";

const LEAF: &str = "INSERT INTO audit_leaves \
         (number, text, at, actor, request_id, action, outcome, ring, kid, app, user, session, client, api_key, why) \
     SELECT ?1, ?2, leaf ->> 'at', leaf ->> 'actor', leaf ->> 'request_id', leaf ->> 'action', leaf ->> 'outcome', \
         leaf ->> 'ring', leaf ->> 'kid', leaf ->> 'app', leaf ->> 'user', leaf ->> 'session', leaf ->> 'client', \
         leaf ->> 'api_key', leaf ->> 'why' FROM (SELECT ?2 AS leaf)";

/// Rows that a program of the version before wrote.
const OLD: &str = "SELECT at, ring, kid, app, action, actor, why, seq FROM audit_log WHERE seq > ?1 ORDER BY seq";

/// Records the acts of a transaction. Those that stop something take effect also where their leaves cannot be appended: the
/// records wait then in the store. Returns those for which not even that was possible.
pub(super) fn record(c: &Connection, records: Vec<String>, stops: bool) -> rusqlite::Result<Vec<String>> {
    if records.is_empty() {
        return Ok(records);
    }
    if !stops {
        return append(c, &records).map(|()| Vec::new());
    }
    let Err(why) = whole(c, |c| append(c, &records))? else { return Ok(Vec::new()) };
    tracing::warn!(%why, "an act takes effect, and its leaf of the audit log waits");
    let waits = whole(c, |c| records.iter().try_for_each(|record| wait(c, record)))?;
    Ok(if waits.is_ok() { Vec::new() } else { records })
}

/// Appends leaves after those that wait: rows that a program of the version before wrote, then acts without a leaf.
pub(super) fn append(c: &Connection, records: &[String]) -> rusqlite::Result<()> {
    let mut log = Log::read(c)?;
    log.sweep_old()?;
    log.sweep_waiting()?;
    records.iter().try_for_each(|record| log.push(record))?;
    log.finish()
}

/// Begins a new epoch with this record, where the head is as it is given. Returns `false` where it is another.
pub(super) fn begin_epoch(c: &Connection, from: &AuditHead, record: &str) -> rusqlite::Result<bool> {
    let mut log = Log::read(c)?;
    if (log.head.size, log.head.epoch) != (from.size, from.epoch) {
        return Ok(false);
    }
    (log.head.epoch, log.head.epoch_begun_at, log.head.fork) = (log.head.epoch + 1, log.head.size, None);
    log.push(record)?;
    log.finish().map(|()| true)
}

/// Returns the head.
pub(super) fn head(c: &Connection) -> rusqlite::Result<AuditHead> {
    c.prepare_cached(HEAD)?.query_row([], head_of)
}

fn head_of(row: &Row<'_>) -> rusqlite::Result<AuditHead> {
    Ok(AuditHead {
        size: rows::unsigned(row, 0)?,
        epoch: rows::unsigned(row, 1)?,
        epoch_begun_at: rows::unsigned(row, 2)?,
        fork: row.get(3)?,
        waiting: rows::unsigned(row, 4)?,
    })
}

fn wait(c: &Connection, record: &str) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO audit_waiting (record) VALUES (?1)")?.execute([record]).map(drop)
}

/// Runs a part of a transaction: all of it, or nothing. Fails where the transaction itself is over.
fn whole(
    c: &Connection,
    part: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<rusqlite::Result<()>> {
    let run = |sql| c.prepare_cached(sql)?.execute([]);
    run("SAVEPOINT part")?;
    let done = part(c);
    match done {
        Err(why) if c.is_autocommit() => return Err(why),
        Err(_) => run("ROLLBACK TO part")?,
        Ok(()) => 0,
    };
    run("RELEASE part")?;
    Ok(done)
}

/// The log, while leaves are appended.
struct Log<'c> {
    connection: &'c Connection,
    installation: Option<String>,
    head: AuditHead,
    swept: i64,
}

impl<'c> Log<'c> {
    fn read(c: &'c Connection) -> rusqlite::Result<Self> {
        let (head, swept) = c.prepare_cached(HEAD)?.query_row([], |row| Ok((head_of(row)?, row.get(5)?)))?;
        Ok(Self { connection: c, installation: meta::get(c, meta::INSTALLATION_ID)?, head, swept })
    }

    fn push(&mut self, record: &str) -> rusqlite::Result<()> {
        let text = text_of(self.installation.as_deref(), self.head.epoch, self.head.size, record);
        self.connection.prepare_cached(LEAF)?.execute(params![rows::stored(self.head.size)?, text])?;
        self.head.size += 1;
        Ok(())
    }

    fn sweep_old(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(OLD)?;
        let old = |row: &Row<'_>| Ok((row.get(7)?, record_of(&old_event_of(row)?)));
        let old: Vec<(i64, String)> = statement.query_map([self.swept], old)?.collect::<Result<_, _>>()?;
        for (seq, record) in old {
            self.push(&record)?;
            self.swept = seq;
        }
        Ok(())
    }

    fn sweep_waiting(&mut self) -> rusqlite::Result<()> {
        if self.head.waiting == 0 {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached("SELECT record FROM audit_waiting ORDER BY seq")?;
        let waiting: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        waiting.iter().try_for_each(|record| self.push(record))?;
        self.connection.prepare_cached("DELETE FROM audit_waiting")?.execute([]).map(drop)
    }

    fn finish(self) -> rusqlite::Result<()> {
        let sql = "UPDATE audit_head SET size = ?1, epoch = ?2, epoch_begun_at = ?3, fork = ?4, swept = ?5";
        let (size, begun) = (rows::stored(self.head.size)?, rows::stored(self.head.epoch_begun_at)?);
        let values = params![size, self.head.epoch, begun, self.head.fork, self.swept];
        self.connection.prepare_cached(sql)?.execute(values).map(drop)
    }
}

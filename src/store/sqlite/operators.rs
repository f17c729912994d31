//! The tables `operators`, `console_sessions` and `creations`.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, record_of},
        operator::{ConsoleSession, OperatorName, OperatorRecord, SecretHash},
    },
    store::{
        CreationRequest, CreationState, Operators, StoreError,
        acts::{operator_created, operator_logged_in, operator_revoked},
        retention::{CONSOLE_SESSIONS, CREATIONS},
    },
};

const SELECT: &str = "SELECT name, role, token, hash, created, expires, revoked FROM operators ORDER BY created, token";

const INSERT: &str = "INSERT INTO operators (name, role, token, hash, created, expires, revoked) \
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM operators \
     WHERE name = ?1 AND revoked IS NULL AND (expires IS NULL OR expires > ?5)) ON CONFLICT DO NOTHING";

const REVOKE: &str = "UPDATE operators SET revoked = ?2 WHERE name = ?1 AND revoked IS NULL";

const END_SESSIONS: &str =
    "DELETE FROM console_sessions WHERE token IN (SELECT token FROM operators WHERE revoked IS NOT NULL)";

const NAME: &str = "SELECT name FROM operators WHERE token = ?1 AND revoked IS NULL";

const BEGIN: &str = "INSERT INTO console_sessions (hash, token, created, used) VALUES (?1, ?2, ?3, ?4)";

const SESSION: &str = "SELECT s.hash, s.token, s.created, s.used FROM console_sessions s \
     JOIN operators o ON o.token = s.token WHERE s.hash = ?1 AND o.revoked IS NULL";

const USE: &str = "UPDATE console_sessions SET used = ?2 WHERE hash = ?1 AND used < ?2";

const END: &str = "DELETE FROM console_sessions WHERE hash = ?1";

/// A creation that is forgotten makes room for a new one.
const BEGIN_CREATION: &str = "INSERT INTO creations (actor, key, request, at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (actor, key) DO UPDATE SET request = excluded.request, at = excluded.at, made = NULL \
     WHERE creations.at <= ?5";

const CREATION: &str = "SELECT request, made FROM creations WHERE actor = ?1 AND key = ?2";

const END_CREATION: &str = "UPDATE creations SET made = ?3 WHERE actor = ?1 AND key = ?2";

const GIVE_UP_CREATION: &str = "DELETE FROM creations WHERE actor = ?1 AND key = ?2 AND made IS NULL";

const FORGET_SESSIONS: &str = "DELETE FROM console_sessions WHERE hash IN \
     (SELECT hash FROM console_sessions WHERE created <= ?1 LIMIT ?2)";

const FORGET_CREATIONS: &str = "DELETE FROM creations WHERE (actor, key) IN \
     (SELECT actor, key FROM creations WHERE at <= ?1 LIMIT ?2)";

#[async_trait]
impl Operators for SqliteStore {
    async fn operators(&self) -> Result<Vec<OperatorRecord>, StoreError> {
        self.read(|c| c.prepare_cached(SELECT)?.query_map([], operator_of)?.collect())
    }

    async fn insert_operator(&self, operator: OperatorRecord, actor: &Actor) -> Result<bool, StoreError> {
        let record = record_of(&operator_created(&operator, actor));
        self.act(false, move |c| {
            let inserted = insert(c, &operator)?;
            Ok((inserted, Vec::from_iter(inserted.then(|| record.clone()))))
        })
        .await
    }

    async fn revoke_operator(&self, name: &OperatorName, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        let (name, record) = (name.clone(), record_of(&operator_revoked(name, now, actor)));
        self.act(true, move |c| {
            let revoked = c.prepare_cached(REVOKE)?.execute(params![name.as_str(), now.0])? > 0;
            c.prepare_cached(END_SESSIONS)?.execute([])?;
            Ok((revoked, Vec::from_iter(revoked.then(|| record.clone()))))
        })
        .await
    }

    async fn begin_console_session(
        &self,
        session: ConsoleSession,
        expired: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let actor = actor.clone();
        self.act(false, move |c| {
            let name = |row: &Row<'_>| rows::parsed(row, 0);
            let name = c.prepare_cached(NAME)?.query_row([session.token.as_str()], name).optional()?;
            let Some(name) = name else { return Ok((false, Vec::new())) };
            c.prepare_cached(FORGET_SESSIONS)?.execute(params![expired.0, -1])?;
            let ConsoleSession { hash, token, created, used } = &session;
            c.prepare_cached(BEGIN)?.execute(params![hash.0, token.as_str(), created.0, used.0])?;
            Ok((true, vec![record_of(&operator_logged_in(&name, &session, &actor))]))
        })
        .await
    }

    async fn console_session(&self, hash: SecretHash) -> Result<Option<ConsoleSession>, StoreError> {
        self.read(|c| c.prepare_cached(SESSION)?.query_row([hash.0], session_of).optional())
    }

    async fn use_console_session(&self, hash: SecretHash, now: UnixMillis) -> Result<(), StoreError> {
        self.write(move |c| c.prepare_cached(USE)?.execute(params![hash.0, now.0]).map(drop)).await
    }

    async fn end_console_session(&self, hash: SecretHash) -> Result<(), StoreError> {
        self.write(move |c| c.prepare_cached(END)?.execute([hash.0]).map(drop)).await
    }

    async fn begin_creation(
        &self,
        request: CreationRequest,
        forgotten: UnixMillis,
    ) -> Result<CreationState, StoreError> {
        self.write(move |c| begin_creation(c, &request, forgotten)).await
    }

    async fn end_creation(&self, actor: &str, key: &str, id: Option<&str>) -> Result<(), StoreError> {
        let (actor, key, id) = (actor.to_owned(), key.to_owned(), id.map(str::to_owned));
        self.write(move |c| {
            match &id {
                Some(id) => c.prepare_cached(END_CREATION)?.execute([&actor, &key, id])?,
                None => c.prepare_cached(GIVE_UP_CREATION)?.execute([&actor, &key])?,
            };
            Ok(())
        })
        .await
    }
}

/// Inserts an operator. Returns `false` where a live one has its name, or its token is on record already.
fn insert(c: &Connection, operator: &OperatorRecord) -> rusqlite::Result<bool> {
    let inserted = c.prepare_cached(INSERT)?.execute(params![
        operator.name.as_str(),
        operator.role.as_str(),
        operator.token.as_str(),
        operator.hash.0,
        operator.created.0,
        operator.expires.map(|at| at.0),
        operator.revoked.map(|at| at.0),
    ])?;
    Ok(inserted == 1)
}

fn begin_creation(c: &Connection, request: &CreationRequest, forgotten: UnixMillis) -> rusqlite::Result<CreationState> {
    let CreationRequest { actor, key, request: hash, at } = request;
    if c.prepare_cached(BEGIN_CREATION)?.execute(params![actor, key, hash, at.0, forgotten.0])? == 1 {
        return Ok(CreationState::New);
    }
    let found = |row: &Row<'_>| Ok(CreationState::found(row.get::<_, [u8; 32]>(0)? == *hash, row.get(1)?));
    c.prepare_cached(CREATION)?.query_row([actor, key], found)
}

/// Deletes sessions of the console and creations that need not be remembered any more: of each, `limit` at most.
pub(super) fn forget(c: &Connection, now: UnixMillis, limit: u32) -> rusqlite::Result<()> {
    c.prepare_cached(FORGET_SESSIONS)?.execute(params![now.minus(CONSOLE_SESSIONS).0, limit])?;
    c.prepare_cached(FORGET_CREATIONS)?.execute(params![now.minus(CREATIONS).0, limit])?;
    Ok(())
}

fn operator_of(row: &Row<'_>) -> rusqlite::Result<OperatorRecord> {
    Ok(OperatorRecord {
        name: rows::parsed(row, 0)?,
        role: rows::variant(row, 1)?,
        token: rows::parsed(row, 2)?,
        hash: SecretHash(row.get(3)?),
        created: rows::time(row, 4)?,
        expires: rows::optional(row, 5, rows::time)?,
        revoked: rows::optional(row, 6, rows::time)?,
    })
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<ConsoleSession> {
    Ok(ConsoleSession {
        hash: SecretHash(row.get(0)?),
        token: rows::parsed(row, 1)?,
        created: rows::time(row, 2)?,
        used: rows::time(row, 3)?,
    })
}

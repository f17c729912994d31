//! The tables `operators`, `console_sessions` and `creations`.

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore,
    audit_append::record,
    database::{Done, Param, Steps},
    rows::{self, RowError},
};
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

const SELECT: &str = "SELECT name, role, token, hash, created, expires, revoked FROM countersign.operators \
     ORDER BY created, token COLLATE \"C\"";

/// Of all operators, one is inserted at a time: "oper" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'6f706572'::int8)";

const INSERT: &str = "INSERT INTO countersign.operators (name, role, token, hash, created, expires, revoked) \
     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM countersign.operators \
     WHERE name = $1 AND revoked IS NULL AND (expires IS NULL OR expires > $5)) ON CONFLICT DO NOTHING";

const REVOKE: &str = "UPDATE countersign.operators SET revoked = $2 WHERE name = $1 AND revoked IS NULL";

/// A statement of its own, so that it sees the sessions that began before the operator was revoked.
const END_SESSIONS: &str = "DELETE FROM countersign.console_sessions \
     WHERE token IN (SELECT token FROM countersign.operators WHERE revoked IS NOT NULL)";

/// The operator is not revoked before the session is on record.
const NAME: &str = "SELECT name FROM countersign.operators WHERE token = $1 AND revoked IS NULL FOR SHARE";

const BEGIN: &str = "INSERT INTO countersign.console_sessions (hash, token, created, used) VALUES ($1, $2, $3, $4)";

const SESSION: &str = "SELECT s.hash, s.token, s.created, s.used FROM countersign.console_sessions s \
     JOIN countersign.operators o ON o.token = s.token WHERE s.hash = $1 AND o.revoked IS NULL";

const USE: &str = "UPDATE countersign.console_sessions SET used = $2 WHERE hash = $1 AND used < $2";

const END: &str = "DELETE FROM countersign.console_sessions WHERE hash = $1";

/// A creation that is forgotten makes room for a new one.
const BEGIN_CREATION: &str = "INSERT INTO countersign.creations AS c (actor, key, request, at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (actor, key) \
     DO UPDATE SET request = excluded.request, at = excluded.at, made = NULL WHERE c.at <= $5";

const CREATION: &str = "SELECT request, made FROM countersign.creations WHERE actor = $1 AND key = $2";

const END_CREATION: &str = "UPDATE countersign.creations SET made = $3 WHERE actor = $1 AND key = $2";

const GIVE_UP_CREATION: &str = "DELETE FROM countersign.creations WHERE actor = $1 AND key = $2 AND made IS NULL";

/// Rows that are in use are left for the next time.
const FORGET_SESSIONS: &str = "DELETE FROM countersign.console_sessions WHERE hash IN ( \
     SELECT hash FROM countersign.console_sessions WHERE created <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";

const FORGET_CREATIONS: &str = "DELETE FROM countersign.creations WHERE (actor, key) IN ( \
     SELECT actor, key FROM countersign.creations WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Operators for PostgresStore {
    async fn operators(&self) -> Result<Vec<OperatorRecord>, StoreError> {
        let found = self.read(SELECT, &[]).await?;
        self.database.name.check(found.iter().map(operator_of).collect())
    }

    async fn insert_operator(&self, operator: OperatorRecord, actor: &Actor) -> Result<bool, StoreError> {
        self.before_act(false).await?;
        let record = record_of(&operator_created(&operator, actor));
        self.database.run(&Insertion { operator, record }).await
    }

    async fn revoke_operator(&self, name: &OperatorName, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        self.before_act(true).await?;
        let record = record_of(&operator_revoked(name, now, actor));
        let (revoked, lost) = self.database.run(&Revocation { name, now, record }).await?;
        self.database.held.hold(Vec::from_iter(lost));
        Ok(revoked)
    }

    async fn begin_console_session(
        &self,
        session: ConsoleSession,
        expired: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        self.before_act(false).await?;
        self.database.run(&Login { session, expired, actor }).await
    }

    async fn console_session(&self, hash: SecretHash) -> Result<Option<ConsoleSession>, StoreError> {
        let found = self.read(SESSION, &[(&&hash.0[..], Type::BYTEA)]).await?;
        self.database.name.check(found.first().map(session_of).transpose())
    }

    async fn use_console_session(&self, hash: SecretHash, now: UnixMillis) -> Result<(), StoreError> {
        let params: [Param<'_>; 2] = [(&&hash.0[..], Type::BYTEA), (&now.0, Type::INT8)];
        self.database.write(USE, &params).await.map(drop)
    }

    async fn end_console_session(&self, hash: SecretHash) -> Result<(), StoreError> {
        self.database.write(END, &[(&&hash.0[..], Type::BYTEA)]).await.map(drop)
    }

    async fn begin_creation(
        &self,
        request: CreationRequest,
        forgotten: UnixMillis,
    ) -> Result<CreationState, StoreError> {
        self.database.run(&Beginning { request, forgotten }).await
    }

    async fn end_creation(&self, actor: &str, key: &str, id: Option<&str>) -> Result<(), StoreError> {
        let [actor, key]: [Param<'_>; 2] = [(&actor, Type::TEXT), (&key, Type::TEXT)];
        match &id {
            Some(id) => self.database.write(END_CREATION, &[actor, key, (id, Type::TEXT)]).await.map(drop),
            None => self.database.write(GIVE_UP_CREATION, &[actor, key]).await.map(drop),
        }
    }
}

/// A new operator, unless a live one has the name.
struct Insertion {
    operator: OperatorRecord,
    record: String,
}

#[async_trait]
impl Steps for Insertion {
    /// `false` where a live one has it, or the token is on record already.
    type Answer = bool;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<bool>, RowError> {
        // A statement of its own, so that the next one sees what others inserted before.
        transaction.query_typed(LOCK, &[]).await?;
        let operator = &self.operator;
        let (expires, revoked) = (operator.expires.map(|at| at.0), operator.revoked.map(|at| at.0));
        let params: [Param<'_>; 7] = [
            (&operator.name.as_str(), Type::TEXT),
            (&operator.role.as_str(), Type::TEXT),
            (&operator.token.as_str(), Type::TEXT),
            (&&operator.hash.0[..], Type::BYTEA),
            (&operator.created.0, Type::INT8),
            (&expires, Type::INT8),
            (&revoked, Type::INT8),
        ];
        if transaction.execute_typed(INSERT, &params).await? == 0 {
            return Ok(Done::RollBack(false));
        }
        record(transaction, self.record.clone(), false).await?;
        Ok(Done::Commit(true))
    }
}

/// Revocation of an operator, which ends the sessions of the console.
struct Revocation<'a> {
    name: &'a OperatorName,
    now: UnixMillis,
    record: String,
}

#[async_trait]
impl Steps for Revocation<'_> {
    /// `false` where there is none; and the record, where it could be written nowhere.
    type Answer = (bool, Option<String>);

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError> {
        let params: [Param<'_>; 2] = [(&self.name.as_str(), Type::TEXT), (&self.now.0, Type::INT8)];
        if transaction.execute_typed(REVOKE, &params).await? == 0 {
            return Ok(Done::RollBack((false, None)));
        }
        transaction.execute_typed(END_SESSIONS, &[]).await?;
        let lost = record(transaction, self.record.clone(), true).await?;
        Ok(Done::Commit((true, lost)))
    }
}

/// Beginning of a session of the console.
struct Login<'a> {
    session: ConsoleSession,
    expired: UnixMillis,
    actor: &'a Actor,
}

#[async_trait]
impl Steps for Login<'_> {
    /// `false` where the operator is revoked or not on record.
    type Answer = bool;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<bool>, RowError> {
        let ConsoleSession { hash, token, created, used } = &self.session;
        let found = transaction.query_typed_opt(NAME, &[(&token.as_str(), Type::TEXT)]).await?;
        let Some(row) = found else { return Ok(Done::RollBack(false)) };
        let name = rows::parsed(&row, 0)?;
        let params: [Param<'_>; 2] = [(&self.expired.0, Type::INT8), (&None::<i64>, Type::INT8)];
        transaction.execute_typed(FORGET_SESSIONS, &params).await?;
        let params: [Param<'_>; 4] = [
            (&&hash.0[..], Type::BYTEA),
            (&token.as_str(), Type::TEXT),
            (&created.0, Type::INT8),
            (&used.0, Type::INT8),
        ];
        transaction.execute_typed(BEGIN, &params).await?;
        record(transaction, record_of(&operator_logged_in(&name, &self.session, self.actor)), false).await?;
        Ok(Done::Commit(true))
    }
}

/// Beginning of a creation.
struct Beginning {
    request: CreationRequest,
    forgotten: UnixMillis,
}

#[async_trait]
impl Steps for Beginning {
    type Answer = CreationState;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<CreationState>, RowError> {
        let CreationRequest { actor, key, request, at } = &self.request;
        let params: [Param<'_>; 5] = [
            (actor, Type::TEXT),
            (key, Type::TEXT),
            (&&request[..], Type::BYTEA),
            (&at.0, Type::INT8),
            (&self.forgotten.0, Type::INT8),
        ];
        if transaction.execute_typed(BEGIN_CREATION, &params).await? == 1 {
            return Ok(Done::Commit(CreationState::New));
        }
        // The statement above has locked the row also where it left it as it is.
        let row = transaction.query_typed_opt(CREATION, &[(actor, Type::TEXT), (key, Type::TEXT)]).await?;
        let row = row.ok_or_else(|| rows::damaged(0, "a creation is not on record"))?;
        let is_same = rows::bytes::<32>(&row, 0)? == *request;
        Ok(Done::Commit(CreationState::found(is_same, rows::get(&row, 1)?)))
    }
}

/// Deletes sessions of the console and creations that need not be remembered any more: of each, `limit` at most.
pub(super) async fn forget(transaction: &Transaction<'_>, now: UnixMillis, limit: i64) -> Result<(), RowError> {
    for (forget, kept) in [(FORGET_SESSIONS, CONSOLE_SESSIONS), (FORGET_CREATIONS, CREATIONS)] {
        let params: [Param<'_>; 2] = [(&now.minus(kept).0, Type::INT8), (&limit, Type::INT8)];
        transaction.execute_typed(forget, &params).await?;
    }
    Ok(())
}

fn operator_of(row: &Row) -> Result<OperatorRecord, RowError> {
    Ok(OperatorRecord {
        name: rows::parsed(row, 0)?,
        role: rows::parsed(row, 1)?,
        token: rows::parsed(row, 2)?,
        hash: SecretHash(rows::bytes(row, 3)?),
        created: rows::time(row, 4)?,
        expires: rows::time_or_null(row, 5)?,
        revoked: rows::time_or_null(row, 6)?,
    })
}

fn session_of(row: &Row) -> Result<ConsoleSession, RowError> {
    Ok(ConsoleSession {
        hash: SecretHash(rows::bytes(row, 0)?),
        token: rows::parsed(row, 1)?,
        created: rows::time(row, 2)?,
        used: rows::time(row, 3)?,
    })
}

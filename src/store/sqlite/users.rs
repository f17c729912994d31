//! Opt-outs, and ends of all sessions of a user or an app.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore, ends,
    opt_outs::is_opted_out,
    rows,
    sessions::{select_session, session_of},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, record_of},
        ids::{AppName, UserHash},
        session::{Ended, Session},
    },
    store::{
        StoreError, Users,
        acts::{of_app, of_user},
    },
};

const COUNT_LIVE: &str = concat!(
    "SELECT count(*) FROM sessions WHERE user = ?1 AND (?2 = '' OR app = ?2) ",
    "AND ended IS NULL AND idle_expires > ?3 AND expires > ?3 AND NOT ",
    app_ended!(),
);

/// Ends expired sessions too: where the store lost writes, a refresh token may hold a later idle expiry than its row.
const END_ALL: &str =
    "UPDATE sessions SET ended = ?3, ended_at = ?4 WHERE user = ?1 AND (?2 = '' OR app = ?2) AND ended IS NULL";

#[async_trait]
impl Users for SqliteStore {
    async fn is_opted_out(&self, user: UserHash, app: &AppName) -> Result<bool, StoreError> {
        self.read(|c| is_opted_out(c, user, app))
    }

    async fn opt_out(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let record = record_of(&of_user(AuditAction::OptedOut, user, app, now, actor));
        let app = rows::scope(app);
        self.act(true, move |c| {
            let sql = "INSERT INTO opt_outs (user, app, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            let written = c.prepare_cached(sql)?.execute(params![user.0, app, now.0])? == 1;
            Ok((written, Vec::from_iter(written.then(|| record.clone()))))
        })
        .await
    }

    async fn opt_in(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let record = record_of(&of_user(AuditAction::OptedIn, user, app, now, actor));
        let app = rows::scope(app);
        self.act(false, move |c| {
            let sql = "DELETE FROM opt_outs WHERE user = ?1 AND app = ?2";
            let written = c.prepare_cached(sql)?.execute(params![user.0, app])? == 1;
            Ok((written, Vec::from_iter(written.then(|| record.clone()))))
        })
        .await
    }

    async fn count_opt_outs(&self) -> Result<u64, StoreError> {
        self.read_long(|c| c.query_row("SELECT count(*) FROM opt_outs", [], |row| rows::unsigned(row, 0))).await
    }

    async fn end_sessions_of_user(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<u64, StoreError> {
        let record = record_of(&of_user(AuditAction::UserSessionsEnded, user, app, now, actor));
        let app = rows::scope(app);
        self.act(true, move |c| Ok((end_all(c, user, &app, now)?, vec![record.clone()]))).await
    }

    async fn end_sessions_of_app(
        &self,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let record = record_of(&of_app(AuditAction::AppSessionsEnded, app, now, actor));
        let app = rows::scope(app);
        self.act(true, move |c| {
            let sql = "INSERT INTO app_ends (app, ended_at) VALUES (?1, ?2) \
                       ON CONFLICT (app) DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)";
            c.prepare_cached(sql)?.execute(params![app, now.0])?;
            Ok(((), vec![record.clone()]))
        })
        .await
    }

    async fn sessions_of_user(&self, user: UserHash) -> Result<Vec<Session>, StoreError> {
        self.read_long(move |c| {
            let sql = select_session!("WHERE user = ?1 ORDER BY created DESC, id DESC");
            c.prepare_cached(sql)?.query_map([user.0], session_of)?.collect()
        })
        .await
    }

    async fn has_records_of_app(&self, app: &AppName) -> Result<bool, StoreError> {
        let app = app.clone();
        self.read_long(move |c| {
            let sql = "SELECT EXISTS (SELECT 1 FROM opt_outs WHERE app = ?1) \
                       OR EXISTS (SELECT 1 FROM sessions WHERE app = ?1)";
            c.prepare_cached(sql)?.query_row([app.as_str()], |row| row.get(0))
        })
        .await
    }
}

/// Ends a user's sessions. Returns the number of those that were live.
fn end_all(c: &Connection, user: UserHash, app: &str, now: UnixMillis) -> rusqlite::Result<u64> {
    let live = c.prepare_cached(COUNT_LIVE)?.query_row(params![user.0, app, now.0], |row| rows::unsigned(row, 0))?;
    c.prepare_cached(END_ALL)?.execute(params![user.0, app, Ended::Revoked.as_str(), now.0])?;
    ends::end_user(c, user, app, now)?;
    Ok(live)
}

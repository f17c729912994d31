//! Opt-outs, and ends of all sessions of a user or an app.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    audit_append::act,
    conditions::{app_ended, opted_out},
    database::Param,
    rows,
    sessions::{select_session, session_of},
    transactions::Locks,
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

/// Ends a user's sessions, of `$2` or of all apps, and counts those that were live at `$4`. Ends expired ones too: where
/// the store lost writes, a refresh token may hold a later idle expiry than its row.
///
/// The end itself is put on record, too. Its caller has locked the user: a session that is put on record later sees the
/// end, and one that was before is seen by it.
const END_ALL: &str = concat!(
    "WITH remembered AS (INSERT INTO countersign.user_ends AS e (user_hash, app, ended_at) VALUES ($1, $2, $4) \
         ON CONFLICT (user_hash, app) DO UPDATE SET ended_at = greatest(e.ended_at, excluded.ended_at) RETURNING true), \
     locked AS (SELECT s.id FROM countersign.sessions s \
         WHERE s.user_hash = $1 AND ($2 = '' OR s.app = $2) AND s.ended IS NULL ORDER BY s.id FOR UPDATE), \
     ended AS (UPDATE countersign.sessions s SET ended = $3, ended_at = $4 FROM locked l WHERE s.id = l.id \
         RETURNING s.idle_expires > $4 AND s.expires > $4 AND NOT ",
    app_ended!(),
    " AS live), \
     recorded AS MATERIALIZED ( \
         SELECT countersign.record_acts($5, true) AS status \
         FROM (SELECT count(*) FROM ended) ended, (SELECT count(*) FROM remembered) remembered) \
     SELECT (SELECT count(*) FROM ended WHERE live), status FROM recorded",
);

const OPT_OUT: &str =
    act!("true", "INSERT INTO countersign.opt_outs (user_hash, app, since) VALUES ($2, $3, $4) ON CONFLICT DO NOTHING");

const OPT_IN: &str = act!("false", "DELETE FROM countersign.opt_outs WHERE user_hash = $2 AND app = $3");

const END_APP: &str = act!(
    "true",
    "INSERT INTO countersign.app_ends AS e (app, ended_at) VALUES ($2, $3) \
     ON CONFLICT (app) DO UPDATE SET ended_at = greatest(e.ended_at, excluded.ended_at)"
);

const IS_OPTED_OUT: &str = "SELECT true FROM countersign.opt_outs WHERE user_hash = $1 AND app IN ('', $2) LIMIT 1";

const HAS_RECORDS: &str = "SELECT true WHERE EXISTS (SELECT 1 FROM countersign.opt_outs WHERE app = $1) \
     OR EXISTS (SELECT 1 FROM countersign.sessions WHERE app = $1)";

#[async_trait]
impl Users for PostgresStore {
    async fn is_opted_out(&self, user: UserHash, app: &AppName) -> Result<bool, StoreError> {
        let (user, app) = (&user.0[..], app.as_str());
        Ok(!self.read(IS_OPTED_OUT, &[(&user, Type::BYTEA), (&app, Type::TEXT)]).await?.is_empty())
    }

    async fn opt_out(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        self.before_act(true).await?;
        let record = record_of(&of_user(AuditAction::OptedOut, user, app, now, actor));
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let user = &user.0[..];
            let params: [Param<'_>; 3] = [(&user, Type::BYTEA), (&app, Type::TEXT), (&now.0, Type::INT8)];
            database.act(OPT_OUT, record, &params).await
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
        self.before_act(false).await?;
        let record = record_of(&of_user(AuditAction::OptedIn, user, app, now, actor));
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let user = &user.0[..];
            database.act(OPT_IN, record, &[(&user, Type::BYTEA), (&app, Type::TEXT)]).await
        })
        .await
    }

    async fn count_opt_outs(&self) -> Result<u64, StoreError> {
        let rows = self.read("SELECT count(*) FROM countersign.opt_outs", &[]).await?;
        rows.first().map_or(Ok(0), |row| rows::unsigned(row, 0)).map_err(|why| self.database.name.unavailable(why))
    }

    async fn end_sessions_of_user(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<u64, StoreError> {
        self.before_act(true).await?;
        let records = vec![record_of(&of_user(AuditAction::UserSessionsEnded, user, app, now, actor))];
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let mut locks = Locks::default();
            locks.user(&user);
            let (user, why) = (&user.0[..], Ended::Revoked.as_str());
            let params: [Param<'_>; 5] = [
                (&user, Type::BYTEA),
                (&app, Type::TEXT),
                (&why, Type::TEXT),
                (&now.0, Type::INT8),
                (&records, Type::TEXT_ARRAY),
            ];
            let rows = database.transact(&locks, END_ALL, &[&params]).await?;
            database.hold_unless_recorded(rows.first(), 1, records.clone())?;
            Ok(rows.first().map_or(Ok(0), |row| rows::unsigned(row, 0))?)
        })
        .await
    }

    async fn end_sessions_of_app(
        &self,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        self.before_act(true).await?;
        let record = record_of(&of_app(AuditAction::AppSessionsEnded, app, now, actor));
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            database.act(END_APP, record, &[(&app, Type::TEXT), (&now.0, Type::INT8)]).await.map(drop)
        })
        .await
    }

    async fn sessions_of_user(&self, user: UserHash) -> Result<Vec<Session>, StoreError> {
        const LIST: &str = select_session!("WHERE user_hash = $1 ORDER BY created DESC, id DESC");
        let user = &user.0[..];
        let rows = self.read(LIST, &[(&user, Type::BYTEA)]).await?;
        let sessions: Result<Vec<Session>, _> = rows.iter().map(session_of).collect();
        sessions.map_err(|why| self.database.name.unavailable(why))
    }

    async fn has_records_of_app(&self, app: &AppName) -> Result<bool, StoreError> {
        Ok(!self.read(HAS_RECORDS, &[(&app.as_str(), Type::TEXT)]).await?.is_empty())
    }
}

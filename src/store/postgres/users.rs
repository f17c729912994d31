//! Opt-outs, and ends of all sessions of a user or an app.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    conditions::{app_ended, opted_out},
    database::Param,
    rows,
    sessions::{select_session, session_of},
    transactions::Locks,
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::Actor,
        ids::{AppName, UserHash},
        session::{Ended, Session},
    },
    store::{StoreError, Users},
};

/// Ends a user's sessions, of `$2` or of all apps, and counts those that were live at `$4`. Ends expired ones too: where
/// the store lost writes, a refresh token may hold a later idle expiry than its row.
///
/// The end itself is put on record, too. Its caller has locked the user: a session that is put on record later sees the
/// end, and one that was before is seen by it.
const END_ALL: &str = concat!(
    "WITH remembered AS (INSERT INTO countersign.user_ends AS e (user_hash, app, ended_at) VALUES ($1, $2, $4) \
         ON CONFLICT (user_hash, app) DO UPDATE SET ended_at = greatest(e.ended_at, excluded.ended_at)), \
     locked AS (SELECT s.id FROM countersign.sessions s \
         WHERE s.user_hash = $1 AND ($2 = '' OR s.app = $2) AND s.ended IS NULL ORDER BY s.id FOR UPDATE), \
     ended AS (UPDATE countersign.sessions s SET ended = $3, ended_at = $4 FROM locked l WHERE s.id = l.id \
         RETURNING s.idle_expires > $4 AND s.expires > $4 AND NOT ",
    app_ended!(),
    " AS live) SELECT count(*) FROM ended WHERE live",
);

const OPT_OUT: &str = "INSERT INTO countersign.opt_outs (user_hash, app, since) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING RETURNING true";

const OPT_IN: &str = "DELETE FROM countersign.opt_outs WHERE user_hash = $1 AND app = $2 RETURNING true";

const END_APP: &str = "INSERT INTO countersign.app_ends AS e (app, ended_at) VALUES ($1, $2) \
     ON CONFLICT (app) DO UPDATE SET ended_at = greatest(e.ended_at, excluded.ended_at)";

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
        _actor: &Actor,
    ) -> Result<bool, StoreError> {
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let user = &user.0[..];
            let params: [Param<'_>; 3] = [(&user, Type::BYTEA), (&app, Type::TEXT), (&now.0, Type::INT8)];
            Ok(!database.rows(OPT_OUT, &params).await?.is_empty())
        })
        .await
    }

    async fn opt_in(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        _now: UnixMillis,
        _actor: &Actor,
    ) -> Result<bool, StoreError> {
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let user = &user.0[..];
            Ok(!database.rows(OPT_IN, &[(&user, Type::BYTEA), (&app, Type::TEXT)]).await?.is_empty())
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
        _actor: &Actor,
    ) -> Result<u64, StoreError> {
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            let mut locks = Locks::default();
            locks.user(&user);
            let (user, why) = (&user.0[..], Ended::Revoked.as_str());
            let params: [Param<'_>; 4] =
                [(&user, Type::BYTEA), (&app, Type::TEXT), (&why, Type::TEXT), (&now.0, Type::INT8)];
            let rows = database.transact(&locks, END_ALL, &[&params]).await?;
            Ok(rows.first().map_or(Ok(0), |row| rows::unsigned(row, 0))?)
        })
        .await
    }

    async fn end_sessions_of_app(
        &self,
        app: Option<&AppName>,
        now: UnixMillis,
        _actor: &Actor,
    ) -> Result<(), StoreError> {
        let app = rows::scope(app).to_owned();
        self.write(move |database| async move {
            database.rows(END_APP, &[(&app, Type::TEXT), (&now.0, Type::INT8)]).await.map(drop)
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

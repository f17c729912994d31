//! Logins at identity providers: columns of `sessions`, and the tables `sign_outs` and `logout_tokens`.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    conditions::app_ended,
    creations::NewSession,
    database::{Database, Param},
    rows,
    transactions::{Failure, Locks},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, record_of},
        ids::AppName,
        login_record::{LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    store::{Creation, ProviderLogins, SignedOut, StoreError, acts::of_app},
};

const IS_SIGNED_OUT: &str = "SELECT true FROM countersign.sign_outs \
     WHERE app = $1 AND login IN ($2, $3) AND issued_until >= $4 LIMIT 1";

/// Carries a logout out, unless its token `$2` was used before. A later logout covers more credentials, and an earlier
/// one that arrives later covers no fewer. Ends expired sessions too, as an end of all of a user's sessions does.
const SIGN_OUT: &str = concat!(
    "WITH token AS ( \
         INSERT INTO countersign.logout_tokens (app, id, remembered_until) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING RETURNING true), \
     login AS MATERIALIZED ( \
         SELECT login, max(issued_until) AS issued_until FROM unnest($4, $5) AS login (login, issued_until), token \
         GROUP BY login), \
     remembered AS ( \
         INSERT INTO countersign.sign_outs AS o (app, login, issued_until, remembered_until) \
         SELECT $1, login, issued_until, $3 FROM login \
         ON CONFLICT (app, login) DO UPDATE SET issued_until = greatest(o.issued_until, excluded.issued_until), \
             remembered_until = greatest(o.remembered_until, excluded.remembered_until) RETURNING true), \
     found AS ( \
         SELECT s.id FROM login l JOIN countersign.sessions s ON s.provider_subject = l.login \
         WHERE s.ended IS NULL AND s.app = $1 AND s.credential_issued <= l.issued_until \
         UNION \
         SELECT s.id FROM login l JOIN countersign.sessions s ON s.provider_session = l.login \
         WHERE s.ended IS NULL AND s.app = $1 AND s.credential_issued <= l.issued_until), \
     locked AS ( \
         SELECT s.id FROM found JOIN countersign.sessions s ON s.id = found.id \
         WHERE s.ended IS NULL ORDER BY s.id FOR UPDATE OF s), \
     ended AS ( \
         UPDATE countersign.sessions s SET ended = $6, ended_at = $7 FROM locked l WHERE s.id = l.id \
         RETURNING s.idle_expires > $7 AND s.expires > $7 AND NOT ",
    app_ended!(),
    " AS live), \
     recorded AS MATERIALIZED ( \
         SELECT countersign.record_acts($8, true) AS status FROM token, (SELECT count(*) FROM ended) ended, \
             (SELECT count(*) FROM remembered) remembered) \
     SELECT EXISTS (SELECT 1 FROM token), (SELECT count(*) FROM ended WHERE live), \
         coalesce((SELECT status FROM recorded), 0)",
);

#[async_trait]
impl ProviderLogins for PostgresStore {
    async fn create_session_of_login(&self, session: Session, login: LoginRecord) -> Result<Creation, StoreError> {
        self.begin_session(NewSession { session, login: Some(login), spares_others: false, adopted: false, end: None })
            .await
    }

    async fn is_signed_out(&self, app: &AppName, login: LoginRecord) -> Result<bool, StoreError> {
        let (app, subject, session) = (app.as_str(), &login.subject.0[..], &login.session.0[..]);
        let params: [Param<'_>; 4] =
            [(&app, Type::TEXT), (&subject, Type::BYTEA), (&session, Type::BYTEA), (&login.issued.0, Type::INT8)];
        Ok(!self.read(IS_SIGNED_OUT, &params).await?.is_empty())
    }

    async fn sign_out(
        &self,
        app: &AppName,
        logout: LogoutRecord,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<SignedOut, StoreError> {
        self.before_act(true).await?;
        let record = record_of(&of_app(AuditAction::SignedOut, Some(app), now, actor));
        let app = app.clone();
        self.write(move |database| async move { sign_out(&database, &app, &logout, now, record).await }).await
    }
}

async fn sign_out(
    database: &Database,
    app: &AppName,
    logout: &LogoutRecord,
    now: UnixMillis,
    record: String,
) -> Result<SignedOut, Failure> {
    let mut locks = Locks::default();
    for ended in &logout.ended {
        locks.login_ends(&ended.login);
    }
    let (app, id, why) = (app.as_str(), &logout.id.0[..], Ended::Logout.as_str());
    let logins: Vec<&[u8]> = logout.ended.iter().map(|ended| &ended.login.0[..]).collect();
    let until: Vec<i64> = logout.ended.iter().map(|ended| ended.issued_until.0).collect();
    let records = vec![record];
    let params: [Param<'_>; 8] = [
        (&app, Type::TEXT),
        (&id, Type::BYTEA),
        (&logout.remembered_until.0, Type::INT8),
        (&logins, Type::BYTEA_ARRAY),
        (&until, Type::INT8_ARRAY),
        (&why, Type::TEXT),
        (&now.0, Type::INT8),
        (&records, Type::TEXT_ARRAY),
    ];
    let rows = database.transact(&locks, SIGN_OUT, &[&params]).await?;
    let row = rows.first().ok_or_else(|| Failure::Store("a logout has no answer".to_owned()))?;
    database.hold_unless_recorded(Some(row), 2, records.clone())?;
    Ok(if rows::get(row, 0)? { SignedOut::Now { ended: rows::unsigned(row, 1)? } } else { SignedOut::Before })
}

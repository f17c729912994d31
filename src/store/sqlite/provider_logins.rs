//! Logins at identity providers: columns of `sessions`, and the tables `sign_outs` and `logout_tokens`.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, creations::insert_session, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, record_of},
        ids::AppName,
        login_record::{EndedLogin, LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    store::{Creation, ProviderLogins, SignedOut, StoreError, acts::of_app},
};

/// Condition on a login, `?2` and `?3` with a credential issued at `?4`: it has ended for the app `?1`.
const IS_SIGNED_OUT: &str = "SELECT EXISTS (SELECT 1 FROM sign_outs \
     WHERE app = ?1 AND login IN (?2, ?3) AND issued_until >= ?4)";

const SET_LOGIN: &str =
    "UPDATE sessions SET provider_subject = ?2, provider_session = ?3, credential_issued = ?4 WHERE id = ?1";

/// Condition on a session of the app `?2`: a login `?1` that has ended up to `?3` is its own.
macro_rules! of_login {
    () => {
        // SQLite uses a partial index only where its condition stands beside the column.
        "((provider_subject = ?1 AND ended IS NULL) OR (provider_session = ?1 AND ended IS NULL)) \
         AND app = ?2 AND credential_issued <= ?3"
    };
}

const COUNT_LIVE: &str = concat!(
    "SELECT count(*) FROM sessions WHERE ",
    of_login!(),
    " AND idle_expires > ?4 AND expires > ?4 AND NOT ",
    app_ended!(),
);

/// Ends expired sessions too, as an end of all of a user's sessions does.
const END: &str = concat!("UPDATE sessions SET ended = ?5, ended_at = ?4 WHERE ", of_login!());

/// A later logout covers more credentials, and an earlier one that arrives later covers no fewer.
const REMEMBER: &str = "INSERT INTO sign_outs (app, login, issued_until, remembered_until) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (app, login) DO UPDATE SET issued_until = max(issued_until, excluded.issued_until), \
     remembered_until = max(remembered_until, excluded.remembered_until)";

const REMEMBER_TOKEN: &str =
    "INSERT INTO logout_tokens (app, id, remembered_until) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

const FORGET: [&str; 2] = [
    "DELETE FROM sign_outs WHERE (app, login) IN \
     (SELECT app, login FROM sign_outs WHERE remembered_until <= ?1 LIMIT ?2)",
    "DELETE FROM logout_tokens WHERE (app, id) IN \
     (SELECT app, id FROM logout_tokens WHERE remembered_until <= ?1 LIMIT ?2)",
];

#[async_trait]
impl ProviderLogins for SqliteStore {
    async fn create_session_of_login(&self, session: Session, login: LoginRecord) -> Result<Creation, StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        self.write(move |c| insert_session_of_login(c, &session, &login, counter, limit)).await
    }

    async fn is_signed_out(&self, app: &AppName, login: LoginRecord) -> Result<bool, StoreError> {
        self.read(|c| is_signed_out(c, app, &login))
    }

    async fn sign_out(
        &self,
        app: &AppName,
        logout: LogoutRecord,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<SignedOut, StoreError> {
        let record = record_of(&of_app(AuditAction::SignedOut, Some(app), now, actor));
        let app = app.clone();
        self.act(true, move |c| {
            let done = sign_out(c, &app, &logout, now)?;
            Ok((done, Vec::from_iter((done != SignedOut::Before).then(|| record.clone()))))
        })
        .await
    }
}

/// Inserts a session as [`insert_session`] does, with its login, unless that has ended.
pub(super) fn insert_session_of_login(
    c: &Connection,
    session: &Session,
    login: &LoginRecord,
    counter: i64,
    limit: i64,
) -> rusqlite::Result<Creation> {
    if is_signed_out(c, &session.app, login)? {
        return Ok(Creation::SignedOut);
    }
    let created = insert_session(c, session, counter, limit)?;
    let values = params![session.id.0, login.subject.0, login.session.0, login.issued.0];
    // Nothing is there to set where the user is opted out.
    c.prepare_cached(SET_LOGIN)?.execute(values)?;
    Ok(created)
}

fn is_signed_out(c: &Connection, app: &AppName, login: &LoginRecord) -> rusqlite::Result<bool> {
    let values = params![app.as_str(), login.subject.0, login.session.0, login.issued.0];
    c.prepare_cached(IS_SIGNED_OUT)?.query_row(values, |row| row.get(0))
}

fn sign_out(c: &Connection, app: &AppName, logout: &LogoutRecord, now: UnixMillis) -> rusqlite::Result<SignedOut> {
    let until = logout.remembered_until.0;
    if c.prepare_cached(REMEMBER_TOKEN)?.execute(params![app.as_str(), logout.id.0, until])? == 0 {
        return Ok(SignedOut::Before);
    }
    let mut ended = 0;
    for EndedLogin { login, issued_until } in &logout.ended {
        c.prepare_cached(REMEMBER)?.execute(params![app.as_str(), login.0, issued_until.0, until])?;
        let mut live = c.prepare_cached(COUNT_LIVE)?;
        let values = params![login.0, app.as_str(), issued_until.0, now.0];
        ended += live.query_row(values, |row| rows::unsigned::<u64>(row, 0))?;
        let values = params![login.0, app.as_str(), issued_until.0, now.0, Ended::Logout.as_str()];
        c.prepare_cached(END)?.execute(values)?;
    }
    Ok(SignedOut::Now { ended })
}

/// Deletes some of the ended logins and logout tokens that need not be remembered any more.
pub(super) fn forget(c: &Connection, now: UnixMillis, limit: u32) -> rusqlite::Result<()> {
    FORGET.iter().try_for_each(|delete| c.prepare_cached(delete)?.execute(params![now.0, limit]).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrations;

    /// The tables may hold millions of sessions; a logout reads only those of its login.
    #[test]
    fn a_logout_searches_by_index() {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        for query in [COUNT_LIVE, END] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            for index in ["sessions_by_provider_subject", "sessions_by_provider_session"] {
                assert!(
                    plan.iter().any(|step| step.contains(&format!("SEARCH sessions USING INDEX {index}"))),
                    "{plan:?}"
                );
            }
        }
    }
}

//! New rows of `sessions`: those of logins, and those of sessions that began while the store was out of reach.

use rusqlite::{Connection, params};

use super::opt_outs::is_opted_out;
use crate::{
    domain::{
        login_record::LoginRecord,
        session::{Ended, Session},
    },
    store::Creation,
};

/// Of values, not of a SELECT: since the table has a trigger, SQLite would collect the rows of a SELECT in a temporary
/// table, which takes longer than a query of its own.
const INSERT: &str = "INSERT INTO sessions (id, user, app, counter, created, rotated, idle_expires, expires, ended, \
     ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(?9 IS NULL, NULL, ?5))";

/// The row of a session that began while the store was out of reach, unless there is one: `?9` is its end if it has one
/// already, else it has that of its user or its login, if that is on record.
const ADOPT: &str = "INSERT INTO sessions (id, user, app, counter, created, rotated, idle_expires, expires, ended, ended_at, \
     provider_subject, provider_session, credential_issued) \
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, e.why, iif(e.why IS NULL, NULL, ?5), ?10, ?11, ?12 \
     FROM (SELECT CASE WHEN ?9 IS NOT NULL THEN ?9 \
         WHEN EXISTS (SELECT 1 FROM user_ends WHERE user = ?2 AND app IN ('', ?3) AND ended_at >= ?5) THEN ?13 \
         WHEN EXISTS (SELECT 1 FROM sign_outs WHERE app = ?3 AND login IN (?10, ?11) AND issued_until >= ?12) THEN ?14 \
         END AS why) e \
     WHERE true ON CONFLICT (id) DO NOTHING";

/// Condition on a session: nothing has ended it.
const IS_LIVE: &str =
    concat!("SELECT ended IS NULL AND NOT ", opted_out!(), " AND NOT ", app_ended!(), " FROM sessions WHERE id = ?1");

/// Number of a user's rows on an app that have no end of their own: the index has all that it needs.
const COUNT_NOT_ENDED: &str = "SELECT count(*) FROM sessions WHERE user = ?1 AND app = ?2 AND ended IS NULL";

/// These rows, without `?3`, in the order in which they are evicted, each with whether it is live at `?4`. Rows that
/// expired, or whose app's sessions were all ended, come first.
const IN_EVICTION_ORDER: &str = concat!(
    "SELECT id, idle_expires > ?4 AND expires > ?4 AND NOT ",
    app_ended!(),
    " AS live FROM sessions WHERE user = ?1 AND app = ?2 AND ended IS NULL AND id <> ?3 ",
    "ORDER BY live, rotated, id LIMIT ?5",
);

const EVICT: &str = "UPDATE sessions SET ended = ?2, ended_at = ?3 WHERE id = ?1";

/// Inserts a session, and ends those that are too many then.
pub(super) fn insert_session(
    c: &Connection,
    session: &Session,
    counter: i64,
    limit: i64,
) -> rusqlite::Result<Creation> {
    if is_opted_out(c, session.user, &session.app)? {
        return Ok(Creation::OptedOut);
    }
    c.prepare_cached(INSERT)?.execute(params![
        session.id.0,
        session.user.0,
        session.app.as_str(),
        counter,
        session.created.0,
        session.rotated.0,
        session.idle_expires.0,
        session.expires.0,
        session.ended.map(Ended::as_str),
    ])?;
    Ok(Creation::Created { evicted: evict_surplus(c, session, limit)? })
}

/// Puts a session on record that began while the store was out of reach. Returns `false` where one of its id is there.
pub(super) fn adopt(
    c: &Connection,
    session: &Session,
    login: Option<&LoginRecord>,
    counter: i64,
    limit: i64,
) -> rusqlite::Result<bool> {
    let kept = c.prepare_cached(ADOPT)?.execute(params![
        session.id.0,
        session.user.0,
        session.app.as_str(),
        counter,
        session.created.0,
        session.rotated.0,
        session.idle_expires.0,
        session.expires.0,
        session.ended.map(Ended::as_str),
        login.map(|login| login.subject.0),
        login.map(|login| login.session.0),
        login.map(|login| login.issued.0),
        Ended::Revoked.as_str(),
        Ended::Logout.as_str(),
    ])?;
    // One that nobody can use ends no other.
    if kept == 1 && c.prepare_cached(IS_LIVE)?.query_row([session.id.0], |row| row.get(0))? {
        evict_surplus(c, session, limit)?;
    }
    Ok(kept == 1)
}

/// Ends older sessions of the user of `new` on its app, as far as there are too many. Returns the number of those that were
/// live.
fn evict_surplus(c: &Connection, new: &Session, limit: i64) -> rusqlite::Result<u64> {
    let rows = not_ended(c, new)?;
    if rows > limit { evict(c, new, rows - limit) } else { Ok(0) }
}

/// Returns the number of rows of the user of a session, on its app, that have no end of their own.
pub(super) fn not_ended(c: &Connection, of: &Session) -> rusqlite::Result<i64> {
    c.prepare_cached(COUNT_NOT_ENDED)?.query_row(params![of.user.0, of.app.as_str()], |row| row.get(0))
}

/// Ends `surplus` older sessions of the user of `new` on its app. Returns the number of those that were live. The rows
/// stay, because their refresh tokens can still be presented.
fn evict(c: &Connection, new: &Session, surplus: i64) -> rusqlite::Result<u64> {
    let mut statement = c.prepare_cached(IN_EVICTION_ORDER)?;
    let values = params![new.user.0, new.app.as_str(), new.id.0, new.created.0, surplus];
    let evicted: Vec<([u8; 16], bool)> =
        statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut end = c.prepare_cached(EVICT)?;
    for (id, _) in &evicted {
        end.execute(params![id, Ended::Evicted.as_str(), new.created.0])?;
    }
    Ok(evicted.iter().map(|(_, live)| u64::from(*live)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrations;

    /// A user may have thousands of ended rows; a login reads none of them.
    #[test]
    fn a_login_reads_no_ended_row() {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        for query in [COUNT_NOT_ENDED, IN_EVICTION_ORDER] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            // Its parameters stay unbound.
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            let searched = "INDEX sessions_by_user (user=? AND app=? AND ended=?)";
            assert!(plan.iter().any(|step| step.contains(searched)), "{plan:?}");
        }
    }

    /// The table may have millions of rows; an adoption reads those of its own keys.
    #[test]
    fn an_adoption_reads_by_keys() {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        for query in [ADOPT, IS_LIVE] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            // `e` is the one row that the statement makes.
            let scans = plan.iter().filter(|step| step.contains("SCAN"));
            assert!(scans.clone().all(|step| ["SCAN CONSTANT ROW", "SCAN e"].contains(&step.as_str())), "{plan:?}");
        }
    }
}

//! Ends of single sessions, many at a time: each waits for the head of the audit log, and so they wait for it together.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::{
    audit_append::is_nowhere,
    batcher::Work,
    conditions::app_ended,
    database::{Database, Param},
    rows,
    transactions::{Failure, Locks},
};
use crate::{clock::UnixMillis, domain::ids::SessionId, domain::session::Ended, telemetry::StoreWork};

/// Ends sessions, each with its leaf: also while a user is opted out, since after an opt-in the session must not be live
/// again. The rows are locked in the order of their ids, and the head of the audit log after them.
const END: &str = concat!(
    "WITH act AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS act (id, why, at, record, n)), \
     locked AS (SELECT s.id, act.why, act.at, act.record, act.n \
         FROM act JOIN countersign.sessions s ON s.id = act.id WHERE s.ended IS NULL AND NOT ",
    app_ended!(),
    " ORDER BY s.id FOR UPDATE OF s), \
     ended AS (UPDATE countersign.sessions s SET ended = l.why, ended_at = l.at FROM locked l WHERE s.id = l.id \
         RETURNING l.n, concat(',\"app\":', to_json(s.app), ',\"user\":\"', encode(s.user_hash, 'hex'), '\"', l.record) \
             AS record), \
     recorded AS MATERIALIZED (SELECT countersign.record_acts(array_agg(record ORDER BY n), true) AS status FROM ended) \
     SELECT ended.n, recorded.status, ended.record FROM ended, recorded",
);

/// End of a session.
pub(super) struct SessionEnd {
    pub(super) id: SessionId,
    pub(super) why: Ended,
    pub(super) at: UnixMillis,
    /// Record of the act, without app and user.
    pub(super) record: String,
}

/// Ends of single sessions.
pub(super) struct SessionEnds(pub(super) Arc<Database>);

impl Work for SessionEnds {
    const KIND: StoreWork = StoreWork::Write;
    type Item = SessionEnd;
    /// `false` where there was no session, or it had ended.
    type Answer = bool;

    /// The second of two ends of one session sees the first.
    fn exclusive(end: &SessionEnd) -> Option<SessionId> {
        Some(end.id)
    }

    async fn run(&self, ends: &[SessionEnd]) -> Result<Vec<bool>, Failure> {
        let ids: Vec<&[u8]> = ends.iter().map(|end| &end.id.0[..]).collect();
        let reasons: Vec<&str> = ends.iter().map(|end| end.why.as_str()).collect();
        let times: Vec<i64> = ends.iter().map(|end| end.at.0).collect();
        let records: Vec<&str> = ends.iter().map(|end| end.record.as_str()).collect();
        let params: [Param<'_>; 4] = [
            (&ids, Type::BYTEA_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&times, Type::INT8_ARRAY),
            (&records, Type::TEXT_ARRAY),
        ];
        let mut ended = vec![false; ends.len()];
        for row in self.0.transact(&Locks::of_act(), END, &[&params]).await? {
            let ordinal: usize = rows::unsigned(&row, 0)?;
            // Ordinals begin at 1.
            if let Some(one) = ordinal.checked_sub(1).and_then(|index| ended.get_mut(index)) {
                *one = true;
            }
            if is_nowhere(&row, 1)? {
                self.0.held.hold(vec![rows::get(&row, 2)?]);
            }
        }
        Ok(ended)
    }
}

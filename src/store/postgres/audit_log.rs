//! Events of the audit log, as its leaves show them.

use tokio_postgres::{Row, Transaction, types::Type};

use super::rows::{self, RowError};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditTarget},
        ids::{AppName, Kid, RingName},
    },
    store::repetition::{LastEvent, may_repeat, repeats},
};

/// SELECT of the columns that [`event_of`] reads, in its order, of the index and the text.
macro_rules! select_leaves {
    ($where:literal) => {
        concat!(
            "SELECT at, actor, request_id, action, outcome, ring, kid, app, user_hash, session, client, api_key, why, \
             number, text FROM countersign.audit_leaves ",
            $where
        )
    };
}
pub(super) use select_leaves;

/// The newest events about keys, newest first: of the ring `$1`, or of all.
pub(super) const NEWEST: &str =
    select_leaves!("WHERE ring IS NOT NULL AND ($1::text IS NULL OR ring = $1) ORDER BY number DESC LIMIT $2");

/// The last event about the key `$2` at the app `$3`: a row of a program of the version before that is no leaf yet, else a
/// leaf.
const LAST: &str = "(SELECT action, 'done' AS outcome, why, actor, 1 AS part FROM countersign.audit_log \
         WHERE seq > (SELECT swept FROM countersign.audit_head) AND ring = $1 AND kid = $2 \
             AND app IS NOT DISTINCT FROM $3 ORDER BY seq DESC LIMIT 1) \
     UNION ALL \
     (SELECT action, outcome, why, actor, 2 FROM countersign.audit_leaves \
         WHERE ring IS NOT NULL AND ring = $1 AND kid = $2 AND app IS NOT DISTINCT FROM $3 \
         ORDER BY number DESC LIMIT 1) \
     ORDER BY part LIMIT 1";

/// Returns whether the event repeats the last one about the same key at the same app.
pub(super) async fn is_repetition(transaction: &Transaction<'_>, event: &AuditEvent) -> Result<bool, RowError> {
    if !may_repeat(event) {
        return Ok(false);
    }
    let target = &event.target;
    let (ring, kid) = (target.ring.as_ref().map(RingName::as_str), target.kid.as_ref().map(Kid::as_str));
    let app = target.app.as_ref().map(AppName::as_str);
    let params = [(&ring as _, Type::TEXT), (&kid as _, Type::TEXT), (&app as _, Type::TEXT)];
    let Some(row) = transaction.query_typed_opt(LAST, &params).await? else { return Ok(false) };
    let text = |column| rows::get(&row, column);
    let last = LastEvent { action: text(0)?, outcome: text(1)?, why: text(2)?, actor: text(3)? };
    Ok(repeats(event, &last))
}

/// Reads an event from the columns of `select_leaves!`.
pub(super) fn event_of(row: &Row) -> Result<AuditEvent, RowError> {
    Ok(AuditEvent {
        at: rows::time(row, 0)?,
        actor: Actor { name: rows::get(row, 1)?, request_id: rows::get(row, 2)? },
        action: rows::parsed(row, 3)?,
        outcome: rows::parsed(row, 4)?,
        target: AuditTarget {
            ring: rows::parsed_or_null(row, 5)?,
            kid: rows::parsed_or_null(row, 6)?,
            app: rows::parsed_or_null(row, 7)?,
            user: rows::parsed_or_null(row, 8)?,
            session: rows::parsed_or_null(row, 9)?,
            client: rows::parsed_or_null(row, 10)?,
            api_key: rows::parsed_or_null(row, 11)?,
        },
        why: rows::get(row, 12)?,
    })
}

//! The table `audit_log`: events are appended and read, never changed; a trigger refuses anything else.

use tokio_postgres::{Row, Transaction, types::Type};

use super::rows::{self, RowError};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditOutcome, AuditTarget},
        ids::{AppName, Kid, RingName},
    },
    store::repetition::{LastEvent, may_repeat, repeats},
};

/// The newest events, newest first: of the ring `$1`, or of all.
pub(super) const NEWEST: &str = "SELECT at, ring, kid, app, action, actor, why FROM countersign.audit_log \
     WHERE $1::text IS NULL OR ring = $1 ORDER BY seq DESC LIMIT $2";

const LAST: &str = "SELECT action, why, actor FROM countersign.audit_log \
     WHERE ring = $1 AND kid IS NOT DISTINCT FROM $2 AND app IS NOT DISTINCT FROM $3 ORDER BY seq DESC LIMIT 1";

const APPEND: &str = "INSERT INTO countersign.audit_log (at, ring, kid, app, action, actor, why) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Appends an event, unless it repeats the last event about the same key at the same app. Nobody else appends meanwhile:
/// the transaction has locked the generation.
pub(super) async fn append(transaction: &Transaction<'_>, event: &AuditEvent) -> Result<(), RowError> {
    if is_repetition(transaction, event).await? {
        return Ok(());
    }
    let (ring, kid, app) = subject(event);
    transaction
        .execute_typed(
            APPEND,
            &[
                (&event.at.0, Type::INT8),
                (&ring, Type::TEXT),
                (&kid, Type::TEXT),
                (&app, Type::TEXT),
                (&event.action.as_str(), Type::TEXT),
                (&event.actor.name, Type::TEXT),
                (&event.why, Type::TEXT),
            ],
        )
        .await?;
    Ok(())
}

async fn is_repetition(transaction: &Transaction<'_>, event: &AuditEvent) -> Result<bool, RowError> {
    if !may_repeat(event) {
        return Ok(false);
    }
    let (ring, kid, app) = subject(event);
    let params = [(&ring as _, Type::TEXT), (&kid as _, Type::TEXT), (&app as _, Type::TEXT)];
    let Some(row) = transaction.query_typed_opt(LAST, &params).await? else { return Ok(false) };
    let last = LastEvent {
        action: rows::get(&row, 0)?,
        outcome: "done",
        why: rows::get(&row, 1)?,
        actor: rows::get(&row, 2)?,
    };
    Ok(repeats(event, &last))
}

/// The columns `ring`, `kid` and `app` of an event.
fn subject(event: &AuditEvent) -> (Option<&str>, Option<&str>, Option<&str>) {
    let target = &event.target;
    (
        target.ring.as_ref().map(RingName::as_str),
        event.target.kid.as_ref().map(Kid::as_str),
        event.target.app.as_ref().map(AppName::as_str),
    )
}

/// Reads an event from the columns of [`NEWEST`].
pub(super) fn event_of(row: &Row) -> Result<AuditEvent, RowError> {
    Ok(AuditEvent {
        at: rows::time(row, 0)?,
        target: AuditTarget {
            ring: rows::parsed_or_null(row, 1)?,
            kid: rows::parsed_or_null(row, 2)?,
            app: rows::parsed_or_null(row, 3)?,
            ..AuditTarget::default()
        },
        action: rows::parsed(row, 4)?,
        actor: Actor::named(rows::get::<String>(row, 5)?),
        outcome: AuditOutcome::Done,
        why: rows::get(row, 6)?,
    })
}

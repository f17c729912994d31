//! Events of the acts that are operations of a store, and records that no store has taken yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync;

use crate::{
    clock::{ClockAcceptance, UnixMillis},
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget, record_of},
        ids::{AppName, SessionId, UserHash},
        operator::{ConsoleSession, OperatorName, OperatorRecord},
        session::{Ended, Session},
    },
};

/// Greatest number of records in memory; more are in the log of this process only.
const HELD: usize = 65_536;

/// Returns the event of the end of a session, without its app and user.
pub(super) fn session_ended(id: SessionId, why: Ended, at: UnixMillis, actor: &Actor) -> AuditEvent {
    let action = if why == Ended::Reused { AuditAction::ReuseDetected } else { AuditAction::SessionEnded };
    let target = AuditTarget { session: Some(id), ..AuditTarget::default() };
    done(action, target, why.as_str(), at, actor)
}

/// Returns the event of the end of a session that is put on record with it. An end that its user or its login had before is
/// recorded already.
pub(super) fn end_of_adopted(session: &Session, actor: &Actor) -> Option<AuditEvent> {
    let mut event = session_ended(session.id, session.ended?, session.created, actor);
    (event.target.app, event.target.user) = (Some(session.app.clone()), Some(session.user));
    Some(event)
}

/// Returns the event of an act on a user, on one app or all.
pub(super) fn of_user(
    action: AuditAction,
    user: UserHash,
    app: Option<&AppName>,
    at: UnixMillis,
    actor: &Actor,
) -> AuditEvent {
    done(action, AuditTarget { user: Some(user), app: app.cloned(), ..AuditTarget::default() }, "", at, actor)
}

/// Returns the event of an act on all sessions of one app, or of all apps.
pub(super) fn of_app(action: AuditAction, app: Option<&AppName>, at: UnixMillis, actor: &Actor) -> AuditEvent {
    done(action, AuditTarget { app: app.cloned(), ..AuditTarget::default() }, "", at, actor)
}

/// Returns the event of a new API key.
pub(super) fn api_key_created(key: &ApiKeyRecord, actor: &Actor) -> AuditEvent {
    let (client, api_key) = (Some(key.client.clone()), Some(key.id.clone()));
    let target = AuditTarget { client, api_key, ..AuditTarget::default() };
    done(AuditAction::ApiKeyCreated, target, "", key.created, actor)
}

/// Returns the event of the revocation of an API key.
pub(super) fn api_key_revoked(id: &ApiKeyId, at: UnixMillis, actor: &Actor) -> AuditEvent {
    let target = AuditTarget { api_key: Some(id.clone()), ..AuditTarget::default() };
    done(AuditAction::ApiKeyRevoked, target, "", at, actor)
}

/// Returns the event of a new operator. The log has no column for operators: their names stand in the reason.
pub(super) fn operator_created(operator: &OperatorRecord, actor: &Actor) -> AuditEvent {
    let OperatorRecord { name, role, token, created, .. } = operator;
    let why = format!("operator {name}, role {}, token {token}", role.as_str());
    done(AuditAction::OperatorCreated, AuditTarget::default(), &why, *created, actor)
}

/// Returns the event of the revocation of an operator.
pub(super) fn operator_revoked(name: &OperatorName, at: UnixMillis, actor: &Actor) -> AuditEvent {
    let why = format!("operator {name}");
    done(AuditAction::OperatorRevoked, AuditTarget::default(), &why, at, actor)
}

/// Returns the event of a login to the console.
pub(super) fn operator_logged_in(name: &OperatorName, session: &ConsoleSession, actor: &Actor) -> AuditEvent {
    let why = format!("operator {name}, token {}", session.token);
    done(AuditAction::OperatorLoggedIn, AuditTarget::default(), &why, session.created, actor)
}

/// Returns the event of the acceptance of a clock.
pub(super) fn clock_accepted(acceptance: &ClockAcceptance) -> AuditEvent {
    let before = acceptance.before.map_or_else(|| "none".to_owned(), |before| before.0.to_string());
    let why = format!("the floor before was {before}");
    let actor = Actor::named(&acceptance.actor);
    done(AuditAction::ClockAccepted, AuditTarget::default(), &why, acceptance.floor.time, &actor)
}

fn done(action: AuditAction, target: AuditTarget, why: &str, at: UnixMillis, actor: &Actor) -> AuditEvent {
    AuditEvent { at, actor: actor.clone(), action, target, outcome: AuditOutcome::Done, why: why.to_owned() }
}

/// Returns the records of events.
pub(super) fn records_of(events: &[AuditEvent]) -> Vec<String> {
    events.iter().map(record_of).collect()
}

/// Returns true where the events are of acts that stop something: those take effect also without their leaves.
pub(super) fn stop_something(events: &[AuditEvent]) -> bool {
    !events.is_empty() && events.iter().all(|event| event.action.stops_something())
}

/// Returns true where a transaction stops something, and so takes effect also without the leaves of its events.
pub(super) fn any_stops_something(events: &[AuditEvent]) -> bool {
    events.iter().any(|event| event.action.stops_something())
}

/// Returns true where an event is of an act that has still to be done: it is refused while a fork is on record. What was
/// done already is recorded also then.
pub(super) fn are_refused_after_fork(events: &[AuditEvent]) -> bool {
    let is_intent = |event: &AuditEvent| event.outcome == AuditOutcome::Intended && !event.action.stops_something();
    events.iter().any(is_intent)
}

/// Records of acts that took effect and are on no record of the store. They are appended before any other act.
#[derive(Default)]
pub(super) struct Held {
    records: Mutex<Vec<String>>,
    /// One task appends them at a time.
    turn: sync::Mutex<()>,
}

impl Held {
    /// Adds records; each is logged as a whole, for the case that this process ends before the store takes it.
    pub(super) fn hold(&self, records: Vec<String>) {
        for record in records {
            tracing::error!(record, "an act took effect, and its record could not be written");
            let mut held = self.records();
            if held.len() < HELD {
                held.push(record);
            }
        }
    }

    /// Number of the records.
    pub(super) fn count(&self) -> u64 {
        self.records().len() as u64
    }

    /// True while a task appends the records.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Appends the records, if there are any. Whoever gives it up after `append` has begun may have them appended twice.
    pub(super) async fn flush<F, E>(&self, append: impl FnOnce(Vec<String>) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        if self.count() == 0 {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let records = self.records().clone();
        if !records.is_empty() {
            let count = records.len();
            append(records).await?;
            self.records().drain(..count);
        }
        Ok(())
    }

    fn records(&self) -> MutexGuard<'_, Vec<String>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
